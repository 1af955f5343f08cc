"""Which path belongs to which wire, and how its request is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from codeswarm.testing.model_server.anthropic import AnthropicWire
from codeswarm.testing.model_server.gemini import GeminiWire
from codeswarm.testing.model_server.http import Incoming
from codeswarm.testing.model_server.openai import OpenAIWire
from codeswarm.testing.model_server.openai_chat import OpenAIChatWire
from codeswarm.testing.model_server.request import Json, Request
from codeswarm.testing.model_server.response import WireFormat

Purpose = Literal["answer", "count"]

_ANTHROPIC, _OPENAI, _CHAT, _GEMINI = AnthropicWire(), OpenAIWire(), OpenAIChatWire(), GeminiWire()
# By how the path ends, as base URLs may have paths of their own; the longer ending first.
_ENDINGS: tuple[tuple[str, WireFormat, Purpose], ...] = (
    ("/messages/count_tokens", _ANTHROPIC, "count"),
    ("/messages", _ANTHROPIC, "answer"),
    ("/responses/input_tokens", _OPENAI, "count"),
    ("/responses", _OPENAI, "answer"),
    ("/chat/completions", _CHAT, "answer"),
    (":countTokens", _GEMINI, "count"),
    (":streamGenerateContent", _GEMINI, "answer"),
    (":generateContent", _GEMINI, "answer"),
)
_CHARACTERS_PER_TOKEN = 4


def route(incoming: Incoming) -> tuple[WireFormat, Purpose] | None:
    """None: not a call of a model."""
    if incoming.method != "POST":
        return None
    path = incoming.target.partition("?")[0]
    return next(((wire, purpose) for end, wire, purpose in _ENDINGS if path.endswith(end)), None)


def read(incoming: Incoming, wire: WireFormat, purpose: Purpose, number: int) -> Request:
    """Raises: ValueError, where the body is no JSON object."""
    raw = json.loads(incoming.body)
    if not isinstance(raw, dict):
        raise ValueError(f"the body is no JSON object but {type(raw).__name__}")  # noqa: TRY004 - bad input, as bad JSON
    found = wire.read(incoming.target, raw)
    return Request(
        number=number,
        wire=wire.name,
        path=incoming.target,
        model=found.model,
        system_text=found.system_text,
        text=found.text,
        last_user_text=found.last_user_text,
        turns=found.turns,
        tools=found.tools,
        stream=found.stream,
        is_side_call=purpose == "count" or not found.tools,
        headers=incoming.headers,
        raw=raw,
    )


def counted(request: Request) -> int:
    return 1 + len(request.text) // _CHARACTERS_PER_TOKEN


def probed(incoming: Incoming) -> tuple[int, Json]:
    """The harmless answer to whatever is no call of a model: status and body."""
    path = incoming.target.partition("?")[0]
    if incoming.headers.get("upgrade", "").lower() == "websocket":
        # Codex then goes on over plain HTTP.
        return 426, {"error": {"message": "only plain HTTP is spoken here"}}
    if incoming.method not in ("GET", "HEAD", "OPTIONS"):
        return 404, {"error": {"message": f"nothing is served at {path}"}}
    if path.endswith("/v1beta/models"):
        return 200, {"models": [_named({"name": "models/scripted"})]}
    if path.endswith("/models"):
        return 200, {"object": "list", "data": [_named({"id": "scripted", "object": "model"})], "has_more": False}
    return 200, {}


def _named(model: Mapping[str, str]) -> Json:
    return {**model, "display_name": "Scripted"}
