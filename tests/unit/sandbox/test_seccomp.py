"""The filter, run by a machine of four instructions as the kernel would, and its numbers held to libseccomp's."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

import pytest

from codeswarm.sandbox.seccomp import RULES, program
from codeswarm.sandbox.syscalls import MACHINES

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
O_CREAT, O_TMPFILE, SET_USER_ID = 0o100, 0o20200000, 0o4755
CLONE_VM, CLONE_THREAD, CLONE_NEWUSER, CLONE_NEWNET = 0x100, 0x10000, 0x10000000, 0x40000000
TIOCSTI, TIOCGWINSZ = 0x5412, 0x5413
machines = pytest.mark.parametrize("machine", MACHINES)


def run(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the filter answers to a call."""
    seen = struct.pack("=IIQ6Q", number, MACHINES[machine][0] if arch is None else arch, 0, *(*arguments, *[7] * 6)[:6])
    code = program(machine)
    assert code is not None
    place = held = 0
    while True:
        kind, yes, no, value = struct.unpack_from("=HBBI", code, 8 * place)
        place += 1
        if kind == 0x06:
            return int(value)
        if kind == 0x20:
            held = struct.unpack_from("=I", seen, value)[0]
        else:
            held_true = {0x15: held == value, 0x45: bool(held & value), 0x35: held >= value}[kind]
            place += yes if held_true else no


def call(machine: str, name: str, *arguments: int) -> str | int:
    """What a call comes to: "allowed", or the error."""
    answer = run(machine, MACHINES[machine][1][name], *arguments)
    return "allowed" if answer == ALLOWED else answer & 0xFFFF


@machines
def test_what_is_denied_outright_is_denied_on_every_machine_that_has_it(machine: str) -> None:
    known = MACHINES[machine][1]
    outright = {name: rule.error for rule in RULES if not rule.when for name in rule.calls if name in known}
    assert {name: call(machine, name) for name in outright} == outright
    assert {"keyctl", "bpf", "mount", "setns", "open_by_handle_at", "clone3", "io_uring_setup"} <= outright.keys()


@machines
@pytest.mark.parametrize(
    ("name", "arguments", "outcome"),
    [
        ("clone", (CLONE_VM | CLONE_THREAD,), "allowed"),
        ("clone", (CLONE_VM | CLONE_NEWUSER,), errno.EPERM),
        ("clone", (CLONE_NEWNET,), errno.EPERM),
        ("unshare", (0x400,), "allowed"),
        ("unshare", (CLONE_NEWUSER,), errno.EPERM),
        ("unshare", (0x80,), errno.EPERM),
        ("ioctl", (0, TIOCSTI), errno.EPERM),
        ("ioctl", (0, TIOCSTI | 1 << 32), errno.EPERM),
        ("ioctl", (0, 0x541C), errno.EPERM),
        ("ioctl", (0, TIOCGWINSZ), "allowed"),
        ("socket", (1, 1, 0), "allowed"),
        ("socket", (2, 1, 0), "allowed"),
        ("socket", (10, 1, 0), "allowed"),
        ("socket", (16, 3, 0), "allowed"),
        ("socket", (16, 3, 15), errno.EPROTONOSUPPORT),
        ("socket", (40, 1, 0), errno.EAFNOSUPPORT),
        ("socket", (1 << 32 | 40, 1, 0), errno.EAFNOSUPPORT),
        ("socketpair", (1, 1, 0), "allowed"),
        ("socketpair", (38, 1, 0), errno.EAFNOSUPPORT),
        ("fchmod", (3, 0o755), "allowed"),
        ("fchmod", (3, SET_USER_ID), errno.EPERM),
        ("fchmodat", (-100 & (1 << 64) - 1, 0, SET_USER_ID), errno.EPERM),
        ("fchmodat2", (3, 0, SET_USER_ID, 0), errno.EPERM),
        ("mknodat", (3, 0, SET_USER_ID, 0), errno.EPERM),
        ("openat", (3, 0, O_CREAT, SET_USER_ID), errno.EPERM),
        ("openat", (3, 0, O_TMPFILE, SET_USER_ID), errno.EPERM),
        ("openat", (3, 0, O_CREAT, 0o2755), "allowed"),
        ("openat", (3, 0, os.O_RDONLY, SET_USER_ID), "allowed"),
    ],
)
def test_what_depends_on_arguments_is_denied_by_them(
    machine: str, name: str, arguments: tuple[int, ...], outcome: str | int
) -> None:
    assert call(machine, name, *arguments) == outcome


@machines
def test_whatever_is_not_named_is_allowed(machine: str) -> None:
    named = set(MACHINES[machine][1].values())
    assert {run(machine, number) for number in range(600) if number not in named} == {ALLOWED}


@machines
def test_calls_of_another_architecture_end_whoever_makes_them(machine: str) -> None:
    assert run(machine, 0, arch=0x40000003) == KILLED


def test_the_second_table_of_an_x86_64_kernel_is_not_there() -> None:
    assert run("x86_64", 0x40000000 | 41, 40) & 0xFFFF == errno.ENOSYS


def test_old_calls_that_only_x86_64_has_are_denied_there_too() -> None:
    assert call("x86_64", "open", 0, O_CREAT, SET_USER_ID) == errno.EPERM
    assert call("x86_64", "chmod", 0, SET_USER_ID) == errno.EPERM
    assert call("x86_64", "creat", 0, SET_USER_ID) == errno.EPERM


def test_there_is_no_filter_for_a_machine_whose_numbers_are_not_known() -> None:
    assert program("vax") is None


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_the_numbers_are_those_that_libseccomp_knows(machine: str) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        pytest.skip(f"apt-get install libseccomp2: {error}")
    arch, numbers = MACHINES[machine]
    found = {name: library.seccomp_syscall_resolve_name_arch(arch, name.encode()) for name in numbers}
    unknown = -1  # newer than the library
    assert {name: number for name, number in found.items() if number not in (unknown, numbers[name])} == {}
    assert unknown not in {number for name, number in found.items() if numbers[name] < 440}


def test_all_machines_since_then_share_one_table() -> None:
    assert MACHINES["loongarch64"][1] is MACHINES["riscv64"][1] is MACHINES["aarch64"][1]


@machines
def test_every_call_of_a_rule_has_a_number_where_there_is_such_a_call(machine: str) -> None:
    missing = {name for rule in RULES for name in rule.calls} - MACHINES[machine][1].keys()
    only_x86 = {"iopl", "ioperm", "modify_ldt", "uselib", "_sysctl", "chmod", "mknod", "creat", "open"}
    assert missing == (set() if machine == "x86_64" else only_x86)
