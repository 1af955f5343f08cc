"""The program behind `api:MODEL`: a model's answers and two tools, in a loop. It runs behind the walls.

Nothing here imports anything but the standard library and this folder: what runs inside sees no other code of ours.
`__main__` is the way in; `talk` is what it says to the adapter and hears from it, one JSON object a line.
"""
