"""The errors: every kind with its meaning, its exit code, its HTTP status and what to do; and why attempts fail."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import codeswarm
from codeswarm import errors
from codeswarm.domain.rejection import Refusal
from codeswarm.domain.results import CHARGED, FailureClass
from codeswarm.errors import CodeswarmError, Refused
from generate.markdown import capital, code, document, paragraph, table
from generate.sources import Undocumented, text_of
from generate.tickets import described

INTRODUCTION = """\
An error is three lines on standard error: what happened, why, and what to do. With `--json` it is one object, and over
HTTP a problem document (RFC 9457) whose `type` is `codeswarm:KIND`:

```json
{"error": {"what": "…", "why": "…", "do": "…", "kind": "TicketsInvalid"}, "exit_code": 2}
```

The line *do* of an error fits its case. What is below is what holds for all of its kind."""
REFUSALS = """\
A command that makes no sense in the state of its session or ticket is `Refused`, and that is kept in the timeline
(`CommandRejected`)."""
FAILURES = """\
Not errors of a command, but why an attempt did not succeed: `failure_class` in
[AttemptFailed](events.md#attemptfailed). What is *charged* counts against `policy.max_attempts`; all else against
`policy.max_interruptions`."""
DO = "What to do: "


def kinds() -> list[type[CodeswarmError]]:
    """Every kind that leaves a room, as they stand in the code."""
    for module in pkgutil.walk_packages(codeswarm.__path__, "codeswarm."):
        if not module.name.startswith("codeswarm.demo.project") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [kind for kind in _below(CodeswarmError) if kind.__module__ == errors.__name__]


def _below(kind: type[CodeswarmError]) -> Iterator[type[CodeswarmError]]:
    for lower in kind.__subclasses__():
        yield lower
        yield from _below(lower)


def told(kind: type[CodeswarmError]) -> tuple[str, str]:
    """(meaning, what to do). Raises: Undocumented."""
    meaning, found, do = text_of(kind).partition(DO)
    if not found or not meaning.strip():
        raise Undocumented(f'{kind.__name__} lacks its meaning or a line "{DO}…" in its docstring in errors.py')
    return meaning, capital(do)


def _row(kind: type[CodeswarmError]) -> tuple[str, ...]:
    meaning, do = told(kind)
    if kind is Refused:
        return code(kind.__name__), meaning, do, "2", "[below](#refusals)"
    return code(kind.__name__), meaning, do, str(kind.exit_code), str(kind.http_status)


def _refusal(refusal: Refusal) -> tuple[str, ...]:
    return refusal.replace("_", " "), described(Refusal, refusal.name), str(Refused.STATUS[refusal])


def _failure(failure: FailureClass) -> tuple[str, ...]:
    return code(failure), described(FailureClass, failure.name), "yes" if failure in CHARGED else "no"


def page() -> str:
    return document(
        "Errors",
        INTRODUCTION,
        table(("kind", "meaning", "what to do", "exit code", "HTTP"), map(_row, kinds())),
        "## Refusals",
        paragraph(REFUSALS),
        table(("refusal", "meaning", "HTTP"), map(_refusal, Refusal)),
        "## Failures of attempts",
        paragraph(FAILURES),
        table(("failure", "meaning", "charged"), map(_failure, FailureClass)),
    )
