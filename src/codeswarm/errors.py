"""Every error that leaves a room, in one tree. Expected outcomes are values and stand elsewhere.

    CodeswarmError
    ├── UsageError            the person asked for something that makes no sense, or configured it so
    │   ├── ConfigError
    │   ├── TicketsInvalid        all mistakes of a tickets file at once
    │   ├── NotARepository
    │   ├── RepositoryUnfit       bare of commits, detached, shallow, too old a git …
    │   ├── BaseGateRed
    │   └── LedgerTooNew
    ├── Refused               the domain refused a command
    ├── WorkFailed            the work itself failed
    ├── NeedsPerson           nothing goes on without a decision
    ├── Suspended
    ├── SandboxUnavailable
    ├── AgentUnavailable
    ├── DiskFull              no room for anything but the ledger, which has its own word for it
    ├── LedgerError
    │   ├── LedgerUnavailable     retry later; nothing was recorded
    │   │   └── LedgerFull
    │   ├── LedgerBroken          an I/O error: the process must stop
    │   ├── LedgerCorrupt
    │   └── VersionConflict
    ├── GitError              git failed; the command and its words
    ├── StoreDiverged         a ref is not where the ledger could have put it
    └── RouterUnreachable

Each says what happened, why, and what to do; the edge turns the kind into an exit code or an HTTP status.
"""

from __future__ import annotations

import errno

from codeswarm.domain.rejection import Refusal, Rejection


class CodeswarmError(Exception):
    """Base of all. `hint` is a command that can be pasted, or a sentence."""

    exit_code = 1
    http_status = 500

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    @property
    def kind(self) -> str:
        """Its name, for programs."""
        return type(self).__name__

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.hint) if line)


class UsageError(CodeswarmError):
    exit_code = 2
    http_status = 422


class ConfigError(UsageError):
    """A setting is unknown, ill-typed or contradicts another."""


class TicketsInvalid(UsageError):
    """`problems` holds every mistake as a sentence with its place."""

    def __init__(self, source: str, problems: list[str]) -> None:
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        why = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source} has {count}", why, "mend the file and run the same command again")
        self.problems = problems


class NotARepository(UsageError):
    pass


class RepositoryUnfit(UsageError):
    pass


class BaseGateRed(UsageError):
    pass


class LedgerTooNew(UsageError):
    pass


class Refused(CodeswarmError):
    """The domain refused a command; `rejection` says which kind of refusal it is."""

    _STATUS = {Refusal.UNKNOWN: 404, Refusal.STALE: 409, Refusal.WRONG_STATE: 409, Refusal.INVALID: 422}

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.reason, "", rejection.hint)
        self.rejection = rejection
        self.exit_code = 2
        self.http_status = self._STATUS[rejection.refusal]


class WorkFailed(CodeswarmError):
    exit_code = 1


class NeedsPerson(CodeswarmError):
    exit_code = 3
    http_status = 409


class Suspended(CodeswarmError):
    exit_code = 4
    http_status = 409


class SandboxUnavailable(UsageError):
    http_status = 503


class AgentUnavailable(UsageError):
    http_status = 503


class DiskFull(CodeswarmError):
    """Nothing can be written for want of room. `disk_full` recognises it in what others raise."""

    http_status = 503


class LedgerError(CodeswarmError):
    http_status = 503


class LedgerUnavailable(LedgerError):
    pass


class LedgerFull(LedgerUnavailable):
    http_status = 503


class LedgerBroken(LedgerError):
    pass


class LedgerCorrupt(LedgerError):
    pass


class VersionConflict(LedgerError):
    http_status = 409


class GitError(CodeswarmError):
    """A git command failed. `command` and `stderr` are for logs; `what` is for the person."""

    def __init__(self, command: str, exit_code: int, stderr: str) -> None:
        super().__init__(f"git {command} failed with exit code {exit_code}", stderr.strip()[-2000:])
        self.command = command
        self.git_exit_code = exit_code
        self.stderr = stderr


class StoreDiverged(CodeswarmError):
    pass


class RouterUnreachable(CodeswarmError):
    http_status = 502


FREE_SOME = "free some space: a live session then goes on by itself, any other by codeswarm resume"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_SAID = ("No space left on device", "Disk quota exceeded")
"""How git and our own helpers say it: they run with LC_ALL=C."""


def disk_full(error: BaseException) -> CodeswarmError | None:
    """What is to be told where an error means that a disk is full, by the system's word or by git's; else None."""
    if isinstance(error, LedgerFull | DiskFull):
        return error
    if isinstance(error, OSError):
        if error.errno not in _NO_ROOM:
            return None
        where = f": {error.filename} can't be written" if error.filename else ""
        return DiskFull(f"the disk is full{where}", str(error), FREE_SOME)
    if isinstance(error, CodeswarmError) and any(text in error.why for text in _NO_ROOM_SAID):
        if "the disk is full" in error.what:  # said by a router already
            return error
        return DiskFull(f"the disk is full: {error.what}", error.why, FREE_SOME)
    return None
