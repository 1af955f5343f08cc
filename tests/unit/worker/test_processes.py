"""What of a table of processes is an agent's; and that this machine's own table can be read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from codeswarm.worker.processes import Process, Table, Tables, blocked_in, read_table

UP = "import sys; print(flush=True); sys.stdin.read()"


def process(pid: int, parent: int, name: str = "sh", state: str = "S", cpu_s: float = 0.0, session: int = 0) -> Process:
    return Process(pid, parent, session, name, state, cpu_s, 0, started=float(pid))


def table(*processes: Process) -> Table:
    return Table(5.0, {one.pid: one for one in processes})


def boxed(*processes: Process) -> Table:
    """Behind two of bubblewrap's, the second of which is the first within; and somebody else's processes."""
    return table(process(1, 0), process(10, 1, "bwrap"), process(11, 10, "bwrap"), process(2, 1, "sshd"), *processes)


def test_the_agent_is_the_first_within_the_walls_and_what_it_starts_is_below_it() -> None:
    tree = boxed(process(12, 11, "claude"), process(13, 12, "bash"), process(14, 13, "pytest")).tree(10)
    assert tree.agent is not None
    assert (tree.agent.name, [below.name for below in tree.below]) == ("claude", ["bash", "pytest"])


def test_an_orphan_within_the_walls_is_still_its() -> None:
    tree = boxed(process(12, 11, "claude"), process(14, 11, "server")).tree(10)
    assert [below.name for below in tree.below] == ["server"]


def test_without_walls_an_orphan_is_known_by_its_process_session() -> None:
    found = table(process(1, 0), process(10, 1, "agent", session=10), process(12, 1, "orphan", session=10))
    assert [below.name for below in found.tree(10).below] == ["orphan"]


def test_the_dead_are_not_below_and_their_time_is_counted() -> None:
    tree = boxed(process(12, 11, "claude", cpu_s=1.0), process(13, 12, "sh", "Z", cpu_s=2.0)).tree(10)
    assert (tree.below, tree.cpu_s) == ((), 3.0)


@pytest.mark.parametrize("left", [(), (process(12, 11, "claude", "Z"),)])
def test_walls_without_anyone_within_have_no_agent(left: tuple[Process, ...]) -> None:
    tree = boxed(*left).tree(10)
    assert (tree.agent, tree.walls) == (None, True)


@pytest.mark.parametrize("left", [(), (process(10, 1, "claude", "Z"),), (process(10, 1, "claude", "X"),)])
def test_who_has_ended_has_no_tree(left: tuple[Process, ...]) -> None:
    tree = table(process(1, 0), *left).tree(10)
    assert (tree.agent, tree.walls) == (None, False)


@pytest.mark.parametrize(
    ("agent", "children", "stopped"),
    [
        (("claude", "T"), "", True),
        (("claude", "T"), "S", True),
        (("claude", "t"), "", False),
        (("claude", "S"), "T", False),
        (("sh", "S"), "T", True),
        (("sh", "S"), "TS", False),
        (("sh", "S"), "", False),
    ],
)
def test_it_is_stopped_when_it_is_or_the_one_program_that_its_shell_runs(
    agent: tuple[str, str], children: str, *, stopped: bool
) -> None:
    below = [process(13 + place, 12, "child", state) for place, state in enumerate(children)]
    assert boxed(process(12, 11, *agent), *below).tree(10).stopped is stopped


def test_the_processes_of_this_machine_can_be_read() -> None:
    with subprocess.Popen([sys.executable, "-c", UP], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = read_table(1.0)
        assert found is not None
        tree = found.tree(os.getpid())
        assert tree.agent is not None
        assert child.pid in {below.pid for below in tree.below}
        assert tree.cpu_s > 0
        child.communicate(b"")
    assert blocked_in(os.getpid()) == "", "we run"
    after = read_table(2.0)
    assert after is not None
    assert after.tree(child.pid).agent is None


async def test_however_many_ask_the_table_is_read_once() -> None:
    reads: list[float] = []

    async def read(at: float) -> Table:
        await asyncio.sleep(0)
        reads.append(at)
        return Table(at, {})

    tables = Tables(read)
    found = await asyncio.gather(*(tables.newest(100.0, 7.5) for _ in range(50)))
    assert reads == [100.0]
    assert len({id(one) for one in found}) == 1
    await tables.newest(107.0, 7.5)
    await tables.newest(108.0, 7.5)
    assert reads == [100.0, 108.0]
