"""Transcripts with accidents, fed to every adapter: nothing crashes one, and no failure becomes a success.

`python -m tests.mutations` plays them; each is a number, and is played again by it.
"""
