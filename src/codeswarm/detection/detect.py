"""Puts together what the kinds of projects say: one of them is chosen, always by the same rule, and it is said which.

The rule: a kind whose tests were found; first of them the one that CI runs; else in the order of `_LOOKS`. Where none
at the top has tests, the projects that stand in folders are taken together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from codeswarm.detection import cmake, go, just, make, maven, node, python, rust
from codeswarm.detection.base import Files, Has, Proposal, Proposed
from codeswarm.detection.others import only_texts, usual_gate
from codeswarm.detection.parts import parts, together

_LOOKS: tuple[Callable[[Files, Has], Proposal | None], ...] = (
    python.look,
    rust.look,
    go.look,
    node.look,
    maven.look,
    make.look,
    just.look,
    cmake.look,
)
_WORKFLOWS = ".github/workflows"
_MOST_WORKFLOWS = 10


@dataclass(frozen=True, slots=True)
class Detected:
    """What is proposed for a repository. Without a value for `gates.fast` no gate was found."""

    kind: str = ""
    values: tuple[Proposed, ...] = ()
    notes: tuple[str, ...] = ()
    usual: str = ""
    """How projects like this one are usually tested, where it was not found how this one is."""

    @property
    def gate(self) -> str | None:
        return next((str(found.value) for found in self.values if found.key == "gates.fast"), None)

    def value(self, key: str) -> str | list[str] | None:
        return next((found.value for found in self.values if found.key == key), None)

    def with_gate(self, command: str) -> Detected:
        """The same, with the gate that a person named."""
        others = tuple(found for found in self.values if found.key not in ("gates.fast", "gates.full"))
        return replace(self, values=(Proposed("gates.fast", command, "as you said"), *others))


def detect(files: Files, has: Has) -> Detected:
    """What a commit's files propose. The same files and programs give the same answer."""
    found = _found(files, has)
    chosen = found[0] if found else None
    if (chosen is None or chosen.gate is None) and (inner := parts(files, lambda within: _best(within, has))):
        return _said(together(inner), (), has)
    if chosen is None or chosen.gate is None:
        return _without_gate(files, chosen, has)
    workflow = _run_by(chosen, _workflows(files))
    return _said(chosen, _preference(chosen, found[1:], workflow), has)


def _found(files: Files, has: Has) -> list[Proposal]:
    """What each kind proposes, the best first."""
    found = [proposal for look in _LOOKS if (proposal := look(files, has)) is not None]
    workflows = _workflows(files) if len(found) > 1 else {}
    return sorted(found, key=lambda each: (each.gate is None, each.faint, _run_by(each, workflows) is None))


def _best(files: Files, has: Has) -> Proposal | None:
    return next(iter(_found(files, has)), None)


def _said(chosen: Proposal, more: Iterable[str], has: Has) -> Detected:
    missing = [f"{tool} is not on your PATH: install it before a run" for tool in chosen.tools if not has(tool)]
    return Detected(chosen.kind, chosen.values, (*chosen.notes, *more, *missing))


def _without_gate(files: Files, chosen: Proposal | None, has: Has) -> Detected:
    """Of a kind that is known by name only it is said how such projects are usually tested."""
    known = usual_gate(files) or (only_texts(files) if chosen is None else None)
    if known is not None:
        kind, source, usual = known
        note = f"{source} tells of {kind}; how this is tested was not found, usual is: {usual}"
        return Detected(chosen.kind if chosen else kind, chosen.values if chosen else (), (note,), usual)
    if chosen is not None:
        return replace(_said(chosen, (), has), usual=chosen.usual)
    return Detected(
        notes=("no project of a known kind was found: Python, Rust, Go, Node, Maven, Make, Just, Task, CMake",)
    )


def _preference(chosen: Proposal, others: Sequence[Proposal], workflow: str | None) -> list[str]:
    """What else was found, and why it was not taken."""
    tested = [other for other in others if other.gate]
    if not chosen.gate or not tested:
        return []
    why = f"{workflow} runs its tests" if workflow else "it comes first where there are several kinds"
    also = "; ".join(f"{other.kind}: {other.gate}" for other in tested)
    both = " && ".join(str(each.gate) for each in (chosen, *tested))
    setups = [str(each.value("workspace.setup")) for each in (chosen, *tested) if each.value("workspace.setup")]
    also_setup = f"; and workspace.setup to: {' && '.join(setups)}" if setups else ""
    return [
        f"{chosen.kind} was chosen ({why}); also found: {also}",
        f"to run all of them, set gates.fast to: {both}{also_setup}",
    ]


def _workflows(files: Files) -> dict[str, str]:
    names = sorted(name for name in files.names(_WORKFLOWS) if name.endswith((".yml", ".yaml")))[:_MOST_WORKFLOWS]
    paths = [*(f"{_WORKFLOWS}/{name}" for name in names), ".gitlab-ci.yml"]
    return {path: text for path in paths if (text := files.text(path)) is not None}


def _run_by(proposal: Proposal, workflows: dict[str, str]) -> str | None:
    """The first CI file that runs these tests. A hint and no more: such a file is text to us."""
    for path, text in workflows.items():
        if any(re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", text) for words in proposal.in_ci):
            return path
    return None
