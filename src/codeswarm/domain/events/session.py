"""The session."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import Commit, SessionId, Tree
from codeswarm.domain.pipeline import Role
from codeswarm.domain.settings import Caps, Settings, Until
from codeswarm.domain.states import Outcome, SuspendReason


class SessionStarted(Event):
    """It begins, with the settings in force; they hold until its end."""

    session: SessionId
    """Its id."""
    name: str
    """The name that it was given beside its id; may be empty."""
    goal: str
    """What is wanted on the whole; may be empty."""
    base_branch: str
    """The branch that it began from and saves to."""
    base: Commit
    """The commit that it began with."""
    base_tree: Tree
    """The git tree of `base`."""
    settings: Settings
    """The settings in force."""
    by: str
    unseen: tuple[str, ...] = ()
    """Files with uncommitted changes in the person's checkout: agents don't see these changes."""
    draft: bool = False
    """It stays in draft, its base ungated, until a person resumes it."""


class SessionActivated(Event):
    """Work may be claimed: at the start, and again when there is something to do after a review."""


class SessionSuspended(Event):
    """Stopped: nothing is begun and nothing lands until `resume`."""

    reason: SuspendReason
    detail: str
    by: str = ""


class SessionResumed(Event):
    """It goes on, where it stood before it was suspended."""

    by: str
    budget_usd: float | None = None
    """A new cap; none: as before."""
    budget_tokens: int | None = None
    """A new cap; none: as before."""
    role_budgets: dict[Role, Caps] = {}
    """New caps of roles; what one leaves out is as before."""
    roles: dict[str, tuple[str, ...]] = {}
    """Agents given anew, by role."""
    until: Until | None = None
    """What holds from now on; None: no end is set."""
    target: int | None = None
    """A new number of landings to end after; none: as before."""


class SessionAwaitingReview(Event):
    """Nothing can move without a person."""

    reason: str
    """unsaved · approvals · nothing_landed · full_gate_red · save_refused"""
    detail: str = ""


class SessionFinalized(Event):
    """Over: what landed is saved, or nothing can be made of it."""

    outcome: Outcome
    """How."""
    reason: str = ""


class SessionCancelled(Event):
    """Over, on a person's word; what was done stays in its refs."""

    by: str
    reason: str = ""
