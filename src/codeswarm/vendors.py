"""The vendors of models: where their APIs are, and which of the person's variables are for them. Told here alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vendor:
    """One of them, with a coding CLI of its own."""

    address: str
    """Where its API is when nobody says otherwise."""
    endpoint: str
    """The variable that says otherwise."""
    keys: tuple[str, ...]
    """The variables that log its CLI in. Nobody may see what they hold."""
    of_cli: str = ""
    """The one of them that its CLI alone takes."""

    @property
    def variables(self) -> tuple[str, ...]:
        return (*self.keys, self.endpoint)

    @property
    def of_api(self) -> tuple[str, ...]:
        """Those of them that any program may ask its API with."""
        return tuple(name for name in self.keys if name != self.of_cli)


ANTHROPIC = Vendor(
    "https://api.anthropic.com",
    "ANTHROPIC_BASE_URL",
    ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN"),
    "CLAUDE_CODE_OAUTH_TOKEN",
)
OPENAI = Vendor("https://api.openai.com/v1", "OPENAI_BASE_URL", ("CODEX_API_KEY", "OPENAI_API_KEY"), "CODEX_API_KEY")
GOOGLE = Vendor("https://generativelanguage.googleapis.com", "GOOGLE_GEMINI_BASE_URL", ("GEMINI_API_KEY",))
VENDORS = {"claude": ANTHROPIC, "codex": OPENAI, "gemini": GOOGLE}
"""Kind of agent → the vendor of its CLI."""


def keys_of(kind: str) -> tuple[str, ...]:
    """The variables that log agents of a kind in; of `acp:` nobody knows them."""
    if kind == "api":
        return tuple(name for vendor in VENDORS.values() for name in vendor.of_api)
    return VENDORS[kind].keys if kind in VENDORS else ()
