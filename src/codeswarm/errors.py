"""Every error that leaves a room, in one tree. Expected outcomes are values and stand elsewhere.

    CodeswarmError
    ├── UsageError            the person asked for something that makes no sense, or configured it so
    │   ├── ConfigError
    │   ├── TicketsInvalid        all mistakes of a tickets file at once
    │   ├── NotARepository
    │   ├── RepositoryUnfit       bare of commits, detached, shallow, too old a git …
    │   └── LedgerTooNew
    ├── Refused               the domain refused a command
    ├── WorkFailed            the work itself failed
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
import shlex

from codeswarm.domain.rejection import Refusal, Rejection


class CodeswarmError(Exception):
    """Base of all: what happened, why, and a command that can be pasted. None of them is left out."""

    exit_code = 1
    http_status = 500

    def __init__(self, what: str, why: str, hint: str) -> None:
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
    """What was asked for makes no sense, or not here.

    What to do: as the line *do* says; `codeswarm COMMAND --help`.
    """

    exit_code = 2
    http_status = 422


class ConfigError(UsageError):
    """A setting is unknown, ill-typed or contradicts another.

    What to do: mend the file that is named, then `codeswarm config check`.
    """


class TicketsInvalid(UsageError):
    """The tickets file has mistakes; all are told at once. `problems` holds each as a sentence with its place.

    What to do: mend the file and run the same command again.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        why = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source} has {count}", why, to_mend(source))
        self.problems = problems


_EXAMPLE = "codeswarm example tickets   # what one looks like"
_NO_FILES = {
    **dict.fromkeys(("-", "standard input", "tickets", "the planner"), _EXAMPLE),
    "the ticket": "codeswarm ticket add --help",
    "the edited plan": "codeswarm approve --edit",
}
"""Sources that are no files → what to do instead of opening one."""


def to_mend(source: str) -> str:
    """A command that opens the file that is meant."""
    if source in _NO_FILES:
        return _NO_FILES[source]
    return f"${{EDITOR:-vi}} {shlex.quote(source)}   # then the same again"


class NotARepository(UsageError):
    """There is no git repository around the folder.

    What to do: change to one, or name it with `-C DIR`.
    """


class RepositoryUnfit(UsageError):
    """A session can't begin here: a repository without a commit, no branch checked out, a shallow clone, an old git.

    What to do: as the line *do* says; `codeswarm doctor` shows what is missing.
    """


class LedgerTooNew(UsageError):
    """A newer version of Codeswarm wrote the ledger: it can be looked at, and not written.

    What to do: use that newer version.
    """


class Refused(CodeswarmError):
    """The state of a session or ticket does not allow the command; `rejection` says which kind of refusal it is.

    What to do: `codeswarm status` shows the state.
    """

    STATUS = {Refusal.UNKNOWN: 404, Refusal.STALE: 409, Refusal.WRONG_STATE: 409, Refusal.INVALID: 422}

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.reason, rejection.why, rejection.hint)
        self.rejection = rejection
        self.exit_code = 2
        self.http_status = self.STATUS[rejection.refusal]


class WorkFailed(CodeswarmError):
    """The work itself failed.

    What to do: `codeswarm status` and `codeswarm timeline` tell what did.
    """

    exit_code = 1


class Suspended(CodeswarmError):
    """The session is suspended and nothing more can be done for now.

    What to do: see to the cause, then `codeswarm resume`.
    """

    exit_code = 4
    http_status = 409


class SandboxUnavailable(UsageError):
    """The walls that were asked for don't work here. Nothing runs without them unless you say so.

    What to do: install what is named; or, at your own risk, `--sandbox none`.
    """

    http_status = 503


class AgentUnavailable(UsageError):
    """An agent that was asked for can't be used: not installed, not logged in, not part of this version.

    What to do: as the line *do* says; `codeswarm doctor` shows all agents.
    """

    http_status = 503


class DiskFull(CodeswarmError):
    """Nothing can be written for want of room.

    What to do: free some space: a live session then goes on by itself, any other by `codeswarm resume`.
    """

    http_status = 503


class LedgerError(CodeswarmError):
    """Something is wrong with the ledger.

    What to do: `codeswarm ledger verify`.
    """

    http_status = 503


class LedgerUnavailable(LedgerError):
    """The ledger can't be used just now; nothing was recorded.

    What to do: try again.
    """


class LedgerFull(LedgerUnavailable):
    """There is no room for the ledger; nothing was recorded.

    What to do: free some space: a live session then goes on by itself, any other by `codeswarm resume`.
    """

    http_status = 503


class LedgerBroken(LedgerError):
    """The disk failed under the ledger. Nothing more is written, and the process ends.

    What to do: check the disk, then `codeswarm resume`.
    """


class LedgerCorrupt(LedgerError):
    """The ledger holds something that can't be true.

    What to do: `codeswarm ledger verify` names it.
    """


class VersionConflict(LedgerError):
    """Another process has written to the session meanwhile; nothing was recorded.

    What to do: try again.
    """

    http_status = 409


GIT_FAILED = "codeswarm doctor   # git, the repository and the disk; then the same again"


class GitError(CodeswarmError):
    """A git command failed. `command` and `stderr` are for logs; `what` is for the person.

    What to do: see what git said; then the same command again, or `codeswarm doctor`.
    """

    def __init__(self, command: str, exit_code: int, stderr: str) -> None:
        said = stderr.strip()[-2000:]
        super().__init__(f"git {command} failed with exit code {exit_code}", said or "it said nothing", GIT_FAILED)
        self.command = command
        self.git_exit_code = exit_code
        self.stderr = stderr


class StoreDiverged(CodeswarmError):
    """A ref stands where the ledger could not have put it: someone else moved it.

    What to do: as the line *do* says; nothing is done until then, so that no work is lost.
    """


class RouterUnreachable(CodeswarmError):
    """The process that hosts the session does not answer.

    What to do: `codeswarm resume`; all that it acknowledged is in the ledger.
    """

    http_status = 502


FREE_SOME = (
    "codeswarm du   # what is kept here, and what `codeswarm gc` frees; with room again a live session goes on by"
    " itself, any other by: codeswarm resume"
)
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
