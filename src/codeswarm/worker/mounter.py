"""Mounts workspaces' overlays, each in namespaces of its own, and hands those over. A program of its own.

`python -I -S mounter.py SOCKET` is started once and forks for each mount: that takes a tenth of the time of starting
Python. What it forked ends when the mount is made: a mount lives as long as someone holds a descriptor of its
namespace, and whoever asked gets three of them through a socket that came with the question: the user namespace, the
mount namespace, and the folder in which the workspace stands as NAME. So no process waits inside. The program itself is
in none of them, knows nothing from one mount to the next, and ends with whoever holds the other end of SOCKET.

The folder is on a file system of its own, which only the namespace has: whoever looks for the workspace on the host
finds nothing there, rather than an empty folder that could be taken for one in which everything was deleted.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
HOLD = "mode=0700,size=64k"
OPTIONS = "userxattr,index=off,nfs_export=off,lowerdir=mount/lower,upperdir=upper,workdir=work"
"""Relative paths: they need no escapes, whatever stands in the name of a folder. Without an index, so that a lower that
had to be made anew is as good as the first one. Not volatile: that would forbid to mount again after a kill."""

AGENT = 1000
"""Who agents are in a sandbox (`UID` there): git's index names the owner of each file, and believes no other one."""
LONGEST_QUESTION = 1 << 16

libc = ctypes.CDLL(None, use_errno=True)


def enter_namespaces() -> None:
    """Namespaces of our own, in which we are who agents are in their sandboxes."""
    user, group = os.getuid(), os.getgid()
    checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{AGENT} {user} 1"), ("gid_map", f"{AGENT} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    mount(None, "/", None, MS_REC | MS_PRIVATE)  # what the host mounts later would come to be seen inside, writable


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


def hand_over(asker: socket.socket, root: str, lower: str, name: str) -> None:
    """Answer with the descriptors of a mount, or with words on why there is none."""
    try:
        enter_namespaces()
        mount_overlay(root, lower, name)
        inside = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
        folder = os.open("mount", os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        asker.send(os.fsencode(str(error)))
    else:
        socket.send_fds(asker, [b"."], [*inside, folder])


def serve(questions: socket.socket) -> None:
    while True:
        question, descriptors, _, _ = socket.recv_fds(questions, LONGEST_QUESTION, 1)
        if not question:
            return
        if os.fork() == 0:
            questions.close()
            hand_over(socket.socket(fileno=descriptors[0]), *os.fsdecode(question).split("\0"))
            os._exit(0)
        os.close(descriptors[0])


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    with socket.socket(fileno=int(sys.argv[1])) as questions:
        serve(questions)


if __name__ == "__main__":
    main()
