"""Planners: what they are asked, whether their answer can be used, and what follows from it.

Planning is work like any other: a ticket that is leased, tried again and paid for, and that lands nothing. Its
phases are the steps.
"""
