"""Where a project's things are, and which process is its router. Light: every command begins here.

One process at a time is the router of a data directory; a lock file says which.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codeswarm.engine.data import Data
from codeswarm.engine.project import Project
from codeswarm.environment import Environment
from codeswarm.errors import CodeswarmError, UsageError


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
            raise RouterLive("a router is live here already", f"its process is {_holder(data)}") from error
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
        if (way_out := _way_out(error, data.root)) is None:
            raise
        raise UsageError(f"nothing can be written to {data.root}", str(error), way_out) from error


def _way_out(error: OSError, root: Path) -> str | None:
    """The command that makes a folder one that we can write to; None where it is not the folder that is wrong."""
    there = next(path for path in (root, *root.parents) if path.exists())
    name = shlex.quote(str(there))
    if not there.is_dir():
        return f"mv {name} {shlex.quote(f'{there}.old')}"
    if error.errno == errno.EROFS:
        mounted = next(path for path in (there, *there.parents) if path.is_mount())
        return f"sudo mount -o remount,rw {shlex.quote(str(mounted))}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f'sudo chown -R "$(id -un)" {name}'
    return None


def _holder(data: Data) -> str:
    try:
        return str(json.loads(data.lock.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def router_is_live(data: Data) -> bool:
    """Whether some process holds the router's lock."""
    if not data.lock.exists():
        return False
    fd = os.open(data.lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
