"""What stands above a ticket in every prompt: the role's own text, the project's house rules, the skills it offers.

A role's text is shipped (`roles/ROLE.md`). House rules are the repository's and always read: `AGENTS.md`, `CLAUDE.md`
and `GEMINI.md` at its top, `.codeswarm/rules/*.md` for every role, `.codeswarm/rules/ROLE/*.md` for one. They are told
to every agent alike, whatever its CLI would read by itself. What changes how an agent behaves counts only once a person
trusts it: `.codeswarm/roles/ROLE.md` in place of the shipped text, and skills (`.codeswarm/skills/NAME/SKILL.md`,
`.claude/skills/…`; `roles:` in a skill's head limits it to some).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import yaml

FOLDER = ".codeswarm"
GUIDES = ("AGENTS.md", "CLAUDE.md", "GEMINI.md")
SKILLS = (f"{FOLDER}/skills/", ".claude/skills/")
READ = (*GUIDES, FOLDER, ".claude/skills")
"""All that is read here of a repository."""
MAX_GUIDE = 40_000
"""Characters of one file; and of all rules together thrice as many."""
MAX_RULES = 3 * MAX_GUIDE
MAX_SKILLS = 50
MAX_DESCRIPTION = 500
_LINK = "120000"

Listing = Mapping[str, tuple[str, str]]
"""Path → (mode, blob), of a commit."""
Read = Callable[[str], bytes | None]
"""The content of a path of that commit."""


@dataclass(frozen=True, slots=True)
class Rule:
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Skill:
    name: str
    description: str
    path: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """`role` is the role's text, and `source` the file that it is from; empty: ours."""

    role: str
    source: str = ""
    rules: tuple[Rule, ...] = ()
    skills: tuple[Skill, ...] = ()
    left_out: tuple[str, ...] = ()
    """Rules for which there was no room."""


@cache
def shipped(role: str) -> str:
    """A role's text as we ship it; empty for a role that is told nothing (a verifier)."""
    file = files(__package__) / "roles" / f"{role}.md"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def read_instructions(role: str, listing: Listing, read: Read, *, trusted: bool) -> Instructions:
    """The instructions for a role, as a commit has them. What can't be read as text is read as far as it can."""
    own = f"{FOLDER}/roles/{role}.md"
    text = _text(read(own)) if trusted and own in listing else ""
    rules, left_out = _rules(role, listing, read)
    skills = tuple(_skills(role, listing, read))[:MAX_SKILLS] if trusted else ()
    return Instructions(text or shipped(role), own if text else "", rules, skills, left_out)


def _rules(role: str, listing: Listing, read: Read) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Rules in their order, each text once; those beyond the bound are named only."""
    found: dict[str, Rule] = {}
    left_out, room = [], MAX_RULES
    for path in _rule_files(role, listing):
        text = _text(read(path)) if listing[path][0] != _LINK else ""
        if not text or text in {f"@{name}" for name in GUIDES} or text in found:
            continue
        if len(text) > room:
            left_out.append(path)
            continue
        room -= len(text)
        found[text] = Rule(path, text)
    return tuple(found.values()), tuple(left_out)


def _rule_files(role: str, listing: Listing) -> Iterator[str]:
    yield from (path for path in GUIDES if path in listing)
    for folder in (f"{FOLDER}/rules", f"{FOLDER}/rules/{role}"):
        yield from sorted(
            path for path in listing if path.endswith(".md") and str(PurePosixPath(path).parent) == folder
        )


def _skills(role: str, listing: Listing, read: Read) -> Iterator[Skill]:
    for path in sorted(listing):
        if path.endswith("/SKILL.md") and path.startswith(SKILLS) and listing[path][0] != _LINK:
            head = _head(_text(read(path)))
            roles = head.get("roles")
            if not isinstance(roles, list) or role in roles:
                name = str(head.get("name") or PurePosixPath(path).parent.name)
                yield Skill(name[:80], " ".join(str(head.get("description") or "").split())[:MAX_DESCRIPTION], path)


def _head(text: str) -> dict[str, Any]:
    """The YAML between `---` lines that a skill begins with; empty where there is none that can be read."""
    if not text.startswith("---\n"):
        return {}
    try:
        head = yaml.safe_load(text[4:].split("\n---", 1)[0][:10_000])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return head if isinstance(head, dict) else {}


def _text(data: bytes | None) -> str:
    text = (data or b"")[: 4 * MAX_GUIDE].decode(errors="replace").strip()
    return text if len(text) <= MAX_GUIDE else f"{text[:MAX_GUIDE]}\n[… cut]"
