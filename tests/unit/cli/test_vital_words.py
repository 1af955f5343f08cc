"""What an agent is at, in a person's words; and the quick question that `status` asks for it."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from codeswarm.cli.output import day_and_time
from codeswarm.cli.words import agent_vital, vital
from codeswarm.domain.states import AgentState
from codeswarm.glance import MAX_SOCKET_PATH, glance

NOW_MS = 1_700_000_000_000


def sign(state: str, for_s: float = 250.0, **rest: Any) -> dict[str, Any]:
    return {"state": state, "for_s": for_s, "doing": "", "until_ms": None, **rest}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (sign("spawning", 3), "spawning 3 s"),
        (sign("thinking"), "thinking 4 min 10 s"),
        (sign("running_command", 720, doing="pytest -q"), "running pytest -q 12 min 00 s"),
        (sign("running_command", 5), "running a command 5 s"),
        (sign("running_command", 5, doing="x" * 60), f"running {'x' * 29}… 5 s"),
        (sign("waiting_person", 90_000), "waits for a person 25 h 00 min"),
        (sign("rate_limited"), "rate-limited 4 min 10 s"),
        (sign("stalled", 4), "stalled 4 s"),
        (sign("gone", 4), "gone 4 s"),
    ],
)
def test_each_state_is_told_in_a_few_words(told: dict[str, Any], words: str) -> None:
    assert vital(told, NOW_MS) == words


def test_every_state_has_words() -> None:
    assert all(vital(sign(state), NOW_MS) for state in AgentState)


@pytest.mark.parametrize("hours", [0, 30])
def test_the_end_of_a_rate_limit_is_told_by_the_clock_and_on_another_day_with_its_date(hours: int) -> None:
    until = NOW_MS + hours * 3_600_000
    words = vital(sign("rate_limited", until_ms=until), NOW_MS)
    assert words == f"rate-limited until {day_and_time(until)[0 if hours else 11 :]}"


def test_a_worker_that_fell_silent_is_told() -> None:
    agent = {"heard_s": 41.0, "silent": True, "vital": sign("thinking")}
    assert agent_vital(agent, NOW_MS) == "thinking 4 min 10 s, its worker silent for 41 s"
    assert agent_vital({**agent, "silent": False}, NOW_MS) == "thinking 4 min 10 s"


@contextmanager
def answering(path: Path, status: int, body: bytes) -> Iterator[list[str]]:
    asked: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """It says nothing."""

        def address_string(self) -> str:
            return ""

    with socketserver.UnixStreamServer(str(path), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_a_quick_question_has_an_answer(tmp_path: Path) -> None:
    with answering(tmp_path / "s", 200, b'[{"ticket": "a"}]') as asked:
        assert glance(tmp_path / "s", "/sessions/s1/agents") == [{"ticket": "a"}]
        assert asked == ["/api/v1/sessions/s1/agents"]


@pytest.mark.parametrize(("status", "body"), [(404, b"{}"), (503, b""), (200, b"<html>"), (200, b"\xff")])
def test_whatever_else_comes_back_is_none(tmp_path: Path, status: int, body: bytes) -> None:
    with answering(tmp_path / "s", status, body):
        assert glance(tmp_path / "s", "/x") is None


def test_where_nobody_listens_there_is_none_however_long_the_path(tmp_path: Path) -> None:
    assert glance(tmp_path / "nobody", "/x") is None
    deep = tmp_path / ("d" * MAX_SOCKET_PATH)
    assert glance(deep / "nobody", "/x") is None
