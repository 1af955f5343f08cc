"""`codeswarm bug-report`: one redacted text to attach to a report. It is shown, and written; never sent anywhere."""

from __future__ import annotations

import contextlib
import getpass
import json
import platform
import re
import socket
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.host import choose, is_terminal
from codeswarm.cli.output import count, say, say_json
from codeswarm.cli.redaction import Redactor, outline, words_in
from codeswarm.errors import CodeswarmError, UsageError
from codeswarm.tightening import CLIS

if TYPE_CHECKING:
    from codeswarm.cli.checks import Finding

PRIVATE = ("forge", "notify", "telemetry", "ledger", "cluster", "launch_providers")
"""Sections that are about places outside: of these only that they are set is told."""
MOST_SESSIONS, MOST_EVENTS = 3, 200
MOST_LOG_BYTES = 20_000
MOST_LOGS = 8


def bug_report(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it without asking.")] = False,
) -> None:
    """Put together what helps to find a fault.

    Versions, doctor, settings, last events, ends of logs. Secrets, names, addresses and what people and agents wrote
    are left out. It is shown first, written to a file, and never sent.

    Example: codeswarm bug-report --output report.txt
    """
    here: Here = context.obj
    redactor = _redactor(here)
    sections = {title: redactor.text(text) for title, text in _sections(here)}
    if not here.json:
        _show(sections)
    if not (yes or here.json or not is_terminal()) and choose("write it? yes / no", ("yes", "no")) == "no":
        return
    path = _write(here.directory / (output or _default_name()), sections)
    if here.json:
        say_json({"path": str(path), "sections": {title: len(text) for title, text in sections.items()}})
        return
    say(f"{path}: read it before you hand it on; nothing was sent")


def _default_name() -> str:
    return f"codeswarm-bug-report-{datetime.now().astimezone():%Y%m%d-%H%M%S}.txt"


def _redactor(here: Here) -> Redactor:
    environment = here.environment
    names = [(str(environment.home), "~"), (socket.gethostname(), "‹host›")]
    with contextlib.suppress(KeyError, OSError):
        names.append((getpass.getuser(), "‹user›") if getpass.getuser() != "root" else ("", ""))
    with contextlib.suppress(CodeswarmError):
        project = here.home.project
        names += [(str(project.checkout), "‹project›")] if project.checkout else []
        names += [(str(project.git_dir), "‹project›/.git")]
    return Redactor(environment.variables, names)


def _sections(here: Here) -> Iterator[tuple[str, str]]:
    """Each is made by itself: what is broken is why someone is asked for this, and must not keep the rest away."""
    for title, make in (
        ("versions", _versions),
        ("doctor", _doctor),
        ("settings", _settings),
        ("sessions", _states),
        ("last events", _events),
        ("ends of logs", _logs),
    ):
        try:
            text = make(here)
        except (CodeswarmError, OSError) as error:
            text = f"can't be told: {error}"
        yield title, text


def _versions(here: Here) -> str:
    from codeswarm.git.command import git_version
    from codeswarm.version import VERSION

    lines = [f"codeswarm {VERSION}", f"python {sys.version.split()[0]}", platform.platform()]
    with contextlib.suppress(CodeswarmError):
        lines.append(f"git {'.'.join(map(str, git_version()))}")
    return "\n".join(lines)


def _doctor(here: Here) -> str:
    from codeswarm.cli.checks import checks

    return "\n".join(f"{found.mark} {_named(found)}: {_shown(found)}" for found in checks(here))


_COMMAND = re.compile(r"agent (?:acp|command|replay):.+")


def _named(found: Finding) -> str:
    """What a line is about: of an agent that is a command or a folder the kind alone."""
    return found.what.partition(":")[0] if _COMMAND.match(found.what) else found.what


def _shown(found: Finding) -> str:
    """A check's line, without the commands and the names of branches that people chose."""
    if found.what in ("gate", "set-up") and found.ok:
        command, _, source = found.detail.rpartition("   (")
        return f"{outline(command, ())}   ({source}"
    if _COMMAND.match(found.what):
        return "can be used" if found.ok else "can't be used"
    return re.sub(r"\bbranch \S+|(?<=settings on )\S+(?=,)", "branch ‹name›", found.detail)


def _settings(here: Here) -> str:
    from codeswarm.engine.beginning import begin_from

    _, loaded = begin_from(here.home.project, here.environment)
    values = loaded.config.model_dump(mode="json", by_alias=True)
    ours = _ours()
    lines = []
    for key, source in sorted(loaded.origins.items()):
        section, _, name = key.partition(".")
        value = values[section][name] if name and isinstance(values[section], dict) else values[section]
        named = section if section in PRIVATE or name not in ours else key
        lines.append(f"{named} = {_value(section, value, ours)}   ({source})")
    # Not `key: why`: the rule for secrets would take the why for one.
    lines += [f"ignored: {key} ({why})" for key, _, why in (what.partition(": ") for what in loaded.ignored)]
    return "\n".join(lines) or "everything stands at its default"


def _value(section: str, value: Any, ours: frozenset[str]) -> str:
    """Commands, names, globs and addresses that people wrote are told by their length."""
    if section in PRIVATE:
        return "‹set›"
    if section == "roles":
        return json.dumps([_agent(spec) for spec in value], ensure_ascii=False)
    return json.dumps(outline(value, ours, "value", ("value", *ours)), ensure_ascii=False)


def _agent(spec: str) -> str:
    """Its kind, and the model of a coding CLI: anything else behind the colon is a command, a folder or an endpoint."""
    kind, _, rest = spec.partition(":")
    plain = kind in CLIS and re.fullmatch(r"[\w.-]{0,40}", rest)
    return spec if plain else f"{kind}:{outline(rest, ())}"


@cache
def _ours() -> frozenset[str]:
    """The words of Codeswarm's own, as its events and settings list them."""
    from codeswarm.config import Config
    from codeswarm.domain.events import Event
    from codeswarm.domain.pipeline import SHIPPED, Role
    from codeswarm.sandbox.factory import KINDS

    phases = {phase.name for pipeline in SHIPPED.values() for phase in pipeline.phases}
    schemas = [Config.model_json_schema(), *(kind.model_json_schema() for kind in Event.registry.values())]
    return words_in(*schemas) | {*SHIPPED, *phases, *Role, *KINDS}


def _states(here: Here) -> str:
    with here.tables() as tables:
        rows = list(tables.table("sessions"))
    return "\n".join(f"{row['id']}: {row['status']}, {row['landed']} of {row['tickets']} landed" for row in rows[-20:])


def _events(here: Here) -> str:
    from codeswarm.domain.ids import SessionId
    from codeswarm.ledger import views

    with here.ledger() as ledger:
        latest = [SessionId(row["id"]) for row in ledger.table("sessions")][-MOST_SESSIONS:]
        found = [views.wire(record) for session in latest for record in ledger.history(session)]
    last = sorted(found, key=lambda one: int(one["seq"]))[-MOST_EVENTS:]
    ours = _ours()
    return "\n".join(_event(one, ours) for one in last)


def _event(one: dict[str, Any], ours: frozenset[str]) -> str:
    known = {key: one[key] for key in ("seq", "session", "at_ms", "kind")}
    return json.dumps({**known, "data": outline(one["data"], ours)}, ensure_ascii=False)


def _logs(here: Here) -> str:
    folder = here.home.data.logs
    paths = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    told = [path for path in paths if path.stat().st_size][-MOST_LOGS:]
    parts = []
    for path in told:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MOST_LOG_BYTES, 0))
            parts.append(f"== {path.name}\n{file.read().decode(errors='replace')}")
    return "\n".join(parts) or "nothing was logged"


def _show(sections: dict[str, str]) -> None:
    for title, text in sections.items():
        say(f"## {title} ({count(len(text.splitlines()), 'line')})")
        say(text)


def _write(path: Path, sections: dict[str, str]) -> Path:
    text = "".join(f"## {title}\n\n{body}\n\n" for title, body in sections.items())
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} can't be written", str(error), "codeswarm bug-report --output NEW-FILE") from error
    return path
