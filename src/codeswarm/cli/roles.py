"""`--agent` and `--role`: who does what, as settings by role. What is typed holds against every file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from codeswarm.cli.here import parse_pair
from codeswarm.domain.model import MOST
from codeswarm.domain.pipeline import AGENT_ROLES, Role
from codeswarm.domain.rejection import closest
from codeswarm.errors import UsageError

ALL = "*"
KNOWN = tuple(str(role) for role in Role if role in AGENT_ROLES)
Agents = dict[str, list[str]]


def every_role(agents: Sequence[str]) -> Agents:
    """Agents for each role by name, too: a file that names a role would come before `*`."""
    return {role: list(agents) for role in (ALL, *KNOWN)} if agents else {}


def chosen_agents(agents: Sequence[str], pairs: Iterable[str]) -> Agents:
    """What `--agent` and `--role` say together. Raises: UsageError for a role that there is not."""
    chosen = every_role(agents)
    for pair in pairs:
        role, specs = parse_pair(pair, "--role")
        chosen[_known(role, "--role", specs)] = [spec.strip() for spec in specs.split(",")]
    return chosen


def role_budgets(usd: Iterable[str], tokens: Iterable[str]) -> dict[str, dict[str, float]]:
    """New caps, as `--role-usd` and `--role-tokens` say them. Raises: UsageError for what is no role or no cap."""
    found: dict[str, dict[str, float]] = {}
    for option, unit, pairs, number in (("--role-usd", "usd", usd, float), ("--role-tokens", "tokens", tokens, int)):
        for pair in pairs:
            role, text = parse_pair(pair, option)
            found.setdefault(_known(role, option, text), {})[unit] = _cap(number, text, f"{option} {role}")
    return found


def _known(role: str, option: str, value: str) -> str:
    if role not in KNOWN:
        near = closest(role, KNOWN, "implementer")
        raise UsageError(f"there is no role {role!r}", f"known are {', '.join(KNOWN)}", f"{option} {near}={value}")
    return role


def _cap(number: Callable[[str], float], text: str, option: str) -> float:
    try:
        cap = number(text)
    except ValueError:
        cap = 0
    if not 0 < cap < MOST:
        raise UsageError(f"{text!r} is no cap", "a cap is a number above 0", f"{option}=5")
    return cap


def told(roles: Mapping[str, list[str]]) -> Agents:
    """As a person should read it: roles that have the agents of all the others are not told by name."""
    return {role: specs for role, specs in roles.items() if role == ALL or specs != roles.get(ALL)}


def as_typed(roles: Mapping[str, list[str]]) -> str:
    """Agents as `--agent` and `--role` take them: `claude:sonnet, reviewer=claude:opus,claude`."""
    return ", ".join(",".join(specs) if role == ALL else f"{role}={','.join(specs)}" for role, specs in roles.items())
