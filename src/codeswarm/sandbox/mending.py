"""What makes walls possible here: the command for the very thing that stands in the way. Looks, and changes nothing.

The kernel has several switches for namespaces, each distribution sets others of them, and some are in no other kernel:
so what is wrong is read from them, and a switch that is not there is never spoken of.
"""

from __future__ import annotations

import os
from pathlib import Path

from codeswarm.packages import as_root, system_package_instead, system_packages

PROC = Path("/proc/sys")
MANY = "15000"
_SWITCHES = {"kernel/unprivileged_userns_clone": ("0", "1"), "kernel/apparmor_restrict_unprivileged_userns": ("1", "0")}
"""File → what forbids namespaces to everyone but root, and what allows them."""
_KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_IN_CONTAINERS = (
    "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
    " --security-opt systempaths=unconfined …   # this container anew; podman takes the same"
)
_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))


def missing() -> str:
    return system_packages("bubblewrap")


def broken(executable: str) -> str:
    """A bubblewrap that can't be run, or that is none."""
    install = system_package_instead("bubblewrap", executable)
    return install.replace("apt-get install -y", "apt-get install -y --reinstall")


def too_old(executable: str) -> str:
    return f"{system_package_instead('bubblewrap', executable)}   # 0.8 or newer: github.com/containers/bubblewrap"


def namespaces_denied(proc: Path = PROC) -> str:
    """What the kernel was told to forbid; else, in a container, what its maker has."""
    for_everyone = _SWITCHES if os.geteuid() != 0 else {}  # root is asked by none of them
    wrong = {name: allowed for name, (forbidden, allowed) in for_everyone.items() if _read(proc / name) == forbidden}
    limits = [f"user/max_{kind}_namespaces" for kind in _KINDS]
    wrong |= {name: MANY for name in limits if _read(proc / name) == "0"}
    if wrong:
        write = " && ".join(f"echo {value} | {as_root(f'tee {proc / name}')}" for name, value in wrong.items())
        return f"{write}   # until the next start; in /etc/sysctl.d it stays"
    if any(path.exists() for path in _CONTAINER):
        return _IN_CONTAINERS
    return "bwrap --unshare-all --unshare-user --ro-bind / / true   # shows the cause"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
