"""What Claude Code's lines say, in our words, and the failures that they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeswarm.agents.base import Activity
from codeswarm.agents.claude.usage import usage_of
from codeswarm.agents.failures import BY_STATUS, Row, Sign, Table, classify
from codeswarm.agents.moments import moment_ms
from codeswarm.domain.results import Failure, FailureClass

BUSY = frozenset({429, 529})
"""Statuses of a provider that wants to be left alone for a while."""


def activities(message: Mapping[str, Any], raw: str) -> list[Activity]:
    """What one line of stream-json says, in our words. The raw line stands beside the first."""
    kind = message.get("type")
    found: list[Activity] = []
    if kind == "assistant":
        found = [activity for block in _blocks(message) if (activity := _assistant_block(block)) is not None]
    elif kind == "user":
        found = [
            Activity("command_completed", text=_plain(block.get("content"))[:4000], data=_id(block, "tool_use_id"))
            for block in _blocks(message)
            if block.get("type") == "tool_result"
        ]
    elif kind == "rate_limit_event":
        found = [Activity("rate_limit", data=dict(message))]
    elif kind == "system" and message.get("subtype") == "api_retry" and _status(message.get("error_status")) in BUSY:
        found = [Activity("rate_limit", text=str(message.get("error", "")), data=dict(message))]
    elif kind == "result":
        usage = usage_of(message)
        found = [Activity("usage", data=usage.model_dump()), Activity("turn", text=str(message.get("result") or ""))]
    found = found or [Activity("output", text=f"[{kind} {message.get('subtype', '')}]".replace(" ]", "]"))]
    return [Activity(a.type, a.text, a.data, raw if place == 0 else "") for place, a in enumerate(found)]


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    inner = message.get("message")
    content = inner.get("content") if isinstance(inner, dict) else None
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _assistant_block(block: Mapping[str, Any]) -> Activity | None:
    if block.get("type") == "text":
        return Activity("assistant", text=str(block.get("text", "")))
    if block.get("type") == "thinking":
        return Activity("reasoning", text=str(block.get("thinking", "")))
    if block.get("type") == "tool_use":
        arguments = block.get("input") if isinstance(block.get("input"), dict) else {}
        assert arguments is not None
        name = str(block.get("name", ""))
        if name in ("Write", "Edit", "NotebookEdit"):
            return Activity("file_change", text=str(arguments.get("file_path", "")), data={"tool": name})
        data = {"tool": name, **_id(block, "id")}
        return Activity("command_started", text=str(arguments.get("command") or name), data=data)
    return None


def _id(block: Mapping[str, Any], key: str) -> dict[str, str]:
    """By which the end of a command is known for that of its beginning."""
    return {"id": str(block[key])} if block.get(key) else {}


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


REJECTED = "rate_limit_rejected"
"""Our name for a notice that the account's window is spent."""
FAILURES: Table = (
    Row(FailureClass.CANCELLED, kinds=("aborted_streaming", "aborted_tools", "interrupted")),
    Row(FailureClass.QUOTA, words=("usage limit", "credit balance", "quota"), kinds=(REJECTED,)),
    Row(FailureClass.CONTEXT_OVERFLOW, words=("prompt is too long",), kinds=("prompt_too_long",)),
    Row(FailureClass.AUTH, words=("invalid api key", "please run /login")),
    Row(
        FailureClass.OVERLOADED,
        words=("overloaded", "connection to the api was lost", "econnrefused", "econnreset", "unable to connect"),
    ),
    *BY_STATUS,
)


def failure_of(result: Mapping[str, Any], rate_limit: Mapping[str, Any]) -> Failure | None:
    """The failure that a `result` line tells of, or None. Words decide before statuses: 429 may be either kind.

    Success must be said in full: a line of which a part is missing is none.
    """
    if result.get("is_error") is False and result.get("subtype") == "success":
        return None
    text = str(result.get("result") or _plain_list(result.get("errors")) or result.get("subtype") or "")
    status = _status(result.get("api_error_status"))
    names = {str(result.get(key, "")) for key in ("api_error_type", "terminal_reason", "subtype")}
    rejected = {REJECTED} if rate_limit.get("status") == "rejected" else set()
    said = f"{text} {result.get('api_error_type', '')}"
    sign = Sign(said, status, frozenset(names | rejected))
    class_ = classify(sign, FAILURES)
    return Failure(
        failure_class=class_,
        message=f"claude: {text[:500]}" + (f" (HTTP {status})" if status else ""),
        retry_at_ms=moment_ms(rate_limit.get("resetsAt")) if class_ is FailureClass.QUOTA else None,
    )


def _status(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain_list(errors: object) -> str:
    return "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""
