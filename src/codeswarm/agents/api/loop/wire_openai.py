"""OpenAI Chat Completions (`POST …/chat/completions`), streamed: what llama.cpp, vLLM, Ollama and LM Studio speak, too.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeswarm.agents.api.loop.answer import Answer, Message, Trouble, mapping, mappings, whole_number, words
from codeswarm.agents.api.loop.wire_anthropic import Heard

_STOPS = {
    "stop": "done",
    "tool_calls": "done",
    "function_call": "done",
    "length": "length",
    "content_filter": "refused",
}
_SPENT = ("insufficient_quota", "usage_limit_reached", "billing_hard_limit_reached")


class OpenAIWire:
    path = "/chat/completions"

    def headers(self, key: str, token: str) -> dict[str, str]:
        found = key or token
        return {"authorization": f"Bearer {found}"} if found else {}

    def body(self, model: str, system: str, messages: list[Message], tools: list[dict[str, Any]]) -> dict[str, Any]:
        said = [{"role": "system", "content": system}]
        return {
            "model": model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": said + [told for message in messages for told in _messages(message)],
            "tools": [_tool(tool) for tool in tools],
        }

    def reader(self, heard: Heard) -> OpenAIReader:
        return OpenAIReader(heard)

    def refusal(self, status: int, headers: Mapping[str, str], body: dict[str, Any]) -> Trouble:
        found = body.get("error")
        error = {"message": found} if isinstance(found, str) else mapping(found)
        kind = words(error.get("code")) or words(error.get("type"))
        resets = error.get("resets_at")
        return Trouble(
            words(error.get("message")),
            status=status,
            kind=kind,
            resets_at_s=resets if isinstance(resets, int | float) and not isinstance(resets, bool) else None,
            final=kind in _SPENT or words(error.get("type")) in _SPENT or headers.get("x-should-retry") == "false",
        )


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    told = {"name": tool["name"], "description": tool["description"], "parameters": tool["schema"]}
    return {"type": "function", "function": told}


def _messages(message: Message) -> list[dict[str, Any]]:
    if message["role"] == "user":
        return [{"role": "user", "content": message["text"]}]
    if message["role"] == "tool":
        results = message["results"]
        told = [{"role": "tool", "tool_call_id": r["id"], "content": r["text"] or "(no output)"} for r in results]
        return [*told, {"role": "user", "content": message["said"]}] if message.get("said") else told
    text = "".join(part["text"] for part in message["parts"] if part["type"] == "text")
    calls = [_call(part) for part in message["parts"] if part["type"] == "call"]
    said: dict[str, Any] = {"role": "assistant", "content": text or None if calls else text or "…"}
    return [{**said, "tool_calls": calls} if calls else said]


def _call(part: dict[str, Any]) -> dict[str, Any]:
    function = {"name": part["name"], "arguments": part["arguments"] or "{}"}
    return {"id": part["id"], "type": "function", "function": function}


class OpenAIReader:
    """Puts one answer together out of its chunks. Servers differ in how they cut it: whole calls in one chunk, calls
    without ids or places, usage in the last chunk or in none.
    """

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._text = ""
        self._calls: dict[int, dict[str, Any]] = {}
        self._answer = Answer()
        self.over = False

    def take(self, event: dict[str, Any]) -> None:
        """Raises: Trouble, for an error within the stream."""
        if event.get("error"):
            found = event["error"]
            error = mapping(found)
            message = found if isinstance(found, str) else words(error.get("message"))
            raise Trouble(message, kind=words(error.get("code")) or words(error.get("type")) or "stream")
        self._count(mapping(event.get("usage")))
        for choice in mappings(event.get("choices"))[:1]:
            self._choose(choice)

    def done(self) -> None:
        """The stream said `[DONE]`."""
        self.over = bool(self._answer.stop)

    def answer(self) -> Answer:
        said = [{"type": "text", "text": self._text}] if self._text else []
        self._answer.parts = [*said, *(self._calls[place] for place in sorted(self._calls))]
        return self._answer

    def _choose(self, choice: dict[str, Any]) -> None:
        delta = mapping(choice.get("delta"))
        if thought := words(delta.get("reasoning_content")) or words(delta.get("reasoning")):
            self._heard("reasoning", thought)
        if text := words(delta.get("content")):
            self._text += text
            self._heard("assistant", text)
        for place, call in enumerate(mappings(delta.get("tool_calls"))):
            self._go_on(call, place)
        if stop := words(choice.get("finish_reason")):
            self._answer.stop = _STOPS.get(stop, "")
            self.over = bool(self._answer.stop)

    def _go_on(self, delta: dict[str, Any], place: int) -> None:
        index = delta.get("index")
        where = index if isinstance(index, int) else place
        empty = {"type": "call", "id": "", "name": "", "arguments": ""}
        call = self._calls.setdefault(where, empty)
        function = mapping(delta.get("function"))
        call["id"] = words(delta.get("id")) or call["id"]
        call["name"] = words(function.get("name")) or call["name"]
        call["arguments"] += words(function.get("arguments"))

    def _count(self, usage: dict[str, Any]) -> None:
        read, written = whole_number(usage.get("prompt_tokens")), whole_number(usage.get("completion_tokens"))
        self._answer.input_tokens = self._answer.input_tokens if read is None else read
        self._answer.output_tokens = self._answer.output_tokens if written is None else written
