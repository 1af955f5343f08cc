"""Which system calls a run is denied, as a filter for the kernel: everything else it may do.

What is denied either reaches around namespaces (keyrings, terminals, the machine's own time and modules, sockets of
families that no namespace holds), leaves something on the host that a file should not be (set-user-id), or is a wide
door into the kernel that no build and no test needs. ptrace is not among it: it ends at the walls of the PID namespace,
and debuggers and leak sanitizers in gates live by it.

The program is classic BPF, put together here: some two hundred instructions of four kinds, which the kernel has kept
since 1992. A library that may be missing would make walls of two heights.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codeswarm.sandbox.syscalls import MACHINES

_LOAD, _EQUALS, _ANY_BIT, _AT_LEAST, _ANSWER = 0x20, 0x15, 0x45, 0x35, 0x06
"""Instructions: BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JSET|K, BPF_JMP|JGE|K, BPF_RET|K. Source: linux/bpf_common.h."""
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
"""Answers. Source: linux/seccomp.h."""
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
"""Where they stand in `struct seccomp_data`; each argument takes eight bytes, of which the kernel reads as many as the
call has use for: four in all that is looked at here."""
_X32 = 0x40000000
"""From this number on an x86-64 kernel takes a call for one of another table."""

_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_NEW_TIME = 0x80
_MAKES_FILE = os.O_CREAT | 0o20000000
"""Only then does a call to open look at a mode: O_CREAT and what O_TMPFILE adds to O_DIRECTORY."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0

_Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class AnyBit:
    """An argument has one of these bits."""

    argument: int
    bits: int


@dataclass(frozen=True, slots=True)
class NoneOf:
    """An argument has none of these values."""

    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Is:
    argument: int
    value: int


Condition = AnyBit | NoneOf | Is


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that fail with an error, where all conditions hold."""

    calls: tuple[str, ...]
    error: int = errno.EPERM
    when: tuple[Condition, ...] = ()


def _rules() -> Iterator[Rule]:
    yield Rule(("add_key", "request_key", "keyctl"))  # a session's keyring is inherited through all walls
    yield Rule(("bpf", "perf_event_open", "userfaultfd", "fanotify_init", "lookup_dcookie"))
    yield Rule(("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot"))
    yield Rule(("settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname"))
    yield Rule(("swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "vhangup", "syslog"))
    yield Rule(("iopl", "ioperm", "modify_ldt", "uselib", "_sysctl"))
    yield Rule(("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount"))
    yield Rule(("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at", "setns"))
    yield Rule(("clone",), when=(AnyBit(0, _NEW_NAMESPACES),))
    yield Rule(("unshare",), when=(AnyBit(0, _NEW_NAMESPACES | _NEW_TIME),))
    # Their arguments are in memory, where no filter looks. Whoever calls them falls back where there is no such call.
    yield Rule(("clone3", "openat2"), errno.ENOSYS)
    yield Rule(("io_uring_setup", "io_uring_enter", "io_uring_register"), errno.ENOSYS)
    yield Rule(("ioctl",), when=(Is(1, _TIOCSTI),))
    yield Rule(("ioctl",), when=(Is(1, _TIOCLINUX),))
    families = NoneOf(0, (_UNIX, _INET, _INET6, _NETLINK))
    yield Rule(("socket", "socketpair"), errno.EAFNOSUPPORT, (families,))
    yield Rule(("socket",), errno.EPROTONOSUPPORT, (Is(0, _NETLINK), NoneOf(2, (_NETLINK_ROUTE,))))
    yield from _against_set_user_id()


def _against_set_user_id() -> Iterator[Rule]:
    """Nothing inside gains by such a file, but it also stands on the host, where others may find it."""
    for calls, place in ((("chmod", "fchmod", "mknod", "creat"), 1), (("fchmodat", "fchmodat2", "mknodat"), 2)):
        yield Rule(calls, when=(AnyBit(place, stat.S_ISUID),))
    yield Rule(("open",), when=(AnyBit(1, _MAKES_FILE), AnyBit(2, stat.S_ISUID)))
    yield Rule(("openat",), when=(AnyBit(2, _MAKES_FILE), AnyBit(3, stat.S_ISUID)))


RULES = tuple(_rules())


def program(machine: str) -> bytes | None:
    """The filter for a machine, as `bwrap --seccomp` reads it; None where its numbers are not known."""
    if machine not in MACHINES:
        return None
    arch, numbers = MACHINES[machine]
    code = [*_only(arch), *(_x32() if machine == "x86_64" else ())]
    for rule in RULES:
        for call in rule.calls:
            if call in numbers:  # one that this machine never had needs no rule
                code += _refused(numbers[call], rule)
    return b"".join(struct.pack("=HBBI", *each) for each in [*code, (_ANSWER, 0, 0, _ALLOW)])


def _only(arch: int) -> list[_Instruction]:
    """The calls of another architecture that this kernel runs, too, have other numbers: whoever makes one is ended."""
    return [(_LOAD, 0, 0, _MACHINE), (_EQUALS, 1, 0, arch), (_ANSWER, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]


def _x32() -> list[_Instruction]:
    return [(_AT_LEAST, 0, 1, _X32), (_ANSWER, 0, 0, _REFUSE | errno.ENOSYS)]


def _refused(number: int, rule: Rule) -> list[_Instruction]:
    """With the call's number loaded, before and after."""
    block: list[_Instruction] = [(_ANSWER, 0, 0, _REFUSE | rule.error)]
    for condition in reversed(rule.when):
        block = [(_LOAD, 0, 0, _ARGUMENTS + 8 * condition.argument), *_tested(condition, len(block)), *block]
    if rule.when:
        block.append((_LOAD, 0, 0, _NUMBER))
    return [(_EQUALS, 0, len(block), number), *block]


def _tested(condition: Condition, rest: int) -> Sequence[_Instruction]:
    """Go on where it holds, else skip the rest of the block."""
    match condition:
        case AnyBit(bits=bits):
            return [(_ANY_BIT, 0, rest, bits)]
        case Is(value=value):
            return [(_EQUALS, 0, rest, value)]
        case NoneOf(values=values):
            return [(_EQUALS, len(values) - place - 1 + rest, 0, value) for place, value in enumerate(values)]
