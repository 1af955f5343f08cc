"""The prompt: the bundle told to a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from codeswarm.context.planning import planning_sections

Bundle = dict[str, Any]


def build_prompt(bundle: Bundle) -> str:
    """The whole prompt of an attempt, the most important first."""
    return "\n\n".join(section for section in _sections(bundle) if section) + "\n"


def _sections(bundle: Bundle) -> Iterator[str]:
    if bundle["resumed"]:
        yield (
            "You were interrupted while you worked on this. The files are as they were at your last snapshot: look "
            "at them before you go on, since your very last steps may be missing. Your task is unchanged; here it is."
        )
    if bundle["planning"] is not None:
        yield from planning_sections(bundle)
    else:
        yield bundle["instructions"]["role"]
        yield _ticket(bundle)
    yield from _house_rules(bundle["instructions"])
    yield _contract(bundle["contract"])
    yield _plan(bundle["plan"])
    yield from (_agreement(item) for item in bundle["agreements"])
    yield _conflicts(bundle)
    yield _escalated(bundle)
    yield from (_feedback(item) for item in bundle["feedback"])
    yield _reference(bundle["reference"])
    yield "" if bundle["escalated"] else _work(bundle["work"])
    yield _blockers(bundle["blockers"])
    yield from (f"# A word from {m['by']}, who watches over this work\n{m['text']}" for m in bundle["messages"])
    yield _result(bundle)


def _house_rules(instructions: Bundle) -> Iterator[str]:
    """What the repository says to everyone who works on it. Folders of it may say more."""
    for rule in instructions["rules"]:
        yield f"# House rules of this repository ({rule['source']})\n{rule['text']}"
    if instructions["rules"]:
        more = ", ".join(instructions["left_out"])
        yield (
            "Before you change files in a folder, read the AGENTS.md or CLAUDE.md of that folder, where there is one."
            + (f" Read these rules, too; they are too long to stand here: {more}." if more else "")
        )
    if instructions["skills"]:
        rows = [f"- {skill['name']}: {skill['description']} ({skill['source']})" for skill in instructions["skills"]]
        yield "# Skills\nRead the file of one before you do what it is for.\n" + "\n".join(rows)


def _ticket(bundle: Bundle) -> str:
    ticket = bundle["ticket"]
    lines = [f"# Ticket {ticket['id']}: {ticket['title']}"]
    if bundle["session"]["goal"]:
        lines.append(f"It is part of a larger goal: {bundle['session']['goal']}")
    if ticket.get("description"):
        lines.append(ticket["description"].strip())
    if ticket.get("acceptance"):
        lines.append("Acceptance:\n" + _bullets(ticket["acceptance"]))
    if ticket.get("files"):
        lines.append("Files it will probably touch: " + ", ".join(ticket["files"]))
    if ticket.get("gate"):
        lines.append(f"It must pass, among the project's own checks: `{ticket['gate']}`")
    return "\n\n".join(lines)


def _contract(contract: Bundle | None) -> str:
    if contract is None:
        return ""
    parts = ["# The contract (written by a test writer; its tests are part of the repository)"]
    parts += [
        f"{name.replace('_', ' ').capitalize()}:\n{_bullets(sentences)}"
        for name, sentences in contract["promises"].items()
        if sentences
    ]
    if contract["files"]:
        parts.append("Its files, which you don't change: " + ", ".join(contract["files"]))
    if contract["diff"]:
        parts.append(_diff(contract["diff"]))
    return "\n\n".join(parts)


def _plan(plan: Bundle | None) -> str:
    return "" if plan is None else f"# The plan (from the planner)\n{_quoted(plan['text'])}"


def _agreement(item: Bundle) -> str:
    with_ = ", ".join(item["tickets"])
    title = f"# Agreed with the other tickets about {item['about']} (for {with_}; from the planner)"
    return f"{title}\n{_quoted(item['text'])}"


def _conflicts(bundle: Bundle) -> str:
    if not bundle["conflicts"]:
        return ""
    return (
        "# Conflicts to resolve first\n"
        "Other tickets have landed since, and their changes conflict with this ticket's. Conflict markers stand in:\n"
        f"{_bullets(bundle['conflicts'])}\n"
        "`codeswarm-integration` is what has landed, `codeswarm-ticket-…` is this ticket's work. Keep what both sides "
        "mean, and leave no marker."
    )


def _escalated(bundle: Bundle) -> str:
    if bundle["escalated"] is None:
        return ""
    parts = [
        "# You take over from another agent\nIts work is in your files, and the gate is red on it; what the gate said "
        "stands below. Keep what is right, and mend or replace the rest."
    ]
    if said := bundle["escalated"]["summary"].strip():
        parts.append(f"Its last words:\n{_quoted(said)}")
    if bundle["work"] is not None:
        parts.append(f"What it changed:\n{_diff(bundle['work']['diff'])}")
    return "\n\n".join(parts)


def _feedback(item: Bundle) -> str:
    titles = {
        "reviewer": "A reviewer asks for changes",
        "verifier": "The verification failed",
        "gate": "The landing was refused: together with what has landed meanwhile, the gate is red",
        "conflict": "The landing was refused: it conflicts with what has landed meanwhile",
        "dispute": "The implementer disputes the contract: change it, or make clear why it stands",
        "person": "The person rejected the plan: make another one that meets what they say",
        "failure": "The last attempt did not succeed",
        "hand_back": "A person has worked on this by hand and gives it to you",
    }
    if item["source"] == "hand_back":
        return f"# {titles['hand_back']}\n{GO_ON}{_said(item['text'])}"
    title = titles.get(item["source"], f"{item['source']} asks for changes")
    return f"# {title}\n{item['text'].strip() if item['source'] == 'person' else _quoted(item['text'])}"


GO_ON = """\
Files may be other ones than you remember: look at what has changed, keep it, and go on with your task to its end."""


def _said(note: str) -> str:
    return f"\n\nThey say:\n{note.strip()}" if note.strip() else ""


def _reference(reference: Bundle | None) -> str:
    if reference is None or not reference["diff"].strip():
        return ""
    return (
        f"# For reference: {reference['source']}\n"
        "It is not in your files. Take from it what is right.\n\n"
        f"{_diff(reference['diff'])}"
    )


def _work(work: Bundle | None) -> str:
    return "" if work is None else f"# The work to judge\n{_diff(work['diff'])}"


def _blockers(blockers: list[Bundle]) -> str:
    if not blockers:
        return ""
    lines = [f"- {item['id']}: {item['title']} ({', '.join(item['files'][:10])})" for item in blockers]
    return "# What it builds on (landed already)\n" + "\n".join(lines)


def _result(bundle: Bundle) -> str:
    if bundle["result"] is None:
        return ""
    return (
        "# Your answer\nWrite a JSON object to the file whose path is in the environment variable CODESWARM_RESULT, of "
        f"this form:\n```json\n{json.dumps(bundle['result'], indent=1)}\n```"
    )


def _bullets(sentences: list[str]) -> str:
    return "\n".join("- " + "\n  ".join(sentence.strip().splitlines()) for sentence in sentences)


def _quoted(text: str) -> str:
    """What another agent or a program said: none of its lines can pass for one of ours, or for a person's word."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _diff(text: str) -> str:
    """Between fences that are longer than any within."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return f"{fence}diff\n{text.strip()}\n{fence}"
