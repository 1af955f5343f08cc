"""Which sandbox: by name, or the best that works here. `auto` never becomes `none` by itself."""

from __future__ import annotations

from codeswarm.errors import ConfigError, SandboxUnavailable
from codeswarm.sandbox import bubblewrap, none
from codeswarm.sandbox.base import Probe, Sandbox

KINDS = ("auto", "none", "bubblewrap")
PLANNED = ("container", "microvm")


def probe(kind: str) -> Probe:
    """Whether a kind works on this machine. Raises: ConfigError for a kind that is not known."""
    if kind in ("auto", "bubblewrap"):
        return bubblewrap.probe()
    if kind == "none":
        return none.probe()
    if kind in PLANNED:
        return Probe(works=False, why=f"the sandbox {kind!r} is not part of this version", fix="--sandbox bubblewrap")
    raise ConfigError(f"there is no sandbox {kind!r}", f"known are {', '.join(KINDS)}", "--sandbox auto")


def choose(kind: str) -> Sandbox:
    """A sandbox that works here. Raises: SandboxUnavailable with the fix, ConfigError."""
    found = probe(kind)
    if not found.works:
        raise SandboxUnavailable(
            found.why,
            "agents and gates run the code of others; without walls nothing runs unless you say so",
            f"{found.fix}   # or, at your own risk: --sandbox none",
        )
    return none.NoSandbox() if kind == "none" else bubblewrap.Bubblewrap()
