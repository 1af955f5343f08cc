"""Runs gate commands on a commit, in a clean workspace and a sandbox of their own, never in an agent's folder."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import platform
import re
import shlex
from collections.abc import Awaitable, Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from pydantic import TypeAdapter, ValidationError

from codeswarm.agents.lines import read_json
from codeswarm.clock import Clock
from codeswarm.domain.ids import Commit
from codeswarm.domain.results import Finding, GateCommand, GateOutcome, GateRun
from codeswarm.git.paths import as_bytes
from codeswarm.sandbox.base import Sandbox
from codeswarm.worker.beneath import clear_left, is_beneath, read_left, replace_left
from codeswarm.worker.disk import lacks_room
from codeswarm.worker.run import Done, run_to_end
from codeswarm.worker.workspace import Workspace

COULD_NOT_RUN = 75
MAX_LIST_BYTES = 60_000
MAX_ARGUMENT = 100_000
MAX_RESULT_BYTES = 1 << 20
MAX_REPORT_BYTES = 16 << 20
MAX_FAILING = 500
MAX_NAME = 500

StoreLog = Callable[[bytes], Awaitable[str]]
"""Keeps a gate's output among the artifacts and answers its digest."""

_TEST_NAMES = ("test_*", "*_test.*", "*.test.*", "*.spec.*", "*Test.*", "*Tests.*", "*_spec.*")
_FAILING_LINES = re.compile(
    r"^(?:FAILED|ERROR) (?!\()(\S[^\n]*?)(?: - [^\n]*)?$|^[ \t]*--- FAIL: (\S+)|^test (\S+) \.\.\. FAILED"
    r"|^(?:FAIL|ERROR): (\w+ \([\w.]+\)[^\n]*)$|^not ok \d+ - ([^\n]+)|^\(fail\) ([^\n]+?)(?: \[[\d.]+m?s\])?$"
    r"|^[ \t]*[✕✖×] (?!failing tests:)([^\n]+?)(?: \(?[\d.]+ ?m?s\)?)?$"
    r"|^\[ERROR\] +([\w.$]+\.\w+):\d+ "
    r"|^[ \t]+\d+ - (\S+) \((?:Failed|Timeout|Not Run|SEGFAULT|Subprocess aborted|Child aborted)\)",
    re.MULTILINE,
)
"""How common runners name a failing test: pytest, go test (and its parts), cargo test, unittest and Django, TAP, bun,
jest, vitest and node, ctest, Maven. A test's name is the same each time: how long it took and what it said are not part
of it.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class GateContext:
    """What a gate is told of its cause."""

    session: str
    ticket: str
    base: Commit
    head: Commit
    changed_files: tuple[str, ...]
    contract_files: tuple[str, ...] = ()


class GateRunner:
    def __init__(self, sandbox: Sandbox, clock: Clock, store_log: StoreLog) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._store_log = store_log

    async def run(
        self, workspace: Workspace, commands: Sequence[GateCommand], context: GateContext
    ) -> tuple[GateRun, ...]:
        """Run the commands in order, up to the first that is not green. Red is a value, and so is "can't run".

        Where the base was red already, one whose failing tests are named may be forgiven, and the next one runs, too.
        """
        runs: list[GateRun] = []
        for command in commands:
            run = await self._run_one(workspace, command, context)
            runs.append(run)
            may_pass = run.outcome is GateOutcome.RED and command.red_may_pass and bool(run.failing)
            if run.outcome is not GateOutcome.GREEN and not may_pass:
                break
        return tuple(runs)

    async def _run_one(self, workspace: Workspace, command: GateCommand, context: GateContext) -> GateRun:
        inside, place = self._sandbox.inside(workspace.box), workspace.place
        report, result = "gate-report.xml", "gate-result.json"
        for name in (report, result):
            await asyncio.to_thread(clear_left, place.run, name)
        text = fill(command.command, context, str(inside.run / report), workspace.files)
        environment = {**workspace.environment, **_told(context, place.run, inside.run)}
        environment["CODESWARM_RESULT"] = str(inside.run / result)
        began = self._clock.monotonic()
        argv = _shell(text, place.run, inside.run)
        done = await run_to_end(
            self._sandbox, workspace.box, argv, environment, timeout_s=command.timeout_s, clock=self._clock
        )
        duration_s = round(self._clock.monotonic() - began, 3)
        log = await self._store_log(done.log)
        answer = await asyncio.to_thread(_read_result, place.run / result)
        tests = await asyncio.to_thread(_read_report, place.run / report) if "{report}" in command.command else None
        if done.exit_code != 0 and lacks_room(place.root):
            done = dataclasses.replace(done, no_room=True)
        return _gate_run(command, done, duration_s, log, answer, tests, self._environment_digest(workspace))

    def _environment_digest(self, workspace: Workspace) -> str:
        facts = [self._sandbox.kind, workspace.box.network, platform.platform(), workspace.environment.get("PATH")]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _shell(text: str, run: Path, inside: Path) -> list[str]:
    """A command for the shell: as its argument, or as a file where it is longer than an argument may be (execve(2))."""
    if len(os.fsencode(text)) < MAX_ARGUMENT:
        return ["/bin/sh", "-c", text]
    replace_left(run, "gate-command", os.fsencode(text))
    return ["/bin/sh", str(inside / "gate-command")]


def fill(command: str, context: GateContext, report: str, root: Path) -> str:
    """A gate command with `{files}` and `{report}` filled in; other braces are its own.

    The files are those of them that are there in `root`: a contract may have taken a file away again.
    """
    names = [as_bytes(file) for file in context.contract_files or context.changed_files]
    there = [os.fsdecode(name) for name in names if is_beneath(root, name)]
    tests = [name for name in there if looks_like_test(name)] or there
    told = {"{files}": shlex.join(map(_no_option, tests)), "{report}": shlex.quote(report)}
    return re.sub(r"\{files\}|\{report\}", lambda hit: told[hit.group()], command)


def _no_option(name: str) -> str:
    """A file whose name would be read as an option, named so that it is not."""
    return f"./{name}" if name.startswith("-") else name


def looks_like_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in _TEST_NAMES)


def _told(context: GateContext, run: Path, inside: Path) -> dict[str, str]:
    """The environment of a gate. A list of files too long for it is cut there, and is whole in the file named."""
    listed = "\n".join(context.changed_files)
    replace_left(run, "changed-files", listed + "\n" if listed else "")
    if len(data := listed.encode()) > MAX_LIST_BYTES:
        listed = data[: MAX_LIST_BYTES + 1].rpartition(b"\n")[0].decode()
    return {
        "CODESWARM_SESSION": context.session,
        "CODESWARM_TICKET": context.ticket,
        "CODESWARM_BASE": context.base,
        "CODESWARM_HEAD": context.head,
        "CODESWARM_CHANGED_FILES": listed,
        "CODESWARM_CHANGED_FILES_PATH": str(inside / "changed-files"),
    }


@dataclasses.dataclass(frozen=True, slots=True)
class _Tests:
    """What a JUnit report says."""

    ran: int
    failing: tuple[str, ...]
    skipped: tuple[str, ...]


def _gate_run(
    command: GateCommand,
    done: Done,
    duration_s: float,
    log: str,
    answer: dict[str, Any],
    tests: _Tests | None,
    env: str,
) -> GateRun:
    outcome, reason = _outcome(command, done, tests)
    failing: tuple[str, ...] = ()
    if outcome is GateOutcome.RED:
        failing = tests.failing if tests else tuple(answer.get("failing", ())) or read_failing(done.log)
    return GateRun(
        name=command.name,
        command=command.command,
        outcome=outcome,
        exit_code=done.exit_code,
        reason=reason,
        duration_s=duration_s,
        tail=done.tail,
        log=log,
        environment=env,
        failing=failing,
        tests=tests.ran if tests else None,
        skipped=tests.skipped if tests else (),
        findings=answer.get("findings", ()),
    )


def _outcome(command: GateCommand, done: Done, tests: _Tests | None) -> tuple[GateOutcome, str]:
    if done.timed_out:
        return GateOutcome.RED, f"did not end within {command.timeout_s:g} s and was ended"
    if done.exit_code == COULD_NOT_RUN:
        return GateOutcome.UNAVAILABLE, "said that it could not run (exit 75)"
    if done.no_room:
        return GateOutcome.UNAVAILABLE, "found the disk full"
    if done.exceeded and done.exit_code != 0:
        return GateOutcome.RED, f"ran into its limit of {' and of '.join(done.exceeded)}"
    if done.killed:
        return GateOutcome.UNAVAILABLE, "was killed from outside (SIGKILL)"
    if done.exit_code != 0:
        return GateOutcome.RED, ""
    if command.name == "contract" and "{report}" in command.command:
        return _contract_outcome(tests)
    return GateOutcome.GREEN, ""


def _contract_outcome(tests: _Tests | None) -> tuple[GateOutcome, str]:
    """Each contract test must have run: a skipped one proves nothing, however green the exit code."""
    if tests is None:
        return GateOutcome.RED, "exited with 0, but left no report that can be read"
    if not tests.ran:
        return GateOutcome.RED, "exited with 0, but its report shows that no test ran"
    if tests.skipped:
        return GateOutcome.RED, f"exited with 0, but skipped {', '.join(tests.skipped[:5])}"
    return GateOutcome.GREEN, ""


def read_failing(log: bytes) -> tuple[str, ...]:
    """Names of failing tests, as far as the output of a known runner tells them."""
    text = log.decode(errors="replace")
    names = (next(group for group in hit.groups() if group) for hit in _FAILING_LINES.finditer(text))
    return _named(name.strip() for name in names)


def _named(names: Iterable[str]) -> tuple[str, ...]:
    """Names of tests, each once and none without end."""
    return tuple(islice(dict.fromkeys(name[:MAX_NAME] for name in names), MAX_FAILING))


def _read_result(path: Path) -> dict[str, Any]:
    """What a gate left in `$CODESWARM_RESULT`: findings, names of failing tests. What is malformed is no answer."""
    data = read_left(path.parent, path.name, MAX_RESULT_BYTES)
    if data is None or len(data) > MAX_RESULT_BYTES:
        return {}
    try:
        found = read_json(data.decode())
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    answer: dict[str, Any] = {}
    try:
        answer["findings"] = _FINDINGS.validate_python(found.get("findings", ()))[:MAX_FAILING]
        answer["failing"] = _named(_NAMES.validate_python(found.get("failing", ())))
    except ValidationError:
        return answer
    return answer


_FINDINGS = TypeAdapter(tuple[Finding, ...])
_NAMES = TypeAdapter(tuple[str, ...])


def _read_report(path: Path) -> _Tests | None:
    """A JUnit report, read as hostile XML; None where there is none that can be read."""
    data = read_left(path.parent, path.name, MAX_REPORT_BYTES)
    if data is None or len(data) > MAX_REPORT_BYTES:
        return None
    try:
        root = defusedxml.ElementTree.fromstring(data)
    except (ParseError, ValueError, LookupError):  # entities, encodings that are none
        return None
    cases = list(root.iter("testcase"))
    failing = [_case(case) for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [_case(case) for case in cases if case.find("skipped") is not None]
    return _Tests(len(cases) - len(skipped), _named(failing), _named(skipped))


def _case(case: Element) -> str:
    return "::".join(part for part in (case.get("classname"), case.get("name")) if part) or "unnamed"
