"""What must not leave this machine by accident: secrets, names, addresses, home folders; taken out of any text.

A rule that hides too much is right, one that hides too little is wrong: what is left is read by strangers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH|COOKIE|DSN", re.IGNORECASE)
_WELL_KNOWN = r"\b(?:sk|pk|rk|gh[opsu]|github_pat|glpat|xox[abprs]|AKIA|ASIA|AIza|npm|pypi|hf)[-_A-Za-z0-9]{12,}"
_ASSIGNED = r"""\b([\w-]*(?:key|token|secret|passw(?:or)?d|credential|cookie)[\w-]*["']?\s*[=:]\s*)(["']?)[^\s"',}]+"""
_LONG = r"\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[g-zG-Z])[A-Za-z0-9+/_-]{32,}={0,2}"
_RULES = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL), "‹private key›"),
    (re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+@"), "‹login›@"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "‹email›"),
    (re.compile(_WELL_KNOWN), "‹token›"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "‹token›"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), r"\1 ‹token›"),
    (re.compile(_ASSIGNED, re.IGNORECASE), r"\1\2‹secret›"),
    (re.compile(_LONG), "‹long text›"),
    (re.compile(r"/(?:home|Users)/[^/\s:\"']+"), "~"),
)
"""Object ids are hexadecimal and stay; anything else that is long and has digits may be a key."""


class Redactor:
    """Knows this machine's own names and secrets, and hides them wherever they stand."""

    def __init__(self, variables: Mapping[str, str], names: Iterable[tuple[str, str]]) -> None:
        """`names`: what to hide → what to show in its stead."""
        secrets = [value for name, value in variables.items() if _SECRET_NAME.search(name) and len(value) >= 6]
        pairs = [(value, "‹secret›") for value in secrets] + [(name, shown) for name, shown in names if len(name) > 2]
        self._exact = sorted(set(pairs), key=lambda pair: -len(pair[0]))

    def text(self, text: str) -> str:
        for hidden, shown in self._exact:
            text = text.replace(hidden, shown)
        for rule, shown in _RULES:
            text = rule.sub(shown, text)
        return text


KEPT_WORDS = frozenset(
    {
        "kind", "status", "state", "phase", "role", "outcome", "failure_class", "subject", "purpose", "sandbox", "gate",
        "name", "how", "pipeline",
    }
)  # fmt: skip
"""Keys of events whose text is one of ours."""
_WORD = re.compile(r"[a-z][a-z0-9_@.-]{0,40}")


def outline(value: Any, key: str = "") -> Any:
    """The shape of an event's data: numbers and words of ours stay; what people and agents wrote is its length."""
    if isinstance(value, dict):
        return {name: outline(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return f"‹{len(value)} items›" if value and isinstance(value[0], str) else [outline(item) for item in value[:5]]
    if isinstance(value, str) and value:
        return value if key in KEPT_WORDS and _WORD.fullmatch(value) else f"‹{len(value)} characters›"
    return value
