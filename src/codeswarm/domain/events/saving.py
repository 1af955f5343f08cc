"""Saving."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import Commit, Tree


class SaveRequested(Event):
    """A save was asked for."""

    by: str
    to: str
    """ff · branch"""
    into: str
    """The branch that moves."""


class SaveIntended(Event):
    """What is about to be done outside: recovery finishes or undoes exactly this."""

    checkpoint: str
    into: str
    """The branch."""
    old: Commit | None
    """Where it stands; none: it does not exist yet."""
    new: Commit
    """Where it will stand."""
    tree: Tree
    receipts: tuple[str, ...]


class CheckpointSaved(Event):
    """The branch moved, and the tag stands."""

    checkpoint: str
    into: str
    """The branch."""
    old: Commit | None
    """Where it stood; none: it did not exist."""
    new: Commit
    """Where it stands."""
    how: str
    """fast_forward · branch · already_there"""


class SaveRefused(Event):
    """The branch did not move, and why."""

    reason: str
    detail: str
    files: tuple[str, ...] = ()
    """What is in the way."""
    commands: tuple[str, ...] = ()
    """What a person can paste."""
    checkpoint: str = ""
