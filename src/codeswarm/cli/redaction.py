"""What must not leave this machine by accident: secrets, names, addresses, home folders; taken out of any text.

A rule that hides too much is right, one that hides too little is wrong: what is left is read by strangers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from codeswarm.redaction import HIDDEN, forms_of

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH|COOKIE|DSN", re.IGNORECASE)
_WELL_KNOWN = r"\b(?:sk|pk|rk|gh[opsu]|github_pat|glpat|xox[abprs]|AKIA|ASIA|AIza|npm|pypi|hf)[-_A-Za-z0-9]{12,}"
_ASSIGNED = r"""\b([\w-]*(?:key|token|secret|passw(?:or)?d|credential|cookie)[\w-]*["']?\s*[=:]\s*)(["']?)[^\s"',}]+"""
_COUNT = r"""(?![\w-]*tokens["']?\s*[=:]\s*(?:null|[\d.]+)\s*(?:[,})\n]|\Z|\s{2}))"""
"""How many tokens is no secret: `"input_tokens": 12`."""
_GIVEN = r"(?<![\w-])(--?(?:password|passwd|token|secret|api-?key)\s+)[^\s-]\S*"
_LOGIN = r"(?<![\w-])(-u|-U|--user|--proxy-user)([ =]?)[^\s:]+:\S+"
_URL = r"\b([a-z][a-z0-9+.-]{1,15}://)[^\s\"'<>`]+"
_COUNTRIES = (
    "ar|at|au|be|bg|br|ca|ch|cl|cn|cz|de|dk|ee|es|eu|fi|fr|gr|hk|hu|ie|il|it|jp|kr|lt|lu|lv|me|mx|nl|no|nz|pt|ro|ru"
    "|se|sg|sk|th|tr|tv|tw|ua|uk|us|vn|za"
)
_ENDS = (
    "com|net|edu|gov|mil|info|biz|io|dev|cloud|ai|tech|org|internal|intern|intranet|intra|corp|lan|local|localdomain"
    f"|home|private|test|example|invalid|onion|arpa|{_COUNTRIES}"
)
"""Of names with dots only these are hosts: most others here are files, modules and settings."""
_OWN = r"(?!api\.anthropic\.com(?![\w.-]))"
"""Where Claude answers unless someone says otherwise: that tells nothing of anybody."""
_HOST = rf"(?<![\w.-]){_OWN}(?:[a-z0-9-]+\.)+(?:{_ENDS})(?::\d{{1,5}})?(?![\w-]|\.\w)"
_IP = (
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.])|(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f:]{1,5}(?![\w:])"
)
_LONG = r"\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[g-zG-Z])[A-Za-z0-9+/_-]{32,}={0,2}"
_RULES = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL), "‹private key›"),
    (re.compile(_URL, re.IGNORECASE), r"\1‹address›"),
    (re.compile(_LOGIN), r"\1\2‹login›"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*"), "‹email›"),
    (re.compile(_WELL_KNOWN), "‹token›"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "‹token›"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), r"\1 ‹token›"),
    (re.compile(_GIVEN, re.IGNORECASE), r"\1‹secret›"),
    (re.compile(rf"{_COUNT}{_ASSIGNED}", re.IGNORECASE), r"\1\2‹secret›"),
    (re.compile(_HOST, re.IGNORECASE), "‹address›"),
    (re.compile(_IP, re.IGNORECASE), "‹address›"),
    (re.compile(_LONG), "‹long text›"),
    (re.compile(r"/(?:home|Users)/[^/\s:\"']+"), "~"),
)
"""Object ids are hexadecimal and stay; anything else that is long and has digits may be a key."""


class Redactor:
    """Knows this machine's own names and secrets, and hides them wherever they stand."""

    def __init__(self, variables: Mapping[str, str], names: Iterable[tuple[str, str]]) -> None:
        """`names`: what to hide → what to show in its stead."""
        secrets = [value for name, value in variables.items() if _SECRET_NAME.search(name) and len(value) >= 6]
        pairs = [(form, HIDDEN) for value in secrets for form in forms_of(value)]
        pairs += [(name, shown) for name, shown in names if len(name) > 2]
        pairs += [(host, "‹address›") for value in variables.values() for host in _hosts(value)]
        self._exact = sorted(set(pairs), key=lambda pair: -len(pair[0]))

    def text(self, text: str) -> str:
        for hidden, shown in self._exact:
            text = text.replace(hidden, shown)
        for rule, shown in _RULES:
            text = rule.sub(shown, text)
        return text


def _hosts(value: str) -> list[str]:
    """The hosts that an address names; one without a dot is known by nothing else."""
    found = re.findall(r"://(?:[^\s/@]*@)?([\w.-]{4,})", value)
    return [host for host in found if host not in ("localhost", "127.0.0.1", "api.anthropic.com")]


# ── what we have written ourselves stays, of all else the length ─────────────────────────────────────────────

KEPT = frozenset(
    {
        "kind", "status", "state", "phase", "role", "outcome", "failure_class", "subject", "purpose", "sandbox", "gate",
        "name", "how", "pipeline", "reason", "contract", "verdict", "save_to", "default_pipeline",
    }
)  # fmt: skip
"""Keys of events whose text may be a word of ours."""


def words_in(*schemas: Any) -> frozenset[str]:
    """The words that JSON schemas list: names of fields, members of enumerations, defaults."""
    words: set[str] = set()
    for schema in schemas:
        if isinstance(schema, dict):
            words |= {str(name) for name in schema.get("properties", {})}
            for key in ("enum", "const", "default"):
                listed = schema.get(key)
                words |= {one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, str)}
            words |= words_in(*schema.values())
        elif isinstance(schema, list):
            words |= words_in(*schema)
    return frozenset(words)


def outline(value: Any, ours: Collection[str], key: str = "", kept: Collection[str] = KEPT) -> Any:
    """The shape of data: numbers and words of ours stay (under the keys that are `kept`); what people and agents wrote,
    be it a key, is its length.
    """
    if isinstance(value, dict):
        named = (
            (name if name in ours else f"‹{place}: {len(name)} characters›", name) for place, name in enumerate(value)
        )
        return {shown: outline(value[name], ours, name, kept) for shown, name in named}
    if isinstance(value, list):
        if all(isinstance(one, str) for one in value) and not (key in kept and {*value} <= {*ours}):
            return f"‹{len(value)} items›" if value else []
        return [outline(item, ours, key, kept) for item in value[:5]]
    if isinstance(value, str) and value:
        return value if key in kept and value in ours else f"‹{len(value)} characters›"
    return value
