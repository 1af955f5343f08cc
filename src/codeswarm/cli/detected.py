"""What was detected, for a person to see: by `init` before it writes it, by `run` before it uses it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from codeswarm.cli.again import again, without
from codeswarm.cli.here import Here
from codeswarm.cli.host import choose, is_terminal
from codeswarm.cli.output import progress, say
from codeswarm.detection.base import FILE
from codeswarm.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from codeswarm.config import Loaded
    from codeswarm.detection.detect import Detected

_SHOWN = {"gates.fast": "gate", "gates.full": "full", "gates.contract": "contract", "workspace.setup": "set-up"}


def tell_detected(detected: Detected, tell: Callable[[str], None]) -> None:
    """One line a setting, with the file that it was read from; then what else there is to know."""
    tell(f"project  {detected.kind or 'unknown'}")
    for value in detected.values:
        if value.key in _SHOWN:
            why = f"{value.source}: {value.why}" if value.why else value.source
            tell(f"{_SHOWN[value.key]:9}{value.value}   ({why})")
    if detected.value("workspace.setup_network"):
        tell("         (set-up may use the network; gates have none)")
    if detected.gate is None:
        tell("gate     none found: name the command that must pass before anything lands")
    for note in detected.notes:
        tell(f"note     {note}")


def settle_settings(here: Here, base: str | None, flags: Mapping[str, Any], *, no_gate: bool) -> None:
    """Before a run: what it will use where nobody has written it down, shown, and asked about on a terminal.

    Raises: ConfigError where no gate was found and none was waived, UsageError where the person says no.
    """
    from codeswarm.engine.beginning import begin_from

    _, loaded = begin_from(here.home.project, here.environment, base, flags)
    tell = progress if here.json else say
    _warn_of_uncommitted(here, loaded, tell)
    if loaded.detected is None:
        return
    _check_gate(here, loaded.detected, no_gate=no_gate)
    tell(f"there is no {FILE} on the base; this was detected:")
    tell_detected(loaded.detected, tell)
    if is_terminal() and not here.json:
        _ask()
    else:
        tell(f"to keep and change these settings: codeswarm init, then commit {FILE}")


def check_gate_found(here: Here, base: str | None, flags: Mapping[str, Any], *, no_gate: bool) -> None:
    """What `settle_settings` would refuse. Raises: ConfigError."""
    from codeswarm.engine.beginning import begin_from

    _, loaded = begin_from(here.home.project, here.environment, base, flags)
    if loaded.detected is not None:
        _check_gate(here, loaded.detected, no_gate=no_gate)


def _check_gate(here: Here, detected: Detected, *, no_gate: bool) -> None:
    if detected.gate is None and not no_gate:
        raise _uncommitted(here) if _is_uncommitted(here) else no_gate_found(here, detected)


def _ask() -> None:
    if choose("use these settings? yes / no", ("yes", "no")) == "no":
        raise UsageError("nothing was begun", "you did not want these settings", "codeswarm init")


def no_gate_found(here: Here, detected: Detected) -> ConfigError:
    why = "; ".join(detected.notes) or "nothing in the repository says how it is tested"
    return ConfigError(
        f"no gate was found, and there is no {FILE}: nothing would show that a change works",
        f"{why}; landings are only made on a green gate",
        f"{_naming(detected)} && git add {FILE} && git commit -m 'Name the gate'"
        f"   # or, at your own risk: {again(here.typed, '--no-gate')}",
    )


def _naming(detected: Detected) -> str:
    if detected.usual:
        return f"codeswarm init --gate {shlex.quote(detected.usual)}"
    return f"codeswarm init && ${{EDITOR:-vi}} {FILE}"


def _is_uncommitted(here: Here) -> bool:
    """Whether the settings in the checkout are not, or not all, what was committed."""
    project = here.home.project
    return project.checkout is not None and FILE in project.unseen()


def _uncommitted(here: Here) -> ConfigError:
    return ConfigError(
        f"no gate is named on the base: the {FILE} that is here is not committed",
        "agents and gates see what is committed, and nothing else",
        f"git add {FILE} && git commit -m 'Name the gate' {FILE} && {without(here.typed)}",
    )


def _warn_of_uncommitted(here: Here, loaded: Loaded, tell: Callable[[str], None]) -> None:
    """The file counts as it is committed: one that is only in the checkout is easily taken to be in force."""
    if not _is_uncommitted(here):
        return
    state = (
        "is not committed, so it has"
        if loaded.detected is not None
        else "has changes that are not committed; they have"
    )
    tell(f"{FILE} {state} no effect yet: git add {FILE} && git commit -m 'Settings'")
