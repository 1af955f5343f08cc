"""Anthropic Messages (`POST /v1/messages`), streamed.

Source: https://docs.claude.com/en/api/messages-streaming
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from codeswarm.agents.api.loop.answer import Answer, Message, Trouble, mapping, whole_number, words

OUTPUT_TOKENS = 8192
"""The most of one answer: what every model of the last years can do. What is cut off goes on in the next."""
_STOPS = {
    "end_turn": "done",
    "stop_sequence": "done",
    "tool_use": "done",
    "max_tokens": "length",
    "refusal": "refused",
    "pause_turn": "again",
}
_KEPT = {"type": "ephemeral"}
Heard = Callable[[str, str], None]


class AnthropicWire:
    path = "/v1/messages"

    def headers(self, key: str, token: str) -> dict[str, str]:
        said = {"anthropic-version": "2023-06-01"}
        if key:
            said["x-api-key"] = key
        if token:
            said["authorization"] = f"Bearer {token}"
        return said

    def body(self, model: str, system: str, messages: list[Message], tools: list[dict[str, Any]]) -> dict[str, Any]:
        said = [_message(message) for message in messages]
        if said:
            # All up to here is the beginning of the next request, too: read again at a tenth of the price.
            said[-1]["content"][-1]["cache_control"] = _KEPT
        return {
            "model": model,
            "max_tokens": OUTPUT_TOKENS,
            "stream": True,
            "system": [{"type": "text", "text": system, "cache_control": _KEPT}],
            "messages": said,
            "tools": [{"name": t["name"], "description": t["description"], "input_schema": t["schema"]} for t in tools],
        }

    def reader(self, heard: Heard) -> AnthropicReader:
        return AnthropicReader(heard)

    def refusal(self, status: int, headers: Mapping[str, str], body: dict[str, Any]) -> Trouble:
        error = mapping(body.get("error"))
        spent = headers.get("anthropic-ratelimit-unified-status") == "rejected"
        return Trouble(
            words(error.get("message")),
            status=status,
            kind="usage_limit" if spent else words(error.get("type")),
            resets_at_s=_seconds(headers.get("anthropic-ratelimit-unified-reset")),
            final=spent or headers.get("x-should-retry") == "false",
        )


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


def _message(message: Message) -> dict[str, Any]:
    if message["role"] == "user":
        return {"role": "user", "content": [{"type": "text", "text": message["text"] or "…"}]}
    if message["role"] == "tool":
        results = [_result(result) for result in message["results"]]
        said = [{"type": "text", "text": message["said"]}] if message.get("said") else []
        return {"role": "user", "content": [*results, *said]}
    return {"role": "assistant", "content": [_part(part) for part in message["parts"]] or [_text("…")]}


def _result(result: dict[str, Any]) -> dict[str, Any]:
    told = {"type": "tool_result", "tool_use_id": result["id"], "content": result["text"] or "(no output)"}
    return {**told, "is_error": True} if result["failed"] else told


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "call":
        return {"type": "tool_use", "id": part["id"], "name": part["name"], "input": _arguments(part["arguments"])}
    if part["type"] == "thinking":
        return {"type": "thinking", "thinking": part["thinking"], "signature": part["signature"]}
    return _text(part["text"])


def _arguments(text: str) -> dict[str, Any]:
    try:
        return mapping(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return {}


def _place(event: dict[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0


class AnthropicReader:
    """Puts one answer together out of its events."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._blocks: dict[int, dict[str, Any]] = {}
        self._answer = Answer()
        self._read: dict[str, int] = {}
        self.over = False

    def take(self, event: dict[str, Any]) -> None:
        """Raises: Trouble, for the API's own error event."""
        match event.get("type"):
            case "message_start":
                self._count(mapping(mapping(event.get("message")).get("usage")))
            case "content_block_start":
                self._begin(event)
            case "content_block_delta":
                self._go_on(mapping(event.get("delta")), self._blocks.get(_place(event)))
            case "message_delta":
                self._answer.stop = _STOPS.get(words(mapping(event.get("delta")).get("stop_reason")), "")
                self._count(mapping(event.get("usage")))
            case "message_stop":
                self.over = True
            case "error":
                error = mapping(event.get("error"))
                raise Trouble(words(error.get("message")), kind=words(error.get("type")) or "stream")
            case _:
                pass

    def done(self) -> None:
        """Another API's last word; here it means nothing."""

    def answer(self) -> Answer:
        blocks = (self._blocks[index] for index in sorted(self._blocks))
        self._answer.parts = [part for part in blocks if part["type"] != "text" or part["text"]]
        self._answer.input_tokens = sum(self._read.values()) if self._read else None
        return self._answer

    def _begin(self, event: dict[str, Any]) -> None:
        block, index = mapping(event.get("content_block")), _place(event)
        match block.get("type"):
            case "text":
                self._blocks[index] = {"type": "text", "text": words(block.get("text"))}
            case "thinking":
                self._blocks[index] = {"type": "thinking", "thinking": words(block.get("thinking")), "signature": ""}
            case "tool_use":
                name, id_ = words(block.get("name")), words(block.get("id"))
                self._blocks[index] = {"type": "call", "id": id_, "name": name, "arguments": ""}
            case _:
                pass

    def _go_on(self, delta: dict[str, Any], block: dict[str, Any] | None) -> None:
        if block is None:
            return
        match delta.get("type"), block["type"]:
            case "text_delta", "text":
                block["text"] += words(delta.get("text"))
                self._heard("assistant", words(delta.get("text")))
            case "thinking_delta", "thinking":
                block["thinking"] += words(delta.get("thinking"))
                self._heard("reasoning", words(delta.get("thinking")))
            case "signature_delta", "thinking":
                block["signature"] += words(delta.get("signature"))
            case "input_json_delta", "call":
                block["arguments"] += words(delta.get("partial_json"))
            case _:
                pass

    def _count(self, usage: dict[str, Any]) -> None:
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            if (told := whole_number(usage.get(name))) is not None:
                self._read[name] = told
        written = whole_number(usage.get("output_tokens"))
        self._answer.output_tokens = self._answer.output_tokens if written is None else written
