"""What a repository's `codeswarm.toml` may say beside the person's own settings: one rule a key, and in words.

The repository is data of whoever can commit to it. Its file may describe the project and make things stricter; what
would loosen walls, spend more or reach outside is ignored, and named. A key without a rule of its own has its
section's; a section without a rule is the person's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from codeswarm.egress.hosts import narrower

CLIS = ("claude", "codex", "gemini")
"""Kinds of agents that a repository may choose: all others name a program or an endpoint."""
SAVE_ORDER = ("ff", "branch", "pr")
TIGHTENED = ("policy", "budget", "sandbox")
"""Sections in which only what is stricter counts; there it holds against the person's standing settings, too."""


class Ignored(Exception):
    """A value that a repository may not set; its text says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a repository may do with a key: in words, for the reference, and in deed."""

    told: str
    keep: Callable[[Any, Any], Any]
    """(the repository's value, the person's) → the value that applies. Raises: Ignored."""


def tighten(theirs: Mapping[str, Any], ours: BaseModel) -> tuple[dict[str, Any], list[str]]:
    """What of a repository's settings applies beside the person's own, and what is ignored and why."""
    kept: dict[str, Any] = {}
    ignored: list[str] = []
    for section, content in theirs.items():
        keys = content if isinstance(content, Mapping) else {"": content}
        for key, value in keys.items():
            where = f"{section}.{key}" if key else section
            try:
                kept.setdefault(section, {})[key] = rule(where).keep(value, _now(ours, section, key))
            except Ignored as why:
                ignored.append(f"{where}: {why}")
    return kept, ignored


def rule(key: str) -> Rule:
    """The rule of `section.key`, else its section's."""
    return RULES.get(key) or RULES.get(key.partition(".")[0]) or _NEVER


def _now(ours: BaseModel, section: str, key: str) -> Any:
    """The value in force; None where the keys of a section are free."""
    return getattr(getattr(ours, section, None), key, None) if key else None


# ── the rules ────────────────────────────────────────────────────────────────────────────────────────────────

_ONLY_STRICTER = "a repository may only make this stricter"


def _freely(theirs: Any, ours: Any) -> Any:
    return theirs


def _never(theirs: Any, ours: Any) -> Any:
    raise Ignored("a repository may not set this; put it into your own file")


def _where(stricter: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """Keeps what is at least as strict as the value in force; None: there is no bound yet."""

    def keep(theirs: Any, ours: Any) -> Any:
        if ours is not None and not stricter(theirs, ours):
            raise Ignored(_ONLY_STRICTER)
        return theirs

    return keep


def _only_registries(theirs: list[str], ours: Any) -> list[str]:
    if any(host != "@registries" for host in theirs):
        raise Ignored("a repository may only ask for @registries")
    return theirs


def _fewer_hosts(theirs: list[str], ours: list[str]) -> list[str]:
    wider = [entry for entry in theirs if not narrower(entry, ours)]
    if wider:
        raise Ignored(f"a repository may only take hosts away, and {wider[0]} is none of yours")
    return theirs


def _not_by_itself(theirs: bool, ours: Any) -> bool:
    if theirs:
        raise Ignored("your branch moves only by a save that you asked for; put it into your own file")
    return theirs


def _no_programs(theirs: list[str], ours: Any) -> list[str]:
    if any(spec.partition(":")[0] not in CLIS for spec in theirs):
        raise Ignored("a repository may name coding CLIs and models, not commands")
    return theirs


def _more_approvals(theirs: list[str], ours: list[str] | None) -> list[str]:
    """A repository asks for approvals, and never does away with any; not even with those that are the default."""
    if not {*theirs} - {"none"}:
        raise Ignored(_ONLY_STRICTER)
    return sorted({*theirs, *(ours or [])} - {"none"})


def _more_people(theirs: Mapping[str, int], ours: Mapping[str, int]) -> dict[str, int]:
    return {"landing": max(theirs.get("landing", 1), ours.get("landing", 1))}


def _lower_caps(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Caps of roles: those that are lower, and those of roles that have none yet."""
    found = {role: caps.model_dump(exclude_none=True) for role, caps in ours.items()}
    for role, caps in theirs.items():
        for unit, cap in caps.items():
            if cap > found.get(role, {}).get(unit, cap):
                raise Ignored(_ONLY_STRICTER)
            found.setdefault(role, {})[unit] = cap
    return found


def _more_sensitive(theirs: list[str], ours: list[str]) -> list[str]:
    return list(dict.fromkeys((*ours, *theirs)))


def _nothing_stricter(theirs: Any, ours: Any) -> Any:
    raise Ignored(_ONLY_STRICTER)


_FREELY = Rule("yes", _freely)
_NEVER = Rule("no", _never)
_LOWER = Rule("only lower", _where(lambda theirs, ours: bool(theirs <= ours)))
_HIGHER = Rule("only higher", _where(lambda theirs, ours: bool(theirs >= ours)))
_MORE_CAREFUL = Rule(
    "only more careful", _where(lambda theirs, ours: SAVE_ORDER.index(theirs) >= SAVE_ORDER.index(ours))
)

RULES: Mapping[str, Rule] = {
    "project": _FREELY,
    "gates": _FREELY,
    "workspace": _FREELY,
    "workspace.setup_network": Rule('only `["@registries"]`', _only_registries),
    "swarm": _FREELY,
    "swarm.continuous": Rule("only `false`", _not_by_itself),
    "roles": Rule("coding CLIs and models, no commands", _no_programs),
    "pipeline": _FREELY,
    "pipelines": _FREELY,
    "policy": _LOWER,
    "policy.approve": Rule("adds", _more_approvals),
    "policy.approvals": Rule("only higher", _more_people),
    "policy.sensitive": Rule("adds", _more_sensitive),
    "policy.commands": Rule('only `"ask"`', _where(lambda theirs, ours: theirs == "ask" or ours == "allow")),
    "policy.commands_allow": Rule("no", _nothing_stricter),
    "policy.commands_deny": Rule("adds", _more_sensitive),
    "policy.auto_resolve": Rule("no", _nothing_stricter),
    "policy.save_to": _MORE_CAREFUL,
    "policy.escalate": _FREELY,
    "policy.burst_window_s": _HIGHER,
    "policy.park_base_s": _HIGHER,
    "policy.park_max_s": _HIGHER,
    "policy.backoff_base_s": _HIGHER,
    "policy.backoff_max_s": _HIGHER,
    "policy.restart_window_s": _HIGHER,
    "sandbox.memory_mib": _LOWER,
    "sandbox.cpus": _LOWER,
    "sandbox.pids": _LOWER,
    "sandbox.network": Rule("only fewer hosts", _fewer_hosts),
    "budget": _LOWER,
    "budget.count_subscription": Rule("only `true`", _where(lambda theirs, ours: theirs or not ours)),
    "budget.quota_reserve": _HIGHER,
    "budget.roles": Rule("only lower", _lower_caps),
    "budget.reserve_usd": _HIGHER,
    "budget.reserve_tokens": _HIGHER,
}
