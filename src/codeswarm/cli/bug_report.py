"""`codeswarm bug-report`: one redacted text to attach to a report. It is shown, and written; never sent anywhere."""

from __future__ import annotations

import contextlib
import getpass
import json
import platform
import socket
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.host import choose, is_terminal
from codeswarm.cli.output import count, say, say_json
from codeswarm.cli.redaction import Redactor, outline
from codeswarm.errors import CodeswarmError, UsageError

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

    return "\n".join(f"{found.mark} {found.what}: {found.detail}" for found in checks(here))


def _settings(here: Here) -> str:
    from codeswarm.engine.beginning import begin_from

    _, loaded = begin_from(here.home.project, here.environment)
    values = loaded.config.model_dump(mode="json", by_alias=True)
    lines = []
    for key, source in sorted(loaded.origins.items()):
        section, _, name = key.partition(".")
        value = values[section][name] if name and isinstance(values[section], dict) else values[section]
        shown = "‹set›" if section in ("forge", "notify", "telemetry", "ledger") else json.dumps(value)
        lines.append(f"{key} = {shown}   ({source})")
    return "\n".join([*lines, *(f"ignored: {what}" for what in loaded.ignored)]) or "everything stands at its default"


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
    return "\n".join(map(_event, last))


def _event(one: dict[str, Any]) -> str:
    known = {key: one[key] for key in ("seq", "session", "at_ms", "kind")}
    return json.dumps({**known, "data": outline(one["data"])}, ensure_ascii=False)


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
