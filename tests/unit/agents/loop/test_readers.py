"""Whatever a server sends becomes an answer or a `Trouble`, and half of an answer never a whole one."""

from __future__ import annotations

import http.client
import io
import json
import random
from typing import Any

import pytest

from codeswarm.agents.api.loop import endpoint
from codeswarm.agents.api.loop.answer import Answer, Trouble
from codeswarm.agents.api.loop.endpoint import Endpoint, Reader, events
from codeswarm.agents.api.loop.wire_anthropic import AnthropicReader, AnthropicWire
from codeswarm.agents.api.loop.wire_openai import OpenAIReader, OpenAIWire
from codeswarm.testing.model_server import Say, Shell, Think, Tokens, Turn
from codeswarm.testing.model_server.anthropic import AnthropicWire as ScriptedAnthropic
from codeswarm.testing.model_server.openai_chat import OpenAIChatWire as ScriptedOpenAI
from codeswarm.testing.model_server.request import Request, Tool
from codeswarm.testing.model_server.tools import with_real_tools

TOOL = Tool("shell", "function", frozenset({"command", "timeout_s"}))
ASKED = Request(
    number=1, wire="anthropic", path="/", model="m", system_text="", text="", last_user_text="", turns=0, tools=(TOOL,),
    stream=True, is_side_call=False, headers={}, raw={"stream_options": {"include_usage": True}},
)  # fmt: skip
TURN = with_real_tools(
    Turn(Think("hm"), Say("I look."), Shell("ls -l"), Shell("pwd"), usage=Tokens(900, 30, 400)), ASKED
)
STREAMS = {
    "anthropic": b"".join(ScriptedAnthropic().events(ASKED, TURN)),
    "openai": b"".join(ScriptedOpenAI().events(ASKED, TURN)),
}
every_wire = pytest.mark.parametrize("wire", list(STREAMS))


def reader_for(wire: str, heard: Any = lambda *_: None) -> Reader:
    return AnthropicReader(heard) if wire == "anthropic" else OpenAIReader(heard)


class Bytes(http.client.HTTPResponse):
    """A response that is made of bytes and not of a connection."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readline(self, limit: int = -1) -> bytes:  # type: ignore[override]
        return self._data.readline(limit)

    def close(self) -> None: ...


def read(wire: str, data: bytes) -> Answer | None:
    """The answer; None where the stream ended before it was whole. Raises: Trouble."""
    reader = reader_for(wire)
    for text in events(Bytes(data)):
        if text == "[DONE]":
            reader.done()
            break
        reader.take(endpoint._object(text))
    return reader.answer() if reader.over else None


@every_wire
def test_an_answer_is_what_was_streamed(wire: str) -> None:
    answer = read(wire, STREAMS[wire])
    assert answer is not None
    assert (answer.text, answer.stop) == ("I look.", "done")
    assert [(call.name, json.loads(call.arguments)["command"]) for call in answer.calls] == [
        ("shell", "ls -l"),
        ("shell", "pwd"),
    ]
    assert (answer.input_tokens, answer.output_tokens) == (900, 30)


@every_wire
def test_a_stream_that_is_cut_anywhere_is_never_a_whole_answer(wire: str) -> None:
    data = STREAMS[wire]
    whole = data.rindex(b"message_delta") if wire == "anthropic" else data.rindex(b'"finish_reason": "tool_calls"')
    for end in range(0, whole, 7):
        try:
            assert read(wire, data[:end]) is None
        except Trouble:
            continue


@every_wire
def test_no_garbage_raises_anything_but_trouble(wire: str) -> None:
    chance = random.Random(4)
    values = [None, 1, -1, 1e308, "x", "", [], {}, [[]], {"a": 1}, True, "\x00\ud800"]
    lines = STREAMS[wire].split(b"\n\n")
    for _ in range(3000):
        mutant = [_mutated(line, chance, values) for line in lines if chance.random() > 0.05]
        chance.random() < 0.2 and chance.shuffle(mutant)
        try:
            answer = read(wire, b"\n\n".join(mutant))
        except Trouble:
            continue
        for call in answer.calls if answer is not None else ():
            assert isinstance(call.id, str)
            assert isinstance(call.name, str)
            assert isinstance(call.arguments, str)


def _mutated(line: bytes, chance: random.Random, values: list[Any]) -> bytes:
    kind = chance.randrange(6)
    if kind == 0 and line:
        place = chance.randrange(len(line))
        return line[:place] + bytes([chance.randrange(256)]) + line[place + 1 :]
    if kind == 1:
        head, _, data = line.partition(b"data: ")
        try:
            found = json.loads(data)
        except ValueError:
            return line
        _poison(found, chance, values)
        return head + b"data: " + json.dumps(found).encode()
    return line


def _poison(found: Any, chance: random.Random, values: list[Any]) -> None:
    """Put something else in the place of a random value, however deep."""
    while isinstance(found, dict | list) and found:
        key = chance.choice(list(found)) if isinstance(found, dict) else chance.randrange(len(found))
        if not isinstance(found[key], dict | list) or not found[key] or chance.random() < 0.3:
            found[key] = chance.choice(values)
            return
        found = found[key]


@every_wire
@pytest.mark.parametrize(
    "data",
    [
        b"data: " + b"[" * 200_000 + b"\n\n",
        b"data: " + b'{"a":' * 200_000 + b"\n\n",
        b"data: [1, 2]\n\n",
        b"data: \xff\xfe\n\n",
        b"data: NaN\n\n",
        b"x" * (endpoint.LINE_MAX + 2),
    ],
    ids=["deep list", "deep object", "no object", "no text", "no number", "a line without end"],
)
def test_what_is_no_event_is_trouble(wire: str, data: bytes) -> None:
    with pytest.raises(Trouble):
        read(wire, data)


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "ANSWER_MAX", 1000)
    with pytest.raises(Trouble):
        read("anthropic", STREAMS["anthropic"])


@pytest.mark.parametrize("wire", [AnthropicWire(), OpenAIWire()], ids=["anthropic", "openai"])
def test_any_refusal_is_read(wire: Any) -> None:
    for body in (
        {},
        {"error": None},
        {"error": "no"},
        {"error": {"message": 7, "type": [], "code": {}, "resets_at": "x"}},
    ):
        trouble = wire.refusal(500, {"anthropic-ratelimit-unified-reset": "²"}, body)
        assert isinstance(trouble.message, str)
        assert isinstance(trouble.kind, str)
        assert trouble.resets_at_s is None


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://", "not an address", "http://[::1"])
def test_an_address_that_is_none_is_trouble(url: str) -> None:
    with pytest.raises((Trouble, ValueError)):
        Endpoint("openai", "m", {"OPENAI_BASE_URL": url}).ask("", [], [], lambda *_: None)


def test_servers_may_send_calls_without_ids_and_places() -> None:
    reader = OpenAIReader(lambda *_: None)
    calls = [{"function": {"name": "shell", "arguments": f'{{"command": "{name}"}}'}} for name in ("a", "b")]
    reader.take({"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "stop"}]})
    assert [json.loads(call.arguments)["command"] for call in reader.answer().calls] == ["a", "b"]
