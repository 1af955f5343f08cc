"""Mounts one workspace's overlay in namespaces of its own, and hands those over. A program of its own.

`python -I -S mounter.py ROOT LOWER NAME SOCKET` starts in milliseconds and ends when it is done: a mount lives as long
as someone holds a descriptor of its namespace, and whoever asked gets three of them through the socket: the user
namespace, the mount namespace, and the folder in which the workspace stands as NAME. So no process waits inside.

The folder is on a file system of its own, which only the namespace has: whoever looks for the workspace on the host
finds nothing there, rather than an empty folder that could be taken for one in which everything was deleted.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 32, 4096, 16384, 1 << 19
HOLD = "mode=0700,size=64k"
OPTIONS = "userxattr,index=off,nfs_export=off,lowerdir=mount/lower,upperdir=upper,workdir=work"
"""Relative paths: they need no escapes, whatever stands in the name of a folder. Without an index, so that a lower that
had to be made anew is as good as the first one. Not volatile: that would forbid to mount again after a kill."""

libc = ctypes.CDLL(None, use_errno=True)


def enter_namespaces() -> None:
    """Namespaces of our own, in which we are who we are outside."""
    user, group = os.getuid(), os.getgid()
    checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    mount(None, "/", None, MS_REC | MS_SLAVE)


def mount_overlay(root: str, lower: str, name: str) -> None:
    os.chdir(root)
    mount("none", "mount", "tmpfs", 0, HOLD)
    os.mkdir("mount/lower")
    os.mkdir(f"mount/{name}")
    mount(lower, "mount/lower", None, MS_BIND)
    mount(None, "mount/lower", None, MS_BIND | MS_REMOUNT | MS_RDONLY)
    mount("none", f"mount/{name}", "overlay", 0, OPTIONS)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    done = libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    checked(done, f"mount of {kind or source or 'a change'} at {target}")


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def main() -> None:
    root, lower, name, number = sys.argv[1:]
    enter_namespaces()
    mount_overlay(root, lower, name)
    inside = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
    folder = os.open("mount", os.O_PATH | os.O_DIRECTORY)
    with socket.socket(fileno=int(number)) as asker:
        socket.send_fds(asker, [b"."], [*inside, folder])


if __name__ == "__main__":
    main()
