"""A repository whose projects stand in folders of it, side by side: each is looked at by itself, and all are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from codeswarm.detection.base import Files, Proposal, Proposed, Within
from codeswarm.detection.python_facts import PROJECT_FILES

DEEPEST = 3
MOST = 8
_MARKS = {*PROJECT_FILES, "go.work", "Pipfile", "setup.cfg", "CMakeLists.txt", "Makefile", "justfile"}
_PYTHON_TEST = re.compile(r"((?:[^/]+/){0,2}?[^/]+?)/(?:tests?/)?(?:test_\w+|\w+_test)\.py")
_SKIPPED = {"docs", "doc", "examples", "example", "samples", "vendor", "third_party", "node_modules", "testdata"}
_SKIPPED |= {"tests", "test", "fixtures", "templates", "scripts", "tools", "build", "dist", "external", "deps"}


@dataclass(frozen=True, slots=True)
class Part:
    folder: str
    proposal: Proposal

    def run(self, command: str) -> str:
        return f"(cd {shlex.quote(self.folder)} && {command})"


def parts(files: Files, look: Callable[[Files], Proposal | None]) -> list[Part]:
    """The projects in folders whose tests were found, the outermost of each."""
    found = [(folder, look(Within(files, folder))) for folder in _folders(files)]
    return [Part(folder, proposal) for folder, proposal in found if proposal is not None and proposal.gate]


def _folders(files: Files) -> list[str]:
    paths = files.paths()
    marked = {path.rpartition("/")[0] for path in paths if path.rpartition("/")[2] in _MARKS}
    tested = {found[1] for path in paths if (found := _PYTHON_TEST.fullmatch(path))}
    marked |= {folder for folder in tested if f"{folder}/__init__.py" not in paths}
    usual = sorted(
        (folder for folder in marked if folder and _is_usual(folder)), key=lambda each: (each.count("/"), each)
    )
    kept: list[str] = []
    for folder in usual:
        if not any(folder.startswith(f"{outer}/") for outer in kept):
            kept.append(folder)
    return kept


def _is_usual(folder: str) -> bool:
    names = folder.split("/")
    return len(names) <= DEEPEST and not any(name in _SKIPPED or name.startswith(".") for name in names)


def together(found: list[Part]) -> Proposal:
    """One proposal that sets all parts up and runs the tests of all."""
    taken, left = found[:MOST], found[MOST:]
    where = ", ".join(f"{part.proposal.kind} in {part.folder}" for part in taken)
    notes = [note for part in taken for note in part.proposal.notes]
    if left:
        folders = ", ".join(part.folder for part in left)
        notes.append(f"only the first {MOST} projects are tested; left out: {folders}")
    tools = tuple(dict.fromkeys(tool for part in taken for tool in part.proposal.tools))
    return Proposal(where, (*_gates(taken), *_setup(taken)), tuple(dict.fromkeys(notes)), tools)


def _gates(taken: list[Part]) -> Iterable[Proposed]:
    source = ", ".join(f"{part.folder}/{_of(part, 'gates.fast').source}" for part in taken)
    yield Proposed("gates.fast", _all(taken, "gates.fast"), source)
    if any(part.proposal.value("gates.full") for part in taken):
        yield Proposed("gates.full", _all(taken, "gates.full"), source)


def _all(taken: list[Part], key: str) -> str:
    return " && ".join(part.run(str(part.proposal.value(key) or part.proposal.gate)) for part in taken)


def _setup(taken: list[Part]) -> Iterable[Proposed]:
    having = [part for part in taken if part.proposal.value("workspace.setup")]
    if not having:
        return
    source = ", ".join(f"{part.folder}/{_of(part, 'workspace.setup').source}" for part in having)
    yield Proposed(
        "workspace.setup", " && ".join(part.run(str(part.proposal.value("workspace.setup"))) for part in having), source
    )
    inputs = [f"{part.folder}/{name}" for part in having for name in _names(part)]
    yield Proposed("workspace.setup_inputs", inputs, source, "its outcome depends on these")
    if any(part.proposal.value("workspace.setup_network") for part in having):
        yield Proposed("workspace.setup_network", ["@registries"], source, "it fetches packages")


def _names(part: Part) -> list[str]:
    found = part.proposal.value("workspace.setup_inputs")
    return found if isinstance(found, list) else []


def _of(part: Part, key: str) -> Proposed:
    return next(value for value in part.proposal.values if value.key == key)
