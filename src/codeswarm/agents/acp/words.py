"""What an ACP agent tells, in our words: its updates, the end of a turn, what it used.

Read leniently: agents are older and newer than any library, and what can't be understood is shown and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from codeswarm.agents.base import Activity
from codeswarm.agents.moments import told_moment_ms
from codeswarm.domain.results import ModelUsage, Usage

Json = Mapping[str, Any]
SHOWN = 4000
CALLS_MAX = 1000
SAID_MAX = 1 << 18
MOST_MODELS = 20
HARMLESS = ("warning", "info", "hint")
_CHANGES = ("edit", "delete", "move")


class Updates:
    """One conversation's updates become activities; a call is told of once, when it is known what it does."""

    def __init__(self) -> None:
        self.said = ""
        """What it said since it last did something."""
        self.spoke = False
        """Whether it said or did anything since that was last set back."""
        self.cost_usd: float | None = None
        self._calls: dict[str, bool] = {}
        """Calls under way, and whether they have been told."""

    def read(self, update: Json, raw: str) -> list[Activity]:
        """The activities of one update; the raw line stands beside the first."""
        kind = str(update.get("sessionUpdate", ""))
        found = self._read(kind, update) or [Activity("output", text=f"[{kind[:80]}]")]
        return [Activity(a.type, a.text, a.data, raw if place == 0 else "") for place, a in enumerate(found)]

    def _read(self, kind: str, update: Json) -> list[Activity]:
        match kind:
            case "agent_message_chunk":
                return self._say(text_of(update.get("content")))
            case "agent_thought_chunk":
                self.spoke = True
                return [Activity("reasoning", text=text_of(update.get("content")))]
            case "tool_call" | "tool_call_update":
                return self._call(update)
            case "usage_update":
                self._price(update.get("cost"))
        return []

    def _say(self, text: str) -> list[Activity]:
        self.spoke = True
        self.said = (self.said + text)[-SAID_MAX:]
        return [Activity("assistant", text=text)]

    def _call(self, update: Json) -> list[Activity]:
        self.spoke, self.said = True, ""
        id_, found = str(update.get("toolCallId", ""))[:200], []
        told, ended = self._calls.get(id_, False), update.get("status") in ("completed", "failed")
        if not told and (update.get("rawInput") or ended):
            found.append(begun(update))
            told = True
        if ended:
            self._calls.pop(id_, None)
            found.append(Activity("command_completed", text=output_of(update)[:SHOWN], data=_id(update)))
        elif len(self._calls) < CALLS_MAX:
            self._calls[id_] = told
        return found or [Activity("output", text=f"[{str(update.get('title') or 'a tool')[:200]}]")]

    def _price(self, cost: object) -> None:
        if isinstance(cost, dict) and cost.get("currency") == "USD":
            told = Usage.told(cost_usd=cost.get("amount")).cost_usd
            self.cost_usd = self.cost_usd if told is None else told


def begun(update: Json) -> Activity:
    """A call that begins, as what it does: a change of a file, or a command."""
    given = update.get("rawInput")
    given = given if isinstance(given, dict) else {}
    title, kind = str(update.get("title") or ""), str(update.get("kind") or "")
    if kind in _CHANGES:
        return Activity("file_change", text=", ".join(_paths(update)) or title, data={"tool": kind})
    command = given.get("command")
    return Activity(
        "command_started", text=str(command or title)[:SHOWN], data={"tool": kind or title[:80], **_id(update)}
    )


def _id(update: Json) -> dict[str, str]:
    """By which the end of a command is known for that of its beginning."""
    return {"id": str(update["toolCallId"])[:200]} if update.get("toolCallId") else {}


def _paths(update: Json) -> list[str]:
    places = update.get("locations")
    found = [place.get("path") for place in places if isinstance(place, dict)] if isinstance(places, list) else []
    return [path for path in found if isinstance(path, str)]


def output_of(update: Json) -> str:
    """What a call gave, wherever an agent puts it."""
    raw, meta = update.get("rawOutput"), update.get("_meta")
    if isinstance(raw, str):
        return raw
    delta = meta.get("terminal_output_delta") if isinstance(meta, dict) else None
    if isinstance(delta, dict) and isinstance(delta.get("data"), str):
        return str(delta["data"])
    content = update.get("content")
    blocks = content if isinstance(content, list) else []
    return "\n".join(filter(None, (text_of(b.get("content")) for b in blocks if isinstance(b, dict))))


def text_of(content: object) -> str:
    text = content.get("text") if isinstance(content, dict) and content.get("type") == "text" else None
    return text if isinstance(text, str) else ""


def tokens_of(result: Json) -> tuple[int | None, int | None]:
    """What one turn read and wrote, as its end tells; None is unknown. Cached tokens count among those read."""
    usage = result.get("usage")
    if isinstance(usage, dict):
        total, written = _count(usage.get("totalTokens")), _count(usage.get("outputTokens"))
        if total is not None and written is not None and total >= written:
            return total - written, written
        return _count(usage.get("inputTokens")), written
    counts = mapping_in(result, "_meta", "quota", "token_count")
    return _count(counts.get("input_tokens")), _count(counts.get("output_tokens"))


def rows_of(result: Json) -> list[ModelUsage]:
    """What each model read and wrote in a turn, as Gemini CLI tells it at the turn's end."""
    told = mapping_in(result, "_meta", "quota").get("model_usage")
    found: list[ModelUsage] = []
    for row in told[:MOST_MODELS] if isinstance(told, list) else ():
        counts = mapping_in(row, "token_count")
        name = row.get("model") if isinstance(row, dict) else None
        found += Usage.told(counts.get("input_tokens"), counts.get("output_tokens"), model=name).models
    return found


def add_up(by_model: dict[str, ModelUsage], rows: Iterable[ModelUsage]) -> None:
    """Agents count by the turn; a conversation's rows are the sums."""
    for row in rows:
        before = by_model.get(row.model, ModelUsage(model=row.model))
        read, wrote = before.input_tokens + row.input_tokens, before.output_tokens + row.output_tokens
        if len(by_model) < MOST_MODELS or row.model in by_model:
            by_model[row.model] = before.model_copy(update={"input_tokens": read, "output_tokens": wrote})


_AGAIN = re.compile(r"Suggested retry after (\d{1,7}(?:\.\d{1,12})?)s\b")


def told_back_ms(text: str, now: datetime) -> int | None:
    """When an agent says that it may be tried again: after so many seconds (Gemini CLI), or at a time (Codex)."""
    if found := _AGAIN.search(text):
        return int((now.timestamp() + float(found[1])) * 1000)
    return told_moment_ms(text, now)


def failure_told(result: Json) -> Json:
    """What went wrong in a turn that ended in good order, as bridges tell a client that has said it wants to know."""
    told = mapping_in(result, "_meta", "jetbrains", "air", "sessionFailure")
    return {} if told.get("severity") in HARMLESS else told


def mapping_in(found: Any, *keys: str) -> Json:
    """The mapping that stands below these keys; empty where there is none."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _count(value: object) -> int | None:
    return Usage.told(value).input_tokens


def models_of(session: Json) -> tuple[str, ...]:
    """The models that a session offers by `session/set_model`; empty: it knows no such thing."""
    models = mapping_in(session, "models").get("availableModels")
    found = [model.get("modelId") for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    return tuple(name for name in found if isinstance(name, str))


def model_option(session: Json) -> str:
    """The option by which a session's model is chosen; empty where there is none."""
    options = session.get("configOptions")
    found = [option for option in options if isinstance(option, dict)] if isinstance(options, list) else []
    return next((str(option.get("id", "")) for option in found if option.get("category") == "model"), "")
