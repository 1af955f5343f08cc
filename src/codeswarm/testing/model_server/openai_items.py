"""The items of an OpenAI Responses answer, and the events by which each of them comes about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import uuid4

from codeswarm.testing.model_server.reply import Say, Think, Turn, Use
from codeswarm.testing.model_server.request import Json, Request
from codeswarm.testing.model_server.response import pieces


@dataclass(frozen=True, slots=True)
class Output:
    """One finished item; `start` is what it looks like before it has said anything, `changes` lie between."""

    item: Json
    start: Json
    changes: tuple[Json, ...] = ()

    def events(self, index: int) -> list[Json]:
        """The events of this item, the `index`th of its answer."""
        place = {"output_index": index, "item_id": self.item["id"]}
        return [
            {"type": "response.output_item.added", "output_index": index, "item": self.start},
            *({**change, **place} for change in self.changes),
            {"type": "response.output_item.done", "output_index": index, "item": self.item},
        ]


def output_of(request: Request, turn: Turn) -> list[Output]:
    return [output for part in turn.parts if (output := _output(request, part)) is not None]


def _output(request: Request, part: object) -> Output | None:
    match part:
        case Say(text):
            return _message(text)
        case Think(text):
            return _reasoning(text)
        case Use():
            return _call(request, part)
        case _:
            return None


def _message(text: str) -> Output:
    start: Json = {"type": "message", "id": _id("msg"), "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": text, "annotations": []}
    place = {"content_index": 0}
    return Output(
        {**start, "status": "completed", "content": [part]},
        start,
        (
            {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
            *({"type": "response.output_text.delta", **place, "delta": piece} for piece in pieces(text)),
            {"type": "response.output_text.done", **place, "text": text},
            {"type": "response.content_part.done", **place, "part": part},
        ),
    )


def _reasoning(text: str) -> Output:
    start: Json = {"type": "reasoning", "id": _id("rs"), "summary": [], "encrypted_content": "scripted"}
    part = {"type": "summary_text", "text": text}
    place = {"summary_index": 0}
    return Output(
        {**start, "summary": [part]},
        start,
        (
            {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}},
            *({"type": "response.reasoning_summary_text.delta", **place, "delta": piece} for piece in pieces(text)),
            {"type": "response.reasoning_summary_text.done", **place, "text": text},
            {"type": "response.reasoning_summary_part.done", **place, "part": part},
        ),
    )


def _call(request: Request, use: Use) -> Output:
    """A call in the form of its tool: function, free text, or the wire's own shell."""
    tool = request.tool(use.tool)
    kind = tool.kind if tool else "function"
    if kind == "local_shell":
        return _local_shell(use)
    text = use.input if isinstance(use.input, str) else json.dumps(use.input)
    if kind == "custom":
        return _text_call("custom_tool_call", use.tool, "ctc", "input", text)
    return _text_call("function_call", use.tool, "fc", "arguments", text)


def _text_call(type_: str, name: str, prefix: str, field: str, text: str) -> Output:
    event = f"response.{type_}_{field}"
    start: Json = {
        "type": type_,
        "id": _id(prefix),
        "call_id": _id("call"),
        "name": name,
        field: "",
        "status": "in_progress",
    }
    return Output(
        {**start, field: text, "status": "completed"},
        start,
        (
            *({"type": f"{event}.delta", "delta": piece} for piece in pieces(text)),
            {"type": f"{event}.done", field: text},
        ),
    )


def _local_shell(use: Use) -> Output:
    given = {} if isinstance(use.input, str) else dict(use.input)
    start: Json = {
        "type": "local_shell_call",
        "id": _id("lsh"),
        "call_id": _id("call"),
        "action": {"type": "exec", "env": {}, **given},
        "status": "in_progress",
    }
    return Output({**start, "status": "completed"}, start)


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex}"
