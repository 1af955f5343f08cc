"""Anthropic Messages: `POST /v1/messages`. Spoken by Claude Code.

Source: https://docs.claude.com/en/api/messages-streaming and https://docs.claude.com/en/api/errors
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from codeswarm.testing.model_server import faults
from codeswarm.testing.model_server.faults import Refusal
from codeswarm.testing.model_server.reply import Refuse, Say, Think, Turn, Use
from codeswarm.testing.model_server.request import (
    Conversation,
    Json,
    Request,
    Tool,
    Wire,
    last_words,
    objects,
    properties,
    runs,
    texts_in,
)
from codeswarm.testing.model_server.response import Headers, Response, event, pieces, whole

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_FINAL = (("x-should-retry", "false"),)
"""Claude Code then gives up at once, whatever the status; but see `Refuse` for 400."""
_STOPS = {"done": "end_turn", "length": "max_tokens", "refusal": "refusal"}


class AnthropicWire:
    name: Wire = "anthropic"

    def read(self, path: str, raw: Json) -> Conversation:
        messages = objects(raw.get("messages"))
        system = _blocks(raw.get("system"))
        later = [text for message in messages if message.get("role") == "system" for text in _said(message)]
        said = [text for message in messages for text in _said(message)]
        return Conversation(
            model=str(raw.get("model", "")),
            system_text="\n".join([*system, *later]),
            text="\n".join([*system, *said]),
            last_user_text=last_words(_blocks(m.get("content")) for m in messages if m.get("role") == "user"),
            turns=runs(message.get("role") == "assistant" for message in messages),
            tools=tuple(_tool(tool) for tool in objects(raw.get("tools"))),
            stream=raw.get("stream") is True,
        )

    def events(self, request: Request, turn: Turn) -> list[bytes]:
        message = {**_message(request, turn), "content": [], "stop_reason": None, "usage": _usage(turn, output=1)}
        delta = {"stop_reason": _stop_reason(turn), "stop_sequence": None}
        return [
            _event("message_start", message=message),
            _event("ping"),
            *(found for index, block in enumerate(_content(turn)) for found in _block_events(index, block)),
            _event("message_delta", delta=delta, usage=_usage(turn, output=turn.usage.output)),
            _event("message_stop"),
        ]

    def whole(self, request: Request, turn: Turn) -> Json:
        return _message(request, turn)

    def error_event(self) -> bytes:
        return event("error", _error("overloaded_error", "Overloaded"))

    def refuse(self, request: Request, refusal: Refusal | Refuse) -> Response:
        status, message, headers = _wording(request, refusal)
        type_ = _TYPES.get(status, "api_error")
        body = {**_error(type_, message), "request_id": f"req_{request.number}"}
        return whole(status, body, (("request-id", f"req_{request.number}"), *headers))

    def count(self, tokens: int) -> Json:
        return {"input_tokens": tokens}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def _blocks(content: Any) -> list[str]:
    """The text blocks of a message, without the results of tools."""
    if isinstance(content, str):
        return [content]
    return [str(block.get("text", "")) for block in objects(content) if block.get("type") == "text"]


def _said(message: Json) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [text for block in objects(content) for text in _block_texts(block)]


def _block_texts(block: Json) -> list[str]:
    match block.get("type"):
        case "text":
            return [str(block.get("text", ""))]
        case "thinking":
            return [str(block.get("thinking", ""))]
        case "tool_result":
            content = block.get("content")
            return [content] if isinstance(content, str) else _blocks(content)
        case "document":
            return texts_in(block.get("source"))
        case _:
            return []


def _tool(tool: Json) -> Tool:
    """A tool with a type and no schema, such as web_search_20250305, runs at the provider."""
    schema = tool.get("input_schema")
    hosted = schema is None and "type" in tool
    return Tool(str(tool.get("name", "")), "hosted" if hosted else "function", properties(schema))


# ── answering ────────────────────────────────────────────────────────────────────────────────────────────────


def _message(request: Request, turn: Turn) -> Json:
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": _content(turn),
        "stop_reason": _stop_reason(turn),
        "stop_sequence": None,
        "usage": _usage(turn, output=turn.usage.output),
    }


def _usage(turn: Turn, *, output: int) -> Json:
    return {
        "input_tokens": turn.usage.input - turn.usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": turn.usage.cached,
        "output_tokens": output,
    }


def _stop_reason(turn: Turn) -> str:
    if turn.stop == "done" and any(isinstance(part, Use) for part in turn.parts):
        return "tool_use"
    return _STOPS[turn.stop]


def _content(turn: Turn) -> list[Json]:
    return [block for part in turn.parts if (block := _block(part)) is not None]


def _block(part: object) -> Json | None:
    match part:
        case Say(text):
            return {"type": "text", "text": text}
        case Think(text):
            return {"type": "thinking", "thinking": text, "signature": "scripted"}
        case Use(tool, input_):
            return {"type": "tool_use", "id": f"toolu_{uuid4().hex[:24]}", "name": tool, "input": input_}
        case _:
            return None


def _block_events(index: int, block: Json) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=_empty(block))
    for delta in _deltas(block):
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _empty(block: Json) -> Json:
    """The block as it starts, before its deltas."""
    match block["type"]:
        case "text":
            return {**block, "text": ""}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case _:
            return {**block, "input": {}}


def _deltas(block: Json) -> list[Json]:
    match block["type"]:
        case "text":
            return [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case "thinking":
            thought = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            return [*thought, {"type": "signature_delta", "signature": block["signature"]}]
        case _:
            given = pieces(json.dumps(block["input"]))
            return [{"type": "input_json_delta", "partial_json": piece} for piece in given]


def _event(name: str, **data: Any) -> bytes:
    return event(name, {"type": name, **data})


# ── refusing ─────────────────────────────────────────────────────────────────────────────────────────────────


def _error(type_: str, message: str) -> Json:
    return {"type": "error", "error": {"type": type_, "message": message}}


def _wording(request: Request, refusal: Refusal | Refuse) -> tuple[int, str, Headers]:
    match refusal:
        case Refuse(status, message):
            return status, message, _FINAL
        case faults.RateLimited(retry_after_s):
            message = "This request would exceed the rate limit for your organization of 50 requests per minute."
            return 429, message, (("retry-after", f"{retry_after_s:g}"),) if retry_after_s is not None else ()
        case faults.QuotaExhausted(resets_at_s):
            return (
                429,
                "This request would exceed your account's rate limit. Please try again later.",
                _spent(resets_at_s),
            )
        case faults.OutOfCredit():
            message = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."
            return 400, message, ()
        case faults.ServerError(status):
            return status, "Internal server error", ()
        case faults.Overloaded():
            return 529, "Overloaded", ()
        case faults.Unauthorized():
            return 401, "invalid x-api-key", ()
        case faults.UnknownModel():
            return 404, f"model: {request.model}", ()
        case faults.ContextOverflow():
            return 400, "prompt is too long: 1200000 tokens > 1000000 maximum", ()


def _spent(resets_at_s: int | None) -> Headers:
    """What tells a plan's spent window from a burst."""
    headers = (
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
        *_FINAL,
    )
    return headers if resets_at_s is None else (*headers, ("anthropic-ratelimit-unified-reset", str(resets_at_s)))
