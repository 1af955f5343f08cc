"""The structured answer of an agent: read as hostile, and told precisely what is wrong with it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from codeswarm.agents.lines import read_json
from codeswarm.domain.results import Contract, Finding, Usage, Verdict
from codeswarm.worker.beneath import read_left

MAX_BYTES = 4 << 20
MAX_ITEMS = 500
MAX_WORDS = 1 << 16
"""Of an agent's last words this much is searched for an answer, from their end."""
_KEYS = frozenset({"contract", "verdict", "dispute", "plan", "findings", "tickets", "answer"})


@dataclass(slots=True)
class Answer:
    """What `$CODESWARM_RESULT` held. `problem` says what could not be used."""

    contract: Contract | None = None
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    dispute: str | None = None
    plan: str | None = None
    decisions: tuple[str, ...] = ()
    proposed_tickets: tuple[dict[str, Any], ...] = ()
    tickets: tuple[dict[str, Any], ...] | None = None
    answer: str | None = None
    usage: Usage | None = None
    raw: dict[str, Any] | None = None
    problem: str = ""


def read_answer(path: Path, last_words: str) -> Answer:
    """The answer in a result file; where there is none, the last JSON object in the agent's last words."""
    data = read_left(path.parent, path.name, MAX_BYTES)
    if data is None or not data.strip():
        found = last_object(last_words)
        return Answer() if found is None else parse_answer(found)
    if len(data) > MAX_BYTES:
        return Answer(problem=f"its result is longer than {MAX_BYTES >> 20} MiB")
    try:
        found = read_json(data.decode("utf-8-sig"))
    except ValueError as error:
        return Answer(problem=f"its result is not JSON: {error}")
    if not isinstance(found, dict):
        return Answer(problem="its result is no JSON object")
    return parse_answer(found)


def parse_answer(found: dict[str, Any]) -> Answer:
    answer = Answer(raw=found)
    try:
        if found.get("contract") is not None:
            answer.contract = Contract.model_validate(found["contract"])
        if found.get("verdict") is not None:
            answer.verdict = Verdict(str(found["verdict"]).strip().lower())
        answer.findings = tuple(_finding(item) for item in _list(found, "findings"))
        answer.dispute = _dispute(found.get("dispute"))
        answer.plan = _text(found.get("plan"))
        answer.decisions = tuple(_text(item) or "" for item in _list(found, "decisions"))
        answer.proposed_tickets = tuple(item for item in _list(found, "proposed_tickets") if isinstance(item, dict))
        answer.tickets = _tickets(found.get("tickets"))
        answer.answer = _text(found.get("answer"))
        answer.usage = _usage(found.get("usage"))
    except (ValidationError, ValueError) as error:
        answer.problem = f"its result can't be used: {_short(error)}"
    return answer


def last_object(text: str) -> dict[str, Any] | None:
    """The last whole JSON object with a known key that a text holds, fenced or bare; one within another is none."""
    text, decoder = text[-MAX_WORDS:], json.JSONDecoder()
    last: dict[str, Any] | None = None
    place = text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place = text.find("{", place + 1)
            continue
        if isinstance(found, dict) and found.keys() & _KEYS:
            with contextlib.suppress(ValueError):
                last = read_json(text[place:end])
        place = text.find("{", end)
    return last


def _list(found: dict[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    return value[:MAX_ITEMS] if isinstance(value, list) else []


def _tickets(value: Any) -> tuple[dict[str, Any], ...] | None:
    """A planner's tickets. What is no list of objects is refused: a plan with holes would be another plan."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError('"tickets" must be a list of objects: {"tickets": [{"id": …, "title": …}]}')
    if len(value) > MAX_ITEMS:
        raise ValueError(f'"tickets" holds {len(value)} tickets; at most {MAX_ITEMS} are read')
    return tuple(value)


def _finding(item: Any) -> Finding:
    return Finding(text=item) if isinstance(item, str) else Finding.model_validate(item)


def _dispute(value: Any) -> str | None:
    if value is None:
        return None
    reason = value.get("reason") if isinstance(value, dict) else value
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError('a dispute needs a reason: {"dispute": {"reason": …}}')
    return reason.strip()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    return Usage.model_validate(
        {key: value[key] for key in ("input_tokens", "output_tokens", "cost_usd") if key in value}
    )


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)
