from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from codeswarm.sandbox.base import Box
from codeswarm.sandbox.marks import marked
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker.run import Done, _Log, run_to_end


@given(st.integers(2, 40), st.lists(st.binary(max_size=15), max_size=20))
def test_of_a_long_output_the_beginning_and_the_end_are_kept_and_the_gap_is_counted(
    most: int, parts: list[bytes]
) -> None:
    log = _Log(most)
    for part in parts:
        log.add(part)
    whole, half = b"".join(parts), most // 2
    if len(whole) <= 2 * half:
        assert log.whole() == whole
        return
    gap = f"\n[… {len(whole) - 2 * half} bytes of output left out …]\n".encode()
    assert log.whole() == whole[:half] + gap + whole[len(whole) - half :]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    folders = [tmp_path / name for name in ("work", "home", "run", "tmp")]
    for folder in folders:
        folder.mkdir()
    return Box(f"run-{tmp_path.name}", *folders)


async def run(box: Box, command: str, timeout_s: float = 60, keep: Path | None = None, stdin: bytes = b"") -> Done:
    argv, environment = ["/bin/sh", "-c", command], {"PATH": os.defpath}
    return await run_to_end(NoSandbox(), box, argv, environment, timeout_s=timeout_s, keep=keep, stdin=stdin)


async def test_a_commands_output_and_exit_code_are_told(box: Box, tmp_path: Path) -> None:
    done = await run(box, "echo out; echo err >&2; exit 3", keep=tmp_path / "log")
    assert (done.exit_code, done.timed_out, done.tail) == (3, False, "out\nerr")
    assert (tmp_path / "log").read_bytes() == done.log == b"out\nerr\n"


async def test_at_the_time_out_everything_that_it_started_is_ended(box: Box) -> None:
    done = await run(box, "sleep 600 & sleep 600 & echo begun; sleep 600", timeout_s=0.3)
    assert (done.exit_code, done.timed_out, done.leftovers) == (None, True, ())
    assert done.tail == "begun"
    assert marked(box.name) == []


async def test_what_a_command_leaves_behind_is_ended_with_it(box: Box) -> None:
    done = await run(box, "sleep 600 & exit 0")
    assert done.exit_code == 0
    assert marked(box.name) == []


async def test_a_command_whose_caller_goes_away_is_ended(box: Box) -> None:
    running = asyncio.create_task(run(box, "echo $$ > ../run/pid; sleep 600"))
    while not (box.run / "pid").exists() or not (box.run / "pid").read_text():
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert marked(box.name) == []


async def test_a_command_whose_caller_goes_away_while_it_starts_is_ended(box: Box) -> None:
    running = asyncio.create_task(run(box, "echo $$ > ../run/pid; sleep 600"))
    while not marked(box.name):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert marked(box.name) == []


@pytest.mark.parametrize(("command", "told"), [("wc -c", "3000000"), ("head -c 3", "aaa"), ("exec <&-; echo x", "x")])
async def test_a_command_reads_as_much_as_it_likes_of_what_it_is_given(box: Box, command: str, told: str) -> None:
    done = await run(box, command, stdin=b"a" * 3_000_000)
    assert (done.exit_code, done.tail) == (0, told)


async def test_standard_input_is_empty(box: Box) -> None:
    assert (await run(box, "cat; echo end")).tail == "end"
