"""Asks a scripted model server on each wire, and reads what any wire answers."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from codeswarm.testing.model_server import ModelServer

WIRES = ("anthropic", "openai", "openai_chat", "gemini")
PATHS = {
    "anthropic": "/v1/messages?beta=true",
    "openai": "/v1/responses",
    "openai_chat": "/v1/chat/completions",
    "gemini": "/v1beta/models/m-1:streamGenerateContent?alt=sse",
}
LONG = "A sentence that is long enough to be cut into more than one single piece on its way."
every_wire = pytest.mark.parametrize("wire", WIRES)


def anthropic(prompt: str) -> dict[str, Any]:
    return {
        "model": "m-1",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "<system-reminder>a note</system-reminder>"}]},
            {"role": "user", "content": [{"type": "text", "text": prompt}]},
            {"role": "system", "content": "You are in a folder."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "it printed this"}]},
        ],
        "tools": [tool(name, "input_schema") for name in ("Bash", "Write")],
    }


def openai(prompt: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", **tool(name, "parameters")} for name in names or ("exec_command",)]
    return {
        "model": "m-1",
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "developer", "content": [block("You are in a folder.")]},
            {"type": "message", "role": "user", "content": [block("<environment_context>x</environment_context>")]},
            {"type": "message", "role": "user", "content": [block(prompt)]},
            {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "exec_command", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "it printed this"},
        ],
        "tools": [*tools, {"type": "web_search"}],
    }


def openai_chat(prompt: str) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "exec_command", "arguments": "{}"}}
    return {
        "model": "m-1",
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "You are in a folder."},
            {"role": "user", "content": [{"type": "text", "text": "<environment_context>x</environment_context>"}]},
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "it printed this"},
        ],
        "tools": [{"type": "function", "function": tool("exec_command", "parameters")}],
    }


def gemini(prompt: str) -> dict[str, Any]:
    answer = {"functionResponse": {"name": "run_shell_command", "response": {"output": "it printed this"}}}
    names = ("run_shell_command", "write_file")
    return {
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief.\nYou are in a folder."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "<session_context>x</session_context>"}]},
            {"role": "user", "parts": [{"text": prompt}]},
            {"role": "model", "parts": [{"functionCall": {"name": "run_shell_command", "args": {}}}]},
            {"role": "user", "parts": [answer]},
        ],
        "tools": [{"functionDeclarations": [tool(name, "parametersJsonSchema") for name in names]}],
    }


def tool(name: str, schema: str) -> dict[str, Any]:
    return {"name": name, schema: {"type": "object", "properties": {"yield_time_ms": {}}}}


def block(text: str) -> dict[str, str]:
    return {"type": "input_text", "text": text}


BODIES = {"anthropic": anthropic, "openai": openai, "openai_chat": openai_chat, "gemini": gemini}


async def ask(server: ModelServer, wire: str, *, prompt: str = "Do it.", stream: bool = True) -> httpx2.Response:
    path = PATHS[wire] if stream else PATHS[wire].replace("streamGenerateContent?alt=sse", "generateContent")
    body = BODIES[wire](prompt) | ({} if wire == "gemini" else {"stream": stream})
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        return await client.post(path, json=body)


def events(response: httpx2.Response) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def said(found: list[dict[str, Any]]) -> str:
    """The text that any wire's deltas add up to."""
    anthropics = [event["delta"].get("text", "") for event in found if event.get("type") == "content_block_delta"]
    openais = [event["delta"] for event in found if event.get("type") == "response.output_text.delta"]
    chats = [choice["delta"].get("content") or "" for event in found for choice in event.get("choices", ())]
    candidates = [candidate for event in found for candidate in event.get("candidates", ())]
    parts = [part for candidate in candidates for part in candidate["content"]["parts"] if not part.get("thought")]
    return "".join([*anthropics, *openais, *chats, *(part.get("text", "") for part in parts)])


def calls(found: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Name and input of every call of a tool, on any wire."""
    called: list[tuple[str, Any]] = []
    for event in found:
        kind = event.get("type")
        if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            called.append((event["content_block"]["name"], ""))
        elif kind == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            called[-1] = (called[-1][0], called[-1][1] + event["delta"]["partial_json"])
        elif kind == "response.output_item.done" and "name" in event["item"]:
            called.append((event["item"]["name"], event["item"].get("arguments", event["item"].get("input"))))
        for delta in (d for choice in event.get("choices", ()) for d in choice["delta"].get("tool_calls", ())):
            name, given = called.pop() if "id" not in delta else (delta["function"]["name"], "")
            called.append((name, given + delta["function"]["arguments"]))
        for candidate in event.get("candidates", ()):
            parts = candidate["content"]["parts"]
            called += [(p["functionCall"]["name"], p["functionCall"]["args"]) for p in parts if "functionCall" in p]
    return [(name, json.loads(given) if isinstance(given, str) else given) for name, given in called]


def reported(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The last usage of a stream."""
    last = [event for event in found if "usage" in event or "usageMetadata" in event or "response" in event][-1]
    usage: dict[str, Any] = last.get("usage") or last.get("usageMetadata") or last["response"]["usage"]
    return usage
