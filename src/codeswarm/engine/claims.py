"""What the ledger says of the store: which commits it names, and where refs stand.

Read off the events one by one, not off the state that they add up to: so a broken history still tells what it named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from codeswarm.domain import events as ev
from codeswarm.domain.ids import Commit, SessionId, Tree
from codeswarm.domain.results import Report
from codeswarm.engine import refs
from codeswarm.ledger.base import Recorded


@dataclass(frozen=True, slots=True)
class NamedCommit:
    """A commit as an event names it. None: the event does not say."""

    commit: Commit
    where: str
    tree: Tree | None = None
    parents: tuple[Commit, ...] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Where a task branch may stand: at the last work that succeeded, or at one of those that disputed since."""

    works: tuple[Commit, ...] = ()
    needed: bool = False
    """Whether it must exist."""


@dataclass(slots=True)
class Claims:
    commits: list[NamedCommit] = field(default_factory=list)
    fixed: dict[str, Commit] = field(default_factory=dict)
    """Refs that stand exactly there."""
    growing: dict[str, Commit] = field(default_factory=dict)
    """Refs that stand there or further on: a snapshot may be on its way to the ledger."""
    perhaps: dict[str, Commit] = field(default_factory=dict)
    """Refs that may be missing, but stand there if they exist."""
    kept: dict[str, None] = field(default_factory=dict)
    """Refs that must exist, wherever they stand."""
    tips: dict[SessionId, list[Commit]] = field(default_factory=dict)
    """Each session's integration tips, oldest first."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """By branch."""
    starts: dict[tuple[SessionId, str, int], Commit] = field(default_factory=dict)

    def name(self, commit: Commit, record: Recorded, tree: Tree | None = None, *parents: Commit | None) -> None:
        known = tuple(parent for parent in parents if parent is not None)
        where = f"event {record.seq}, {record.event.kind}"
        self.commits.append(NamedCommit(commit, where, tree, known or None))


def claims_of(records: Iterable[Recorded]) -> Claims:
    claims = Claims()
    for record in records:
        _claim(claims, record)
    return claims


def _claim(claims: Claims, record: Recorded) -> None:  # noqa: PLR0912 - one case a kind of event
    event, id_ = record.event, record.session
    match event:
        case ev.SessionStarted():
            claims.name(event.base, record, event.base_tree)
            claims.fixed[refs.base(id_)] = event.base
            claims.tips[id_] = [event.base]
        case ev.PlanProposed() | ev.TicketsAdded():
            claims.tasks.update({refs.task(id_, spec.id): Task() for spec in event.tickets})
        case ev.PlanningRequested():
            claims.tasks[refs.task(id_, event.ticket)] = Task()
        case ev.AttemptPrepared():
            claims.name(event.start, record)
            claims.fixed[refs.start(id_, event.ticket, event.epoch)] = event.start
            claims.starts[id_, event.ticket, event.epoch] = event.start
        case ev.AttemptGating():
            claims.name(event.commit, record)
            claims.fixed[refs.work(id_, event.ticket, event.epoch)] = event.commit
        case ev.SnapshotTaken() | ev.WorkSalvaged():
            claims.name(event.commit, record)
            claims.growing[refs.wip(id_, event.ticket, event.epoch)] = event.commit
        case ev.CommitsKept():
            claims.kept.update(dict.fromkeys(event.refs))
        case ev.LateResultKept() if event.commit is not None:
            claims.name(event.commit, record)
        case ev.AttemptSucceeded() | ev.AttemptFailed() | ev.AttemptTimedOut() | ev.AttemptCancelled():
            _claim_work(claims, record, event.ticket, event.epoch, event.report)
        case ev.GateRequested():
            claims.name(event.commit, record, event.tree)
        case ev.LandingMerged():
            base = event.work if event.ticket is None else None
            claims.name(event.commit, record, event.tree, event.old, base)
            claims.fixed[refs.landing(id_, event.landing)] = event.commit
        case ev.TicketLanded():
            claims.name(event.new, record, event.tree, event.old)
            claims.tips.setdefault(id_, []).append(event.new)
        case ev.CaughtUp():
            claims.name(event.new, record, event.tree, event.old, event.base)
            claims.tips.setdefault(id_, []).append(event.new)
        case ev.SaveIntended():
            claims.name(event.new, record, event.tree)
            claims.perhaps[refs.checkpoint(event.checkpoint)] = event.new
        case ev.CheckpointSaved():
            claims.name(event.new, record)
            claims.fixed[refs.checkpoint(event.checkpoint)] = event.new


def _claim_work(claims: Claims, record: Recorded, ticket: str, epoch: int, report: Report) -> None:
    work = report.work
    if work is None:
        return
    claims.name(work.commit, record, work.tree, claims.starts.get((record.session, ticket, epoch)))
    claims.fixed[refs.work(record.session, ticket, epoch)] = work.commit
    if isinstance(record.event, ev.AttemptSucceeded):
        branch = refs.task(record.session, ticket)
        before = claims.tasks.get(branch, Task())
        if report.dispute is None:
            claims.tasks[branch] = Task((work.commit,), needed=True)
        else:
            claims.tasks[branch] = Task((work.commit, *before.works), before.needed)
