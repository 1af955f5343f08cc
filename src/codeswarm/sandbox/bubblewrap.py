"""Walls by bubblewrap: own user, PID, mount, network, IPC and UTS namespaces; no capabilities; a read-only system.

Killing the one process that is PID 1 inside kills everything inside, whatever it ignores or has detached from.
bubblewrap's own processes carry the box's mark: one that is orphaned before the walls stand is found by it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from codeswarm.errors import SandboxUnavailable
from codeswarm.process import kill_and_wait, kill_unreaped, run_sync, spawn
from codeswarm.sandbox.base import HOME, RUN, TMP, WORKSPACE, Box, Inside, Mask, Mount, Namespaces, Probe, Running
from codeswarm.sandbox.marks import MARK
from codeswarm.sandbox.mount_points import make_mount_point

UID = 1000
PASSWD = f"root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:{UID}:{UID}:agent:{HOME}:/bin/sh\n"
GROUP = f"root:x:0:\nagent:x:{UID}:\n"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
END_TIMEOUT_S = 10.0
SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

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
    promises = (
        "agents and gates see a read-only system and a HOME of their own, nothing of yours; "
        "gates have no network, agents have this machine's"
    )

    def __init__(self, executable: str | None = None) -> None:
        self._executable = executable or shutil.which("bwrap") or "bwrap"

    def inside(self, box: Box) -> Inside:
        return Inside(WORKSPACE, HOME, RUN, TMP)

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
        await asyncio.to_thread(_make_mount_points, box)
        status_read, status_write = os.pipe()
        passed = (status_write, _memory_file(PASSWD), _memory_file(GROUP))
        entering = box.namespaces.entering if box.namespaces else ()
        command = [*entering, self._executable, *self._flags(box, *passed), "--", *argv]
        try:
            process = await spawn(
                command,
                cwd=Path("/"),
                env={**environment(env, self.inside(box)), MARK: box.name},
                stdin=pipe if stdin is None else stdin,
                stderr=pipe if stderr is None else stderr,
                pass_fds=passed,
            )
        except FileNotFoundError as error:
            os.close(status_read)
            raise SandboxUnavailable("bubblewrap is not installed", str(error), "apt-get install bubblewrap") from error
        finally:
            for fd in passed:
                os.close(fd)
        return _Boxed(process, status_read, await asyncio.to_thread(_first_inside, status_read))

    def _flags(self, box: Box, status: int, passwd: int, group: int) -> list[str]:
        flags = [*NAMESPACES, *(("--share-net",) if box.network else ()), "--json-status-fd", str(status)]
        flags += ["--unsetenv", MARK]
        flags += [*_system(), *_etc(network=box.network)]
        flags += ["--ro-bind-data", str(passwd), "/etc/passwd", "--ro-bind-data", str(group), "/etc/group"]
        flags += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/var"]
        flags += ["--bind", str(box.tmp), str(TMP), "--symlink", str(TMP), "/var/tmp"]  # noqa: S108 - inside
        flags += _shown(box)
        flags += ["--bind", str(box.home), str(HOME), "--bind", str(box.run), str(RUN)]
        flags += ["--ro-bind" if box.read_only_workspace else "--bind", str(box.workspace), str(WORKSPACE)]
        return [*flags, "--chdir", str(WORKSPACE)]


class _Boxed:
    """A process tree in a PID namespace. `first` is a descriptor of its PID 1, None where it never started.

    bubblewrap writes to `status` again when it ends, and would die of a closed pipe instead: it stays open till then.
    """

    def __init__(self, process: asyncio.subprocess.Process, status: int, first: int | None) -> None:
        self._process = process
        self._status = status
        self._first = first
        self._over = False

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self._process

    async def end(self) -> tuple[str, ...]:
        if self._over:
            return ()
        self._over = True
        gone = True
        if self._first is not None:
            gone = await asyncio.to_thread(kill_and_wait, self._first, END_TIMEOUT_S)
            os.close(self._first)
        kill_unreaped(self._process)
        await self._process.wait()
        os.close(self._status)
        return () if gone else (f"the processes in the sandbox of pid {self._process.pid}",)


def _first_inside(status: int) -> int | None:
    """A descriptor of the namespace's PID 1, from bubblewrap's report (blocks until it made one, or failed)."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(status, 1)):
        line += byte
    try:
        return os.pidfd_open(json.loads(line)["child-pid"])
    except (ValueError, KeyError, ProcessLookupError):
        return None


def environment(env: Mapping[str, str], inside: Inside) -> dict[str, str]:
    """The whole environment of a run: what was given, and where its HOME and TMPDIR are."""
    places = {"HOME": str(inside.home), "TMPDIR": str(inside.tmp), "PATH": DEFAULT_PATH, "LANG": "C.UTF-8"}
    return {**places, "USER": "agent", "LOGNAME": "agent", "SHELL": "/bin/sh", "TERM": "dumb", **env}


def _memory_file(text: str) -> int:
    fd = os.memfd_create("codeswarm")
    os.write(fd, text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _shown(box: Box) -> list[str]:
    """Mounts and masks, outer ones first: a mask hides what stands around a narrower mount, and never that itself."""
    mounts = [mount for mount in box.mounts if all(mask.allows(mount) for mask in box.masks)]
    steps = [
        (mount.inside, False, ["--bind" if mount.writable else "--ro-bind", str(mount.source)]) for mount in mounts
    ]
    steps += [(path, True, ["--tmpfs"]) for path in _to_mask(box.masks, mounts)]
    ordered = sorted(steps, key=lambda step: (len(step[0].parts), step[1]))
    return [word for inside, _, words in ordered for word in (*words, str(inside))]


def _make_mount_points(box: Box) -> None:
    """Those in TMPDIR, where earlier runs may have left anything. What stands in another mount is not among them."""
    within = [mount for mount in box.mounts if mount.inside.is_relative_to(TMP) and mount.inside != TMP]
    for mount in within:
        if not any(other.inside in mount.inside.parents for other in within):
            make_mount_point(box.tmp, mount.inside.relative_to(TMP), folder=mount.source.is_dir())


def _to_mask(masks: Sequence[Mask], mounts: Sequence[Mount]) -> set[Path]:
    """Where masked folders would appear inside, by the system's folders and by mounts."""
    shown = [(Path(top).resolve(), Path(top)) for top in ("/usr", "/opt", "/nix", "/snap", "/etc", *_own_system())]
    shown += [(mount.source.resolve(), mount.inside) for mount in mounts]
    hidden = [mask.folder.resolve() for mask in masks if mask.folder.is_dir()]
    return {
        inside / folder.relative_to(real) for real, inside in shown for folder in hidden if folder.is_relative_to(real)
    }


def _own_system() -> list[str]:
    """The system's folders that are no links into another one."""
    return [f"/{name}" for name in SYSTEM_FOLDERS if not Path("/", name).is_symlink()]


@cache
def _system() -> tuple[str, ...]:
    """The system's folders, read-only; merged ones as the links that they are."""
    flags: list[str] = []
    for top in ("usr", "opt", "nix", "snap"):
        if Path("/", top).is_dir():
            flags += ["--ro-bind", f"/{top}", f"/{top}"]
    for name in SYSTEM_FOLDERS:
        path = Path("/", name)
        if path.is_symlink():
            flags += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            flags += ["--ro-bind", str(path), str(path)]
    return tuple(flags)


@cache
def _etc(*, network: bool) -> tuple[str, ...]:
    """/etc without what an ordinary user of this machine could not read: as root we would hand out its secrets."""
    flags = ["--ro-bind", "/etc", "/etc"]
    for folder, folders, files in os.walk("/etc"):
        for name in list(folders):
            path = Path(folder, name)
            if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH:
                flags += ["--tmpfs", str(path)]
                folders.remove(name)
        for name in files:
            path = Path(folder, name)
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and not info.st_mode & stat.S_IROTH:
                flags += ["--ro-bind", "/dev/null", str(path)]
    resolver = Path("/etc/resolv.conf")
    if network and resolver.is_symlink() and resolver.exists():
        flags += ["--ro-bind", str(resolver.resolve()), str(resolver.resolve())]
    return tuple(flags)


def probe(executable: str | None = None, namespaces: Namespaces | None = None) -> Probe:
    """Whether it works here (or from within namespaces), tried with the very flags that runs get."""
    found = executable or shutil.which("bwrap")
    if found is None:
        return Probe(works=False, why="bubblewrap is not installed", fix="apt-get install bubblewrap")
    flags = [*NAMESPACES, *_system(), *_etc(network=False), "--proc", "/proc", "--dev", "/dev"]
    argv = [*(namespaces.entering if namespaces else ()), found, *flags, "--", "/bin/true"]
    try:
        done = run_sync(argv, cwd=Path("/"), env={"PATH": DEFAULT_PATH}, timeout_s=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Probe(works=False, why=f"bubblewrap can't be run: {error}", fix="apt-get install --reinstall bubblewrap")
    if done.returncode == 0:
        return Probe(works=True)
    why = done.stderr.decode(errors="replace").strip() or f"it exited with {done.returncode}"
    return Probe(works=False, why=f"bubblewrap does not work here: {why}", fix=_fix(why))


def _fix(why: str) -> str:
    """What usually mends it, by what it says."""
    lowered = why.lower()
    if "unknown option" in lowered or "disable-userns" in lowered:
        return "apt-get install bubblewrap, version 0.8 or newer"
    if "permission denied" in lowered or "operation not permitted" in lowered or "namespace" in lowered:
        return "sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
    return "bwrap --unshare-all --ro-bind / / true shows the cause"
