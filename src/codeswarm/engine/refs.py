"""The names of refs, in one place. All are projections of the ledger but the wip refs, which the ledger names."""

from __future__ import annotations


def task(session: str, ticket: str) -> str:
    return f"refs/heads/session/{session}/task/{ticket}"


def integration(session: str) -> str:
    return f"refs/heads/session/{session}/integration"


def wip(session: str, ticket: str, epoch: int) -> str:
    return f"refs/codeswarm/wip/{session}/{ticket}/{epoch}"


def commits(session: str, ticket: str, epoch: int) -> str:
    """Where commits that an agent made by itself stand: a prefix."""
    return f"refs/codeswarm/agent/{session}/{ticket}/{epoch}"


def start(session: str, ticket: str, epoch: int) -> str:
    """Keeps the commit that an attempt began with."""
    return f"refs/codeswarm/start/{session}/{ticket}/{epoch}"


def work(session: str, ticket: str, epoch: int) -> str:
    """Keeps the work commit of an attempt, whatever became of it."""
    return f"refs/codeswarm/work/{session}/{ticket}/{epoch}"


def landing(session: str, number: int) -> str:
    """Keeps a merge that waits for its gate."""
    return f"refs/codeswarm/landing/{session}/{number}"


def base(session: str) -> str:
    """Keeps what a session began with."""
    return f"refs/codeswarm/base/{session}"


def theirs(session: str) -> str:
    """Where the person's branch stood when a session last looked.

    By the session's name and not the branch's: a branch `fix` and later one `fix/parser` can't both be refs below one
    folder, and what stands below `refs/codeswarm/theirs/` was named so.
    """
    return f"refs/codeswarm/branch/{session}"


def checkpoint(name: str) -> str:
    return f"refs/tags/{name}"


def shown_branch(session: str) -> str:
    """The branch in the person's own repository that follows each landing."""
    return f"codeswarm/{session}"
