from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.base import Activity
from codeswarm.agents.command import TYPES, activity_of
from codeswarm.agents.replay import player
from codeswarm.agents.replay.recording import Recorder, recording_path
from codeswarm.testing.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def steps(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def play(path: Path, workspace: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The real player, as a program of its own."""
    argv = [sys.executable, "-I", "-S", player.__file__, str(path)]
    result = {"CODESWARM_RESULT": str(workspace.parent / "result.json"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(argv, cwd=workspace, env=result, input=stdin, capture_output=True, check=False, timeout=60)


def test_a_recording_has_its_place_by_ticket_phase_and_number() -> None:
    assert recording_path(Path("/r"), "t1", "contract", 2) == Path("/r/t1/contract.2.jsonl")


async def test_steps_carry_the_seconds_since_the_attempt_began(tmp_path: Path, clock: VirtualClock) -> None:
    await clock.advance(100)
    path = tmp_path / "t1" / "implementation.1.jsonl"
    recorder = Recorder(path, clock)
    recorder.activity(Activity("assistant", text="hello"))
    await clock.advance(1.25)
    recorder.activity(Activity("usage", data={"cost_usd": 0.5, "type": "usage", "text": "x"}))
    recorder.end({"verdict": "approve"}, 0)
    assert steps(path) == [
        {"t": 0.0, "type": "assistant", "text": "hello"},
        {"t": 1.25, "type": "usage", "text": "", "cost_usd": 0.5},
        {"t": 1.25, "type": "result", "value": {"verdict": "approve"}},
        {"t": 1.25, "type": "end", "exit": 0},
    ]


def test_figures_under_any_name_are_recorded(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "a.jsonl"
    recorder = Recorder(path, clock)
    recorder.activity(Activity("usage", data={"self": 1, "type_": 2, "input_tokens": 3}))
    recorder.end(None, 0)
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["type"], first["self"], first["type_"], first["input_tokens"]) == ("usage", 1, 2, 3)


def test_a_recording_appears_under_its_name_only_when_the_attempt_has_ended(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "t1" / "implementation.1.jsonl"
    recorder = Recorder(path, clock)
    recorder.step("assistant", text="x")
    assert not path.exists()
    recorder.close()
    recorder.close()
    assert not path.exists()
    assert path.with_suffix(".partial").exists()


def test_what_was_recorded_is_played_back_the_same(tmp_path: Path, clock: VirtualClock) -> None:
    path, workspace = tmp_path / "r" / "implementation.1.jsonl", tmp_path / "work"
    workspace.mkdir()
    (workspace / "old.txt").write_text("old")
    (workspace / "folder/deep").mkdir(parents=True)
    (workspace / "folder/deep/file").write_text("old")
    recorder = Recorder(path, clock)
    recorder.activity(activity_of('{"type":"assistant","text":"ü→ \\ud800"}', 0))
    files = {
        b"src/a.py": ("100644", "ü = '→'\n".encode()),
        b"bin/run": ("100755", b"#!/bin/sh\n"),
        b"link": ("120000", b"src/a.py"),
        b"raw.bin": ("100644", b"\xff\x00\xfe"),
        b"odd-\xff-name": ("100644", b"x"),
        b"odd-link": ("120000", b"to-\xff"),
        b"folder": ("100644", b"a file where a folder was"),
    }
    for gone in ("old.txt", "never-there", "folder/deep/file"):
        recorder.deleted(gone)
    for name, (mode, content) in files.items():
        recorder.written(os.fsdecode(name), mode, content)
    recorder.end({"verdict": "approve"}, 3)
    done = play(path, workspace)
    assert (done.returncode, done.stderr) == (3, b"")
    assert json.loads(done.stdout.splitlines()[0]) == {"type": "assistant", "text": "ü→ ?"}
    assert (workspace / "src/a.py").read_bytes() == files[b"src/a.py"][1]
    assert (workspace / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (workspace / "link").readlink() == Path("src/a.py")
    assert (workspace / "raw.bin").read_bytes() == b"\xff\x00\xfe"
    assert (workspace / os.fsdecode(b"odd-\xff-name")).read_bytes() == b"x"
    assert os.readlink(os.fsencode(workspace / "odd-link")) == b"to-\xff"
    assert not (workspace / "old.txt").exists()
    assert (workspace / "folder").read_text() == "a file where a folder was"
    assert json.loads((tmp_path / "result.json").read_text()) == {"verdict": "approve"}


def test_a_replay_goes_on_only_when_what_it_stood_behind_has_happened(tmp_path: Path) -> None:
    path, workspace = tmp_path / "r.jsonl", tmp_path / "work"
    workspace.mkdir()
    recorded = [
        {"t": 0, "type": "await", "event": "TicketLanded", "match": {"ticket": "a"}},
        {"t": 0, "type": "write", "path": "after", "text": "x"},
        {"t": 0, "type": "end", "exit": 0},
    ]
    path.write_text("".join(json.dumps(step) + "\n" for step in recorded))
    done = play(path, workspace, stdin=b"go on\n")
    asked = activity_of(done.stdout.decode().splitlines()[0], 0, TYPES | {"await"})
    assert (asked.type, asked.data["event"], asked.data["match"]) == ("await", "TicketLanded", {"ticket": "a"})
    assert (workspace / "after").exists()


def test_a_recorded_death_by_a_signal_is_a_death_by_that_signal(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"t": 0, "type": "end", "signal": 9}\n')
    (tmp_path / "work").mkdir()
    assert play(path, tmp_path / "work").returncode == -9


@pytest.mark.parametrize(
    "end",
    [
        "",
        '{"type": "end", "exi',
        '{"type": "end"}',
        '{"type": "end", "exit": 256}',
        '{"type": "end", "exit": false}',
        '{"type": "end", "exit": "0"}',
        '{"type": "end", "signal": 0}',
        '{"type": "end", "signal": 18}',
        "[]",
        "\0",
    ],
)
def test_a_recording_whose_end_is_missing_or_none_is_no_success(tmp_path: Path, end: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"t": 0, "type": "assistant", "text": "cut off"}\n' + end)
    (tmp_path / "work").mkdir()
    assert play(path, tmp_path / "work").returncode != 0
