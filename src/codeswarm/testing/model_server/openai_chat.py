"""OpenAI Chat Completions: `POST …/chat/completions`. Spoken by our own loop, and by servers of local models.

Source: https://platform.openai.com/docs/api-reference/chat; reasoning is told as vLLM and llama.cpp tell it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from codeswarm.testing.model_server import faults
from codeswarm.testing.model_server.faults import Refusal
from codeswarm.testing.model_server.openai import wording
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
)
from codeswarm.testing.model_server.response import Response, pieces, whole

_INSTRUCTING = ("system", "developer")
_STOPS = {"length": "length", "refusal": "content_filter"}


class OpenAIChatWire:
    name: Wire = "openai_chat"

    def read(self, path: str, raw: Json) -> Conversation:
        messages = objects(raw.get("messages"))
        return Conversation(
            model=str(raw.get("model", "")),
            system_text="\n".join(text for m in messages if m.get("role") in _INSTRUCTING for text in _said(m)),
            text="\n".join(text for message in messages for text in _said(message)),
            last_user_text=last_words(_said(message) for message in messages if message.get("role") == "user"),
            turns=runs(message.get("role") == "assistant" for message in messages),
            tools=tuple(_tool(tool) for tool in objects(raw.get("tools"))),
            stream=raw.get("stream") is True,
        )

    def events(self, request: Request, turn: Turn) -> list[bytes]:
        id_ = f"chatcmpl-{uuid4().hex}"
        choices = [{"delta": {"role": "assistant", "content": ""}}, *_deltas(turn)]
        chunks = [_chunk(request, id_, choices=[{"index": 0, "finish_reason": None, **choice}]) for choice in choices]
        end = _chunk(request, id_, choices=[{"index": 0, "delta": {}, "finish_reason": _stop(turn)}])
        options = request.raw.get("stream_options")
        told = isinstance(options, dict) and options.get("include_usage") is True
        usage = [_chunk(request, id_, choices=[], usage=_usage(turn))] if told else []
        return [*map(_event, [*chunks, end, *usage]), b"data: [DONE]\n\n"]

    def whole(self, request: Request, turn: Turn) -> Json:
        calls = [_call(part) for part in turn.parts if isinstance(part, Use)]
        text = "".join(part.text for part in turn.parts if isinstance(part, Say))
        message = {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": _stop(turn)}
        return {
            **_head(request, f"chatcmpl-{uuid4().hex}", "chat.completion"),
            "choices": [choice],
            "usage": _usage(turn),
        }

    def error_event(self) -> bytes:
        message = "The server had an error processing your request. Sorry about that!"
        return _event({"error": {"message": message, "type": "server_error", "code": None}})

    def refuse(self, request: Request, refusal: Refusal | Refuse) -> Response:
        status, error = wording(request, refusal)
        headers = [("x-request-id", f"req_{request.number}")]
        if isinstance(refusal, faults.RateLimited) and refusal.retry_after_s is not None:
            headers.append(("retry-after", f"{refusal.retry_after_s:g}"))
        return whole(status, {"error": {"message": "", "param": None, "code": None, **error}}, headers)

    def count(self, tokens: int) -> Json:
        return {"input_tokens": tokens}


def _said(message: Json) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [str(block.get("text", "")) for block in objects(content) if block.get("type") == "text"]


def _tool(tool: Json) -> Tool:
    function = tool.get("function")
    told = function if isinstance(function, dict) else {}
    return Tool(str(told.get("name", "")), "function", properties(told.get("parameters")))


def _stop(turn: Turn) -> str:
    if turn.stop == "done":
        return "tool_calls" if any(isinstance(part, Use) for part in turn.parts) else "stop"
    return _STOPS[turn.stop]


def _call(use: Use) -> Json:
    text = use.input if isinstance(use.input, str) else json.dumps(use.input)
    return {"id": f"call_{uuid4().hex[:24]}", "type": "function", "function": {"name": use.tool, "arguments": text}}


def _deltas(turn: Turn) -> Iterator[Json]:
    calls = 0
    for part in turn.parts:
        match part:
            case Say(text):
                yield from ({"delta": {"content": piece}} for piece in pieces(text))
            case Think(text):
                yield from ({"delta": {"reasoning_content": piece}} for piece in pieces(text))
            case Use():
                yield from _call_deltas(calls, _call(part))
                calls += 1
            case _:
                pass


def _call_deltas(index: int, call: Json) -> Iterator[Json]:
    begun = {**call, "function": {**call["function"], "arguments": ""}, "index": index}
    yield {"delta": {"tool_calls": [begun]}}
    for piece in pieces(call["function"]["arguments"]):
        yield {"delta": {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}}


def _head(request: Request, id_: str, kind: str) -> Json:
    return {"id": id_, "object": kind, "created": 0, "model": request.model}


def _chunk(request: Request, id_: str, **rest: Any) -> Json:
    return {**_head(request, id_, "chat.completion.chunk"), **rest}


def _usage(turn: Turn) -> Json:
    return {
        "prompt_tokens": turn.usage.input,
        "completion_tokens": turn.usage.output,
        "total_tokens": turn.usage.input + turn.usage.output,
        "prompt_tokens_details": {"cached_tokens": turn.usage.cached},
    }


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
