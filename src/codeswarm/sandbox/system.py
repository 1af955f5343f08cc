"""What of the system every box shows, as bubblewrap's words: its folders, /etc and /proc, without secrets."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

from codeswarm.sandbox.shown import SYSTEM_FOLDERS


@cache
def folders() -> tuple[str, ...]:
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
def proc() -> tuple[str, ...]:
    """/proc of its own. The kernel's own files in it belong to root, who is who we are inside where root runs us: it
    takes no capability to write a setting of the kernel's, and one of them names a program that the host then starts.
    Source: what Docker masks, moby/oci/defaults.go, but for bus, irq and sysrq-trigger, which bubblewrap covers itself
    where they can be written (bubblewrap.c, cover_proc_dirs).
    """
    if os.getuid() != 0:
        return ("--proc", "/proc")
    flags = ["--proc", "/proc"]
    for name in ("acpi", "asound", "fs", "scsi", "sys"):
        if (path := Path("/proc", name)).exists() and any(path.iterdir()):
            flags += ["--ro-bind", str(path), str(path)]
    for name in ("keys", "latency_stats", "sched_debug", "timer_list"):
        if (path := Path("/proc", name)).exists():
            flags += ["--ro-bind", os.devnull, str(path)]
    return tuple(flags)


def etc(*, network: bool) -> tuple[str, ...]:
    """/etc without what an ordinary user of this machine could not read: as root we would hand out its secrets. It is
    looked through again whenever something was added to it.
    """
    if (kept := _looked_through.get(network)) is None or any(_changed(*folder) for folder in kept[0]):
        kept = _looked_through[network] = _look_through(network=network)
    return kept[1]


_looked_through: dict[bool, tuple[list[tuple[str, int]], tuple[str, ...]]] = {}
"""With and without network: each folder and when it last changed, and the words."""


def _changed(folder: str, when_ns: int) -> bool:
    try:
        return os.stat(folder).st_mtime_ns != when_ns  # noqa: PTH116 - of a hundred and more, at each start
    except OSError:
        return True


def _look_through(*, network: bool) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Each mount takes the kernel some time at every start, so what we could not read anyhow needs no mask."""
    changed = [(folder, Path(folder).stat().st_mtime_ns) for folder, _, _ in os.walk("/etc")]  # before it is looked at
    flags = ["--ro-bind", "/etc", "/etc"]
    for folder, folders, files in os.walk("/etc"):
        for name in list(folders):
            path = Path(folder, name)
            if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH:
                flags += ["--tmpfs", str(path)] if os.access(path, os.X_OK) else []
                folders.remove(name)
        for name in files:
            path = Path(folder, name)
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and not info.st_mode & stat.S_IROTH and os.access(path, os.R_OK):
                flags += ["--ro-bind", os.devnull, str(path)]
    resolver = Path("/etc/resolv.conf")
    if network and resolver.is_symlink() and resolver.exists():
        flags += ["--ro-bind", str(resolver.resolve()), str(resolver.resolve())]
    return changed, tuple(flags)
