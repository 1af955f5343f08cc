"""Which beads issues are work, and what each of them waits for.

As in beads, `blocks`, `conditional-blocks` and `waits-for` block; `parent-child` does not by itself, but children wait
for what their parent waits for; all other links are only links. An epic with children is no work of its own: who
waits for it waits for its children.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Issue = dict[str, Any]

DONE = frozenset({"closed", "tombstone"})
READY = frozenset({"", "open", "blocked"})
"""What may be begun once nothing blocks it. Everything else (in_progress, hooked, deferred, a person's own) is not."""
BLOCKING = frozenset({"blocks", "conditional-blocks", "waits-for"})
CONTAINERS = frozenset({"epic", "molecule", "convoy"})
NO_WORK = frozenset(
    {"agent", "convoy", "event", "gate", "merge-request", "message", "molecule", "rig", "role", "slot", "wisp"}
)


@dataclass(slots=True)
class Graph:
    blocked_by: dict[str, list[str]] = field(default_factory=dict)
    """Each ticket to be → those that it waits for; in the order of the file."""
    hold: dict[str, str] = field(default_factory=dict)
    open: dict[str, Issue] = field(default_factory=dict)
    containers: list[str] = field(default_factory=list)
    no_work: list[str] = field(default_factory=list)
    dangling: dict[str, None] = field(default_factory=dict)
    to_ancestors: dict[str, None] = field(default_factory=dict)


def graph_of(issues: dict[str, Issue]) -> Graph:
    return _Builder(issues).build()


class _Builder:
    def __init__(self, issues: dict[str, Issue]) -> None:
        self._issues = issues
        self._graph = Graph(open={id_: issue for id_, issue in issues.items() if issue.get("status") not in DONE})
        self._links = {id_: list(_links(issue)) for id_, issue in self._graph.open.items()}
        self._parents = {
            id_: [to for kind, to in links if kind == "parent-child"] for id_, links in self._links.items()
        }
        self._children: dict[str, list[str]] = {}
        for id_, issue in issues.items():
            for kind, parent in _links(issue):
                if kind == "parent-child":
                    self._children.setdefault(parent, []).append(id_)
        self._expanded: dict[str, dict[str, None]] = {}

    def build(self) -> Graph:
        graph = self._graph
        waiting = []
        for id_, issue in graph.open.items():
            if self._is_container(id_):
                graph.containers.append(id_)
            elif issue.get("issue_type") in NO_WORK or issue.get("status") == "pinned":
                graph.no_work.append(id_)
            else:
                waiting.append(id_)
        found: dict[str, list[str]] = {}
        while waiting:
            id_ = waiting.pop()
            if id_ not in found:
                found[id_] = list(self._blockers(id_))
                self._hold(id_)
                waiting += found[id_]
        graph.blocked_by = {id_: found[id_] for id_ in graph.open if id_ in found}
        graph.no_work = [id_ for id_ in graph.no_work if id_ not in found]
        return graph

    def _hold(self, id_: str) -> None:
        issue = self._graph.open[id_]
        status, kind = issue.get("status") or "", issue.get("issue_type") or ""
        if kind in NO_WORK:
            self._graph.hold[id_] = f"a {kind} in beads, not work: unlink what waits for it once it is over"
        elif status not in READY:
            by = f" by {issue['assignee']}" if issue.get("assignee") else ""
            self._graph.hold[id_] = f"{status} in beads{by}"

    def _is_container(self, id_: str) -> bool:
        return self._graph.open[id_].get("issue_type") in CONTAINERS and id_ in self._children

    # ── what blocks ──

    def _blockers(self, id_: str) -> dict[str, None]:
        """What an issue waits for, by itself and through its parents: open issues that are tickets, too."""
        above = self._ancestors(id_)
        found: dict[str, None] = {}
        for blocker in self._direct(id_):
            if blocker in above:
                self._graph.to_ancestors[id_] = None
            else:
                found.update(dict.fromkeys(self._expand(blocker)))
        for parent in above:
            family = self._below(parent)
            for blocker in self._direct(parent):
                if blocker not in family and blocker not in above:
                    found.update(dict.fromkeys(self._expand(blocker)))
        return {blocker: None for blocker in found if blocker != id_}

    def _direct(self, id_: str) -> Iterator[str]:
        for kind, blocker in self._links.get(id_, ()):
            if kind not in BLOCKING:
                continue
            if blocker not in self._issues:
                self._graph.dangling[blocker] = None
            elif blocker in self._graph.open and self._graph.open[blocker].get("status") != "pinned":
                yield blocker

    def _expand(self, id_: str) -> Iterable[str]:
        """The tickets that must be done for an issue to be done."""
        if not self._is_container(id_):
            return (id_,)
        if id_ not in self._expanded:
            self._expanded[id_] = {
                below: None
                for below in self._below(id_)
                if below in self._graph.open
                and not self._is_container(below)
                and self._graph.open[below].get("issue_type") not in NO_WORK
                and self._graph.open[below].get("status") != "pinned"
            }
        return self._expanded[id_]

    def _ancestors(self, id_: str) -> dict[str, None]:
        return _reach(id_, lambda one: self._parents.get(one, ()))

    def _below(self, id_: str) -> dict[str, None]:
        return _reach(id_, lambda one: self._children.get(one, ()))


def _links(issue: Issue) -> Iterator[tuple[str, str]]:
    """(kind, id) of everything that an issue depends on."""
    for item in issue.get("dependencies") or ():
        if isinstance(item, dict) and isinstance(to := item.get("depends_on_id"), str) and to != issue["id"]:
            yield str(item.get("type") or "blocks"), to


def _reach(start: str, beyond: Any) -> dict[str, None]:
    """All that can be reached from `start`, itself left out; families in a circle come to an end, too."""
    found: dict[str, None] = {}
    open_ = [start]
    while open_:
        for id_ in beyond(open_.pop()):
            if id_ not in found and id_ != start:
                found[id_] = None
                open_.append(id_)
    return found
