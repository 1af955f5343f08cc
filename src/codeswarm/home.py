"""Where a project's things are, and which process is its router. Light: every command begins here.

One process at a time is the router of a data directory; a lock file says which.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codeswarm.access import check_usable, unusable
from codeswarm.domain.paths import as_text
from codeswarm.engine.data import Data
from codeswarm.engine.project import Project
from codeswarm.environment import Environment
from codeswarm.errors import FREE_SOME, CodeswarmError, DiskFull, RepositoryUnfit

LEAST_ROOM = 64 << 10
OTHER_DATA = "--data ../codeswarm-data   # or another folder that you can write to"
OTHER_WORKSPACES = "env CODESWARM_WORKSPACES=$HOME/codeswarm-workspaces"
"""What to type where no command makes a folder one that can be used: the same again, with another folder."""


class RouterLive(CodeswarmError):
    """Another process is the router of this data directory already."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a project's things are."""

    project: Project
    data: Data
    workspaces: Path


def find_home(directory: Path, environment: Environment, data: Path | None = None) -> Home:
    """The data of the repository around a folder. Raises: NotARepository, RepositoryUnfit."""
    project = Project.find(directory)
    root = (data or environment.data or project.git_dir / "codeswarm").absolute()
    return Home(project, Data(root), environment.workspaces / _project_key(root))


def _project_key(root: Path) -> str:
    """A short name for a data directory among others in the cache."""
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


# ── the lock ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def router_lock(data: Data, inherited: int | None = None) -> Iterator[int]:
    """Be the router. Raises: RouterLive where someone is already; UsageError where the data can't be written there.
    The kernel lets go of it whatever kills us.

    Yields: the descriptor that holds it. Whoever inherits that holds it, too, from that very moment (`inherited`).
    """
    fd = _open_lock(data) if inherited is None else inherited
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RouterLive(
                "a router is live here already",
                f"its process is {_holder(data)}, and one at a time writes to the ledger",
                "codeswarm stop   # ends it, and all work is kept; then the same again",
            ) from error
        with contextlib.suppress(OSError):  # who it is only makes for a better message; a full disk is told elsewhere
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid()}).encode(), 0)
        yield fd
    finally:
        os.close(fd)


def _open_lock(data: Data) -> int:
    """The lock file, in a folder that is there from now on and its owner's alone."""
    try:
        data.root.mkdir(parents=True, exist_ok=True)
        data.root.chmod(0o700)
        return os.open(data.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(error, data.lock if data.root.is_dir() else data.root, OTHER_DATA) from error


def _holder(data: Data) -> str:
    try:
        return str(json.loads(data.lock.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def router_is_live(data: Data) -> bool:
    """Whether some process holds the router's lock. Raises: UsageError where that can't be seen."""
    try:
        fd = os.open(data.lock, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unusable(error, data.lock, OTHER_DATA) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


# ── workspaces ───────────────────────────────────────────────────────────────────────────────────────────────


def check_workspaces(home: Home) -> None:
    """Make the folder of the workspaces. Raises: UsageError where nothing could be put there, before work begins."""
    for path in (home.data.root, home.workspaces):
        _check_speakable(path)
    check_usable(home.workspaces, OTHER_WORKSPACES)
    found = os.statvfs(home.workspaces)
    if found.f_bavail * found.f_frsize < LEAST_ROOM:
        why = "agents and gates work in copies of your files there"
        raise DiskFull(f"the disk is full: there is no room in {home.workspaces}", why, FREE_SOME)


def _check_speakable(path: Path) -> None:
    """Workers and agents are told of folders in JSON, which has no word for a name that is no UTF-8."""
    unfit = [place for place in (path, *path.parents) if not _is_text(place.name)]
    if unfit:
        outermost = unfit[-1]
        fit = os.fsencode(outermost.name).decode(errors="ignore") or "renamed"
        raise RepositoryUnfit(
            f"the name of a folder is not UTF-8: {as_text(os.fsencode(outermost))}",
            "agents are told where they work, and such a name can't be told",
            f"mv {_quoted_bytes(outermost)} {shlex.quote(str(outermost.with_name(fit)))}   # then the same again there",
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quoted_bytes(path: Path) -> str:
    """As a shell takes bytes that are no text."""
    return (
        "$'"
        + "".join(
            f"\\{byte:03o}" if byte in b"\\'" or not 32 <= byte < 127 else chr(byte) for byte in os.fsencode(path)
        )
        + "'"
    )
