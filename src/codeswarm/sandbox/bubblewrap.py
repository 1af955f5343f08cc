"""Walls by bubblewrap: own user, PID, mount, network, IPC and UTS namespaces; no capabilities; a read-only system; a
filter of system calls; limits on what is used.

Killing the one process that is PID 1 inside kills everything inside, whatever it ignores or has detached from.
bubblewrap's own processes carry the box's mark: one that is orphaned before the walls stand is found by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from codeswarm.errors import SandboxUnavailable
from codeswarm.packages import as_root
from codeswarm.process import kill_and_wait, kill_unreaped, run_sync, spawn, wait_gone
from codeswarm.sandbox import mending, seccomp, system
from codeswarm.sandbox.base import (
    HOME,
    RUN,
    TMP,
    WORKSPACE,
    Box,
    Inside,
    Lack,
    Limits,
    Namespaces,
    Probe,
    Running,
)
from codeswarm.sandbox.confinement import Confined, Confinement
from codeswarm.sandbox.marks import MARK
from codeswarm.sandbox.mount_points import make_mount_point
from codeswarm.sandbox.shown import shown
from codeswarm.sandbox.syscalls import MACHINES

P = ParamSpec("P")
T = TypeVar("T")

_DENIED = ("permission denied", "operation not permitted", "namespace", "bwrap: can't")
"""How it says that the kernel lets it do less than it needs."""
UID = 1000
PASSWD = f"root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:{UID}:{UID}:agent:{HOME}:/bin/sh\n"
GROUP = f"root:x:0:\nagent:x:{UID}:\n"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
END_TIMEOUT_S = 10.0

NAMESPACES = (
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    "--cap-drop",
    "ALL",
    "--uid",
    str(UID),
    "--gid",
    str(UID),
    "--hostname",
    "codeswarm",
    "--new-session",
    "--die-with-parent",
)
"""As root, `--unshare-all` alone keeps every capability: the user namespace and the dropped capabilities are what
makes it a wall. `--die-with-parent` follows the thread that spawns."""


class Bubblewrap:
    kind = "bubblewrap"
    own_network = True
    promises = (
        "agents and gates see a read-only system and a HOME of their own, nothing of yours; "
        "gates have no network, agents a proxy that leads to the hosts of sandbox.network"
    )

    def __init__(self, executable: str | None = None) -> None:
        self._executable = executable or shutil.which("bwrap") or "bwrap"
        self._confinement = Confinement()

    def inside(self, box: Box) -> Inside:
        return Inside(WORKSPACE, HOME, RUN, TMP)

    def lacks(self, limits: Limits) -> tuple[Lack, ...]:
        return (*unfiltered(), *self._confinement.lacks(limits))

    @property
    def as_agent(self) -> tuple[str, ...]:
        """No wall: only the names of user and group are other ones."""
        who = ("--unshare-user", "--uid", str(UID), "--gid", str(UID))
        return (self._executable, *who, "--dev-bind", "/", "/", "--")

    async def start(
        self,
        box: Box,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: int | None = None,
        stderr: int | None = None,
    ) -> Running:
        pipe = asyncio.subprocess.PIPE
        if any(mount.inside.is_relative_to(TMP) for mount in box.mounts):
            await asyncio.to_thread(_make_mount_points, box)
        (status, told), (held, go) = os.pipe(), os.pipe()
        passed = _Passed(told, held, *map(_memory_file, (PASSWD.encode(), GROUP.encode(), _filter())))
        entering = box.namespaces.entering if box.namespaces else _apart()
        try:
            process = await spawn(
                [*entering, self._executable, *self._flags(box, passed), "--", *argv],
                cwd=Path("/"),
                env={**environment(env, self.inside(box)), MARK: box.name},
                stdin=pipe if stdin is None else stdin,
                stderr=pipe if stderr is None else stderr,
                pass_fds=passed,
            )
        except FileNotFoundError as error:
            _close(status, go)
            raise SandboxUnavailable("bubblewrap is not installed", str(error), mending.missing()) from error
        finally:
            _close(*passed)
        boxed = _Boxed(process, status)
        await boxed.begin(go, self._confinement, box)
        return boxed

    def _flags(self, box: Box, passed: _Passed) -> list[str]:
        status, held, passwd, group, denied = map(str, passed)
        flags = [*NAMESPACES, *(("--share-net",) if box.network else ()), "--json-status-fd", status]
        flags += ["--block-fd", held, *(("--seccomp", denied) if _filter() else ()), "--unsetenv", MARK]
        flags += [*system.folders(), *system.etc(network=box.network)]
        flags += ["--ro-bind-data", passwd, "/etc/passwd", "--ro-bind-data", group, "/etc/group"]
        flags += [*system.proc(), "--dev", "/dev", "--dir", "/run", "--dir", "/var"]
        flags += ["--bind", str(box.tmp), str(TMP), "--symlink", str(TMP), "/var/tmp"]  # noqa: S108 - inside
        flags += shown(box)
        flags += ["--bind", str(box.home), str(HOME), "--bind", str(box.run), str(RUN)]
        flags += ["--ro-bind" if box.read_only_workspace else "--bind", str(box.workspace), str(WORKSPACE)]
        return [*flags, "--chdir", str(WORKSPACE)]


class _Passed(NamedTuple):
    """The descriptors that bubblewrap gets."""

    status: int
    held: int
    passwd: int
    group: int
    filter: int


class _Boxed:
    """A process tree in a PID namespace. `first` is a descriptor of its PID 1, None where it never started.

    bubblewrap writes to `status` again when it ends, and would die of a closed pipe instead: it stays open till then.
    """

    def __init__(self, process: asyncio.subprocess.Process, status: int) -> None:
        self._process = process
        self._status = status
        self._confined = Confined(None, None)
        self._first: _First | None = None
        self._over = False

    async def begin(self, go: int, confinement: Confinement, box: Box) -> None:
        """Let it go once it is confined. Raises: SandboxUnavailable where it can't be; nothing is left of it then."""
        try:
            self._confined = await _somewhere(confinement.slow(box.limits), confinement.prepare, box)
            self._first = await _first_inside(self._status)
            if self._first is not None:
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself, and says why
                    await _somewhere(self._confined.slow, self._confined.hold, self._first.pid)
        except OSError as error:
            self._first = self._first or await _first_inside(self._status)
            await self.end()  # before it may go
            raise SandboxUnavailable("a run could not be held to its limits", str(error), "codeswarm doctor") from error
        finally:
            with contextlib.suppress(BrokenPipeError):
                os.write(go, b".")
            _close(go)

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self._process

    async def end(self) -> tuple[str, ...]:
        if self._over:
            return ()
        self._over = True
        gone = True
        if self._first is not None:
            lives = not wait_gone(self._first.pidfd, 0)
            gone = await _somewhere(lives, kill_and_wait, self._first.pidfd, END_TIMEOUT_S)
        await _somewhere(self._confined.slow, self._confined.end)
        kill_unreaped(self._process)
        await self._process.wait()
        if self._first is not None:
            self._first.collect()
        os.close(self._status)
        return () if gone else (f"the processes in the sandbox of pid {self._process.pid}",)

    def exceeded(self) -> tuple[str, ...]:
        return self._confined.exceeded()


async def _somewhere(slow: bool, act: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Do it here and now, or where it may block: to go there and back takes as long as all the rest."""
    return await asyncio.to_thread(act, *arguments, **named) if slow else act(*arguments, **named)


class _First(NamedTuple):
    """The namespace's PID 1."""

    pid: int
    pidfd: int

    def collect(self) -> None:
        """Bubblewrap ends without waiting for it: where orphans come to us, it would be a zombie as long as we live."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        _close(self.pidfd)


async def _first_inside(status: int) -> _First | None:
    """From bubblewrap's report, once that is made; None where bubblewrap has failed."""
    told = b""
    while b"\n" not in told and (more := await _read(status)):
        told += more
    try:
        pid = json.loads(told.partition(b"\n")[0])["child-pid"]
        return _First(pid, os.pidfd_open(pid))
    except (ValueError, KeyError, ProcessLookupError):
        return None


async def _read(pipe: int) -> bytes:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(pipe)
    return os.read(pipe, 4096)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def environment(env: Mapping[str, str], inside: Inside) -> dict[str, str]:
    """The whole environment of a run: what was given, and where its HOME and TMPDIR are."""
    places = {"HOME": str(inside.home), "TMPDIR": str(inside.tmp), "PATH": DEFAULT_PATH, "LANG": "C.UTF-8"}
    return {**places, "USER": "agent", "LOGNAME": "agent", "SHELL": "/bin/sh", "TERM": "dumb", **env}


def _memory_file(content: bytes) -> int:
    fd = os.memfd_create("codeswarm")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _make_mount_points(box: Box) -> None:
    """Those in TMPDIR, where earlier runs may have left anything. What stands in another mount is not among them."""
    within = [mount for mount in box.mounts if mount.inside.is_relative_to(TMP) and mount.inside != TMP]
    for mount in within:
        if not any(other.inside in mount.inside.parents for other in within):
            make_mount_point(box.tmp, mount.inside.relative_to(TMP), folder=mount.source.is_dir())


def _apart() -> tuple[str, ...]:
    """What keeps mounts that the host makes later out of the folders that are shown: it would add them to each, and
    writable. bubblewrap takes its mounts from where it stands, so it stands where nobody adds any. Needed where the
    host shares its mounts, as all do that systemd has started.
    """
    if " shared:" not in Path("/proc/self/mountinfo").read_text():
        return ()
    user = () if os.getuid() == 0 else ("--user", "--map-current-user")
    return ("unshare", *user, "--mount", "--propagation", "private", "--")


@cache
def _filter() -> bytes:
    """Which system calls are denied; empty where no filter can be had."""
    return b"" if unfiltered() else seccomp.program(os.uname().machine) or b""


@cache
def unfiltered() -> tuple[Lack, ...]:
    """Why system calls can't be filtered here, if so."""
    machine = os.uname().machine
    if machine not in MACHINES:
        why = f"the numbers of the system calls of {machine} are not known to this version"
        return (Lack("a filter of system calls", why, f"codeswarm doctor   # on {' or '.join(MACHINES)}"),)
    if "\nSeccomp:" not in Path("/proc/self/status").read_text():
        why = "this kernel was built without CONFIG_SECCOMP_FILTER"
        return (
            Lack(
                "a filter of system calls", why, as_root("apt-get install -y linux-image-$(dpkg --print-architecture)")
            ),
        )
    return ()


def probe(executable: str | None = None, namespaces: Namespaces | None = None) -> Probe:
    """Whether it works here (or from within namespaces), tried with the very flags that runs get."""
    found = executable or shutil.which("bwrap")
    if found is None:
        return Probe(works=False, why="bubblewrap is not installed", fix=mending.missing())
    denied = _memory_file(_filter())
    flags = [*NAMESPACES, *system.folders(), *system.etc(network=False), *system.proc(), "--dev", "/dev"]
    flags += ["--seccomp", str(denied)] if _filter() else []
    argv = [*(namespaces.entering if namespaces else _apart()), found, *flags, "--", "/bin/true"]
    try:
        done = run_sync(argv, cwd=Path("/"), env={"PATH": DEFAULT_PATH}, timeout_s=20, pass_fds=(denied,))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Probe(works=False, why=f"bubblewrap can't be run: {error}", fix=mending.broken(found))
    finally:
        os.close(denied)
    if done.returncode == 0:
        return Probe(works=True)
    why = done.stderr.decode(errors="replace").strip() or f"it exited with {done.returncode}"
    return Probe(works=False, why=f"bubblewrap does not work here: {why}", fix=_fix(why, found))


def _fix(why: str, found: str) -> str:
    """What mends it, by what it says."""
    lowered = why.lower()
    if "unknown option" in lowered or "disable-userns" in lowered:
        return mending.too_old(found)
    if any(words in lowered for words in _DENIED):
        return mending.namespaces_denied()
    return mending.broken(found)
