"""What Codex's app server says, in our words: activities, usage, failures. Nothing here waits or decides.

Source: `codex app-server generate-json-schema`, against which tests hold what is read here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from codeswarm.agents.base import Activity
from codeswarm.agents.failures import BY_STATUS, Row, Sign, Table, classify
from codeswarm.agents.moments import moment_ms, told_moment_ms
from codeswarm.domain.results import Failure, FailureClass, Usage

Json = Mapping[str, Any]
SHOWN = 4000
"""Characters of what a command printed that go to the transcript as its words; the raw line has all."""
SHELLS = frozenset(f"{folder}{name}" for folder in ("", "/bin/", "/usr/bin/") for name in ("sh", "bash", "zsh", "dash"))
"""Those that a command is run by. A program of another place may bear such a name and do something else."""

UNASKED = (
    "item/agentMessage/delta",
    "item/plan/delta",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "item/reasoning/summaryPartAdded",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/textDelta",
    "remoteControl/status/changed",
    "thread/status/changed",
    "turn/diff/updated",
)
"""Notifications that whole items repeat later: the server is asked to leave them out."""


# ── activities ───────────────────────────────────────────────────────────────────────────────────────────────


def activities(message: Json, raw: str) -> list[Activity]:
    """What one notification says. The raw line stands beside the first."""
    params = _object(message.get("params"))
    match message.get("method"):
        case "item/started":
            found = _begun(_object(params.get("item")))
        case "item/completed":
            found = _done(_object(params.get("item")))
        case "thread/tokenUsage/updated":
            found = [Activity("usage", data=usage_of(params).model_dump())]
        case "account/rateLimits/updated":
            found = [Activity("rate_limit", data=dict(params))] if _windows(params) else []
        case "error":
            found = [Activity("output", text=str(_object(params.get("error")).get("message", "")))]
        case _:
            found = []
    found = found or [Activity("output", text=f"[{message.get('method') or 'answer'}]")]
    return [Activity(a.type, a.text, a.data, raw if place == 0 else "") for place, a in enumerate(found)]


def _begun(item: Json) -> list[Activity]:
    match item.get("type"):
        case "commandExecution":
            data = {"tool": "shell", "folder": str(item.get("cwd", "")), **_id(item)}
            return [Activity("command_started", text=command_of(item), data=data)]
        case "mcpToolCall" | "dynamicToolCall" | "webSearch" | "collabAgentToolCall" as kind:
            return [Activity("command_started", text=_named(item), data={"tool": kind, **_id(item)})]
    return []


def _done(item: Json) -> list[Activity]:
    match item.get("type"):
        case "agentMessage":
            return [Activity("assistant", text=str(item.get("text", "")))]
        case "reasoning":
            return [Activity("reasoning", text="\n".join([*_texts(item.get("summary")), *_texts(item.get("content"))]))]
        case "commandExecution":
            data = {"exit": item.get("exitCode"), "status": str(item.get("status", "")), **_id(item)}
            return [Activity("command_completed", text=str(item.get("aggregatedOutput") or "")[:SHOWN], data=data)]
        case "fileChange":
            status = str(item.get("status", ""))
            return [Activity("file_change", text=path, data={"status": status}) for path in paths_of(item)]
        case "mcpToolCall" | "dynamicToolCall" | "webSearch" | "collabAgentToolCall":
            data = {"status": str(item.get("status", "")), **_id(item)}
            return [Activity("command_completed", text=_named(item), data=data)]
    return []


def _id(item: Json) -> dict[str, str]:
    """By which the end of a command is known for that of its beginning."""
    return {"id": str(item["id"])} if item.get("id") else {}


def command_of(item: Json) -> str:
    """What is run, without the shell that it is mostly run by: a person and a policy judge what is told here."""
    command = str(item.get("command", ""))
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    wrapped = len(words) == 3 and words[0] in SHELLS and words[1] in ("-c", "-lc")
    return words[2] if wrapped else command


def paths_of(item: Json) -> list[str]:
    changes = item.get("changes")
    return [str(_object(change).get("path", "")) for change in changes] if isinstance(changes, list) else []


def _named(item: Json) -> str:
    return " ".join(str(item[key]) for key in ("server", "tool", "query") if item.get(key))


def _texts(found: object) -> list[str]:
    return [str(text) for text in found] if isinstance(found, list) else []


def _object(found: object) -> Json:
    return found if isinstance(found, dict) else {}


# ── usage ────────────────────────────────────────────────────────────────────────────────────────────────────


CACHED = "cachedInputTokens"


def usage_of(params: Json) -> Usage:
    """The figures of a whole thread, over all of its turns and all that went on with it. Codex tells no cost."""
    total = _object(_object(params.get("tokenUsage")).get("total"))
    told = Usage.told(total.get("inputTokens"), total.get("outputTokens"), model="-", cached_tokens=total.get(CACHED))
    unnamed = tuple(row.model_copy(update={"model": ""}) for row in told.models)
    return told.model_copy(update={"models": unnamed})


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────

TRIES_AGAIN = "Reconnecting"
FAILURES: Table = (
    Row(FailureClass.QUOTA, kinds=("usageLimitExceeded", "sessionBudgetExceeded"), statuses=(402,)),
    Row(FailureClass.REFUSED, words=("reason: content_filter",), kinds=("cyberPolicy", "misalignmentPolicyViolation")),
    Row(
        FailureClass.CONTEXT_OVERFLOW,
        words=("context_length_exceeded", "exceeds the context window"),
        kinds=("contextWindowExceeded",),
    ),
    Row(FailureClass.UNKNOWN_MODEL, words=("model_not_found", "model is not supported")),
    Row(FailureClass.AUTH, words=("missing environment variable", "invalid_api_key"), kinds=("unauthorized",)),
    Row(FailureClass.RATE_LIMITED, words=("rate_limit_exceeded",), kinds=("rateLimitExceeded",)),
    *BY_STATUS,
    Row(
        FailureClass.OVERLOADED,
        words=("stream disconnected", "waiting for network", "error sending request"),
        kinds=("serverOverloaded", "internalServerError", "flexUnavailable"),
    ),
)


def failure_of(error: Json, limits: Json, now: datetime) -> Failure:
    """The failure that a turn's error tells of. `limits`: the newest rate limits, as the server told them."""
    kind, status = _kind(error.get("codexErrorInfo"))
    details = error.get("additionalDetails")
    text = str(error.get("message") or kind or "it gave no reason")
    text = str(details) if details and text.startswith(TRIES_AGAIN) else text
    said = f"{text} {details}" if details else text
    class_ = classify(Sign(said, status, frozenset({kind} if kind else ())), FAILURES)
    quota = class_ is FailureClass.QUOTA
    return Failure(
        failure_class=class_,
        message=f"codex: {text[:500]}",
        retry_at_ms=(reset_of(limits) or told_moment_ms(said, now)) if quota else None,
    )


def status_of(error: Json) -> int | None:
    """The HTTP status of a refusal; None where it was none."""
    return _kind(error.get("codexErrorInfo"))[1]


def _kind(info: object) -> tuple[str, int | None]:
    """The server's name of an error, and the HTTP status that may stand with it."""
    if isinstance(info, str):
        return info, None
    for name, inner in _object(info).items():
        status = _object(inner).get("httpStatusCode")
        return str(name), status if isinstance(status, int) else None
    return "", None


def _windows(params: Json) -> list[Json]:
    limits = _object(params.get("rateLimits"))
    return [window for name in ("primary", "secondary") if (window := _object(limits.get(name)))]


def reset_of(limits: Json) -> int | None:
    """When the last of the windows that are spent begins anew, in milliseconds since 1970."""
    spent = [window for window in _windows(limits) if _is_spent(window.get("usedPercent"))]
    moments = [moment for window in spent if (moment := moment_ms(window.get("resetsAt"))) is not None]
    return max(moments, default=None)


def _is_spent(percent: object) -> bool:
    return isinstance(percent, int | float) and not isinstance(percent, bool) and percent >= 100
