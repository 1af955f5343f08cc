"""Where control groups are found and what is written to them: in folders laid out as the kernel's are.

That the kernel keeps to them is tested where it does, in tests/integration/test_limits.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codeswarm.sandbox import cgroups
from codeswarm.sandbox.base import Limits
from codeswarm.sandbox.cgroups import CPU, MEMORY, PIDS, Cgroups, Parent

FIRST = """36 25 0:30 / {root}/memory rw - cgroup cgroup rw,memory
37 25 0:31 /docker/abc {root}/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
38 25 0:32 /elsewhere {root}/pids rw - cgroup cgroup rw,pids
39 25 0:33 / {root}/unified rw - cgroup2 cgroup2 rw
"""
OWN = "9:memory:/user/one\n3:cpu,cpuacct:/docker/abc/deeper\n4:pids:/here\n0::/user.slice/a:b.scope\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "mountinfo").write_text(FIRST.format(root=tmp_path))
    (tmp_path / "cgroup").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize(
    ("controller", "found"),
    [
        ("memory", "memory/user/one"),
        ("cpu", "cpu,cpuacct/deeper"),
        ("", "unified/user.slice/a:b.scope"),
        ("pids", None),
        ("hugetlb", None),
    ],
)
def test_our_own_group_is_found_below_where_its_tree_is_mounted(proc: Path, controller: str, found: str | None) -> None:
    assert cgroups._ours(controller, proc) == (None if found is None else proc / found)


def test_where_there_is_no_proc_there_are_no_groups(tmp_path: Path) -> None:
    assert cgroups._ours("memory", tmp_path / "none") is None


def written(folder: Path, version: int, limits: Limits, there: tuple[str, ...] = ()) -> dict[str, str]:
    for name in there:
        (folder / name).touch()
    for controller in cgroups.asked(limits):
        cgroups._set(folder, version, controller, limits)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_limits_are_written_as_each_version_reads_them(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    limits = Limits(memory_mib=512, cpus=1.5, pids=100)
    assert written(one, 1, limits, ("memory.memsw.limit_in_bytes",)) == {
        "memory.limit_in_bytes": "536870912",
        "memory.memsw.limit_in_bytes": "536870912",
        "cpu.cfs_quota_us": "150000",
        "pids.max": "100",
    }
    assert written(two, 2, limits, ("memory.swap.max",)) == {
        "memory.max": "536870912",
        "memory.swap.max": "0",
        "cpu.max": "150000 100000",
        "pids.max": "100",
    }


def test_what_is_there_only_with_swap_is_not_missed(tmp_path: Path) -> None:
    assert written(tmp_path, 2, Limits(memory_mib=1)) == {"memory.max": "1048576"}


def test_the_least_of_a_processor_is_what_the_kernel_takes(tmp_path: Path) -> None:
    assert written(tmp_path, 1, Limits(cpus=0.001)) == {"cpu.cfs_quota_us": "1000"}


def test_what_was_run_into_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n")
    (tmp_path / "pids.events").write_text("max 0\n")
    group = cgroups.Group({tmp_path: 2}, Limits(memory_mib=512, cpus=1, pids=100))
    assert group.exceeded() == ("512 MiB of memory",)
    (tmp_path / "pids.events").write_text("max 3\n")
    assert group.exceeded() == ("512 MiB of memory", "100 processes")


def test_what_can_not_be_had_is_told_with_its_reason(tmp_path: Path) -> None:
    here = Cgroups({MEMORY: Parent(tmp_path, 2)}, "it is not ours")
    lacks = here.lacks(Limits(memory_mib=1, cpus=2, pids=3))
    assert [(lack.what, lack.why) for lack in lacks] == [
        ("a limit of 2 processors", "it is not ours"),
        ("a limit of 3 processes", "it is not ours"),
    ]
    assert here.lacks(Limits(memory_mib=1)) == here.lacks(Limits()) == ()
    assert here.make("box", Limits(cpus=1)) is None


def tree(folder: Path, *, procs: str, controllers: str = "cpu memory pids", subtree: str = "") -> Path:
    (folder / "cgroup.procs").write_text(procs)
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text(subtree)
    return folder


def test_a_group_that_holds_us_alone_is_opened_up_from_a_leaf(tmp_path: Path) -> None:
    group = tree(tmp_path, procs=f"{os.getpid()}\n", controllers="cpu io pids")
    assert cgroups._open_up(group) == ""
    assert (group / "cgroup.subtree_control").read_text() == "+cpu +pids"
    (leaf,) = group.glob("codeswarm@worker@*")
    assert (leaf / "cgroup.procs").read_text() == str(os.getpid())


@pytest.mark.parametrize(
    ("group", "why"),
    [
        ({"procs": "1\n2\n"}, "other processes are in our control group"),
        ({"procs": "", "controllers": "io"}, "was given no controllers"),
    ],
)
def test_a_group_that_is_others_too_is_left_alone(tmp_path: Path, group: dict[str, str], why: str) -> None:
    assert why in cgroups._open_up(tree(tmp_path, **group))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_group_that_bounds_its_children_already_needs_nothing(tmp_path: Path) -> None:
    group = tree(tmp_path, procs="1\n", subtree="cpu memory pids")
    assert cgroups._open_up(group) == ""
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_leftovers_are_those_of_dead_processes(tmp_path: Path) -> None:
    here = Cgroups({CPU: Parent(tmp_path, 1), PIDS: Parent(tmp_path, 1)})
    for name in ("codeswarm@s.t.1@999999999.1", f"codeswarm@s.t.1.gate@{os.getpid()}.2", "codeswarm@odd", "else"):
        (tmp_path / name).mkdir()
    assert [door.parent.name for group in here.left() for door in group.doors] == ["codeswarm@s.t.1@999999999.1"]
