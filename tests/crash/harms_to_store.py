"""Harm to the store: its refs, its commits, its objects."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from codeswarm.domain import events as ev
from codeswarm.engine import refs
from codeswarm.ledger.care import Code
from tests.crash.damage import Patient, Row, cut, flip
from tests.crash.harm import Deed, harm
from tests.support.finished_session import OTHER, SESSION, A

INTEGRATION = refs.integration(SESSION)

# ── refs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@harm("the integration ref is moved forward", Code.REF)
def _(patient: Patient) -> str:
    tip = patient.ref(INTEGRATION)
    patient.git("update-ref", INTEGRATION, patient.commit(f"{tip}^{{tree}}", tip))
    return f"{INTEGRATION}: stands at"


@harm("the integration ref is moved back", Code.REF)
def _(patient: Patient) -> str:
    patient.git("update-ref", INTEGRATION, f"{patient.ref(INTEGRATION)}^")
    return f"{INTEGRATION}: stands at"


@harm("the integration ref is moved to a foreign commit", Code.REF)
def _(patient: Patient) -> str:
    foreign = patient.commit(f"{INTEGRATION}^{{tree}}")
    patient.git("update-ref", INTEGRATION, foreign)
    return f"{INTEGRATION}: stands at {foreign}, where this session never was"


@harm("the integration ref is deleted", Code.REF)
def _(patient: Patient) -> str:
    patient.git("update-ref", "-d", INTEGRATION)
    return f"{INTEGRATION}: is missing"


@harm("the integration ref's file is full of rubbish", Code.REF)
def _(patient: Patient) -> str:
    (patient.data.store / INTEGRATION).write_text("rubbish\n")
    return INTEGRATION


def _deleted(ref: str) -> Deed:
    def deed(patient: Patient) -> str:
        patient.ref(ref)
        patient.git("update-ref", "-d", ref)
        return f"{ref}: is missing"

    return deed


def _moved(ref: str, to: str) -> Deed:
    def deed(patient: Patient) -> str:
        assert patient.ref(ref) != patient.ref(to)
        patient.git("update-ref", ref, to)
        return f"{ref}: stands at"

    return deed


BASE = refs.base(SESSION)
harm("a task branch is moved", Code.REF)(_moved(refs.task(SESSION, "b"), BASE))
harm("a task branch is moved back to the ticket's earlier work", Code.REF)(
    _moved(refs.task(SESSION, "b"), refs.work(SESSION, "b", 2))
)
harm("a task branch is deleted", Code.REF)(_deleted(refs.task(SESSION, "a")))
harm("a lost attempt's work in progress is deleted", Code.REF)(_deleted(refs.wip(SESSION, "b", 1)))
harm("commits that an agent made by itself are deleted", Code.REF)(
    _deleted(refs.commits(SESSION, "b", 1) + "/heads/main")
)
harm("a live attempt's work in progress is deleted", Code.REF)(_deleted(refs.wip(OTHER, "a", 1)))
harm("work in progress is set back to an earlier snapshot", Code.REF)(
    _moved(refs.wip(SESSION, "b", 1), refs.wip(SESSION, "b", 1) + "~1")
)
harm("what an attempt began with is deleted", Code.REF)(_deleted(refs.start(SESSION, "b", 3)))
harm("an attempt's work is deleted", Code.REF)(_deleted(refs.work(SESSION, "b", 2)))
harm("an attempt's work is exchanged", Code.REF)(_moved(refs.work(SESSION, "c", 1), BASE))
harm("a bounced landing's merge is deleted", Code.REF)(_deleted(refs.landing(SESSION, 3)))
harm("what a session began with is deleted", Code.REF)(_deleted(BASE))


def _tag(patient: Patient) -> str:
    return refs.checkpoint(patient.find(ev.CheckpointSaved).event.checkpoint)


@harm("a checkpoint's tag is moved", Code.REF)
def _(patient: Patient) -> str:
    return _moved(_tag(patient), BASE)(patient)


@harm("a checkpoint's tag is deleted", Code.REF)
def _(patient: Patient) -> str:
    return _deleted(_tag(patient))(patient)


def _added(ref: str) -> Deed:
    def deed(patient: Patient) -> str:
        patient.git("update-ref", ref, BASE)
        return f"{ref}: stands at"

    return deed


harm("there is a branch of a session that never was", Code.REF)(_added("refs/heads/session/ghost/integration"))
harm("there is a branch of a ticket that never was", Code.REF)(_added(refs.task(SESSION, "z")))
harm("there is a checkpoint that was never saved", Code.REF)(_added("refs/tags/checkpoint/2020-01-01-1"))


# ── commits: the log, the tables and the refs all agree on them ──────────────────────────────────────────────


def _land_instead(patient: Patient, make: Callable[[ev.CaughtUp], str]) -> str:
    """Let the last landing be of another commit, everywhere but in the commit itself."""
    caught_up: Any = patient.find(ev.CaughtUp).event
    old, new = caught_up.new, make(caught_up)

    def change(rows: list[Row]) -> list[Row]:
        return [replace(row, body=row.body.replace(old, new)) for row in rows]

    patient.rewrite(change, tables=True)
    for line in patient.git("for-each-ref", "--format=%(refname)", f"--points-at={old}").splitlines():
        patient.git("update-ref", line, new)
    return new


@harm("a landed commit is exchanged for one of another tree", Code.COMMIT)
def _(patient: Patient) -> str:
    new = _land_instead(patient, lambda event: patient.commit(f"{BASE}^{{tree}}", event.old, event.base))
    return f"commit {new}: has the tree"


@harm("a landed commit is exchanged for one of other parents", Code.COMMIT)
def _(patient: Patient) -> str:
    new = _land_instead(patient, lambda event: patient.commit(event.tree, event.old))
    return f"commit {new}: has the parents"


@harm("a ticket's landed commit has two parents", Code.COMMIT)
def _(patient: Patient) -> str:
    landed: Any = patient.find(ev.TicketLanded, -1).event
    other = patient.commit(landed.tree, landed.old, patient.ref(BASE))
    patient.rewrite(lambda rows: [replace(row, body=row.body.replace(landed.new, other)) for row in rows], tables=True)
    return f"commit {other}: has the parents"


@harm("a landing names a commit that does not exist", Code.COMMIT)
def _(patient: Patient) -> str:
    landed: Any = patient.find(ev.TicketLanded, ticket=A).event
    patient.rewrite(lambda rows: [replace(r, body=r.body.replace(landed.new, "12" * 20)) for r in rows], tables=True)
    return f"commit {'12' * 20}: is not in the store"


@harm("a landing is of another commit than was merged", Code.COMMIT)
def _(patient: Patient) -> str:
    landed = patient.find(ev.TicketLanded, -1)
    patient.instead(landed, landed.saying(new=patient.ref(BASE)), tables=True)
    return f"event {landed.seq}: landing"


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────


def _landed_commit(patient: Patient) -> str:
    return str(patient.find(ev.TicketLanded, ticket=A).event.new)


def _packed_blob(patient: Patient) -> str:
    return patient.git("rev-parse", f"{refs.wip(SESSION, 'b', 1)}:src/ships.py")


@harm("a landed commit's object is deleted", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    patient.loose(commit).unlink()
    return f"commit {commit}"


@harm("a landed commit's object is cut off", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    cut(patient.loose(commit), 40)
    return f"commit {commit}"


@harm("a landed commit's object has a flipped bit", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    flip(patient.loose(commit), 60)
    return f"commit {commit}"


@harm("a landed commit's object is empty", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    cut(patient.loose(commit), 0)
    return f"commit {commit}"


@harm("a landed commit's object is another whole commit", Code.COMMIT)
def _(patient: Patient) -> str:
    commit, other = _landed_commit(patient), patient.commit(f"{BASE}^{{tree}}")
    shutil.copyfile(patient.loose(other), patient.loose(commit))
    return f"commit {commit}"


@harm("a file's object is deleted", Code.OBJECT)
def _(patient: Patient) -> str:
    blob = patient.git("rev-parse", f"{BASE}:README.md")
    patient.loose(blob).unlink()
    return f"object {blob}"


@harm("a file's object has a flipped bit", Code.OBJECT)
def _(patient: Patient) -> str:
    blob = patient.git("rev-parse", f"{BASE}:README.md")
    flip(patient.loose(blob), 20)
    return f"object {blob}"


@harm("a file's object is another file's", Code.OBJECT)
def _(patient: Patient) -> str:
    blob, other = (patient.git("rev-parse", f"{BASE}:{path}") for path in ("README.md", "src/shared.py"))
    shutil.copyfile(patient.loose(other), patient.loose(blob))
    return f"object {blob}"


@harm("a folder's object is deleted", Code.OBJECT)
def _(patient: Patient) -> str:
    tree = patient.git("rev-parse", f"{BASE}:src")
    patient.loose(tree).unlink()
    return f"object {tree}"


@harm("a file that only a deleted ref led to is deleted, too", Code.OBJECT)
def _(patient: Patient) -> str:
    blob, ref = _packed_blob(patient), refs.wip(SESSION, "b", 1)
    patient.unpack(patient.pack_of(blob))
    patient.loose(blob).unlink()
    patient.git("update-ref", "-d", ref)
    return f"object {blob}: it is missing, and a commit of the ledger needs it"


@harm("a pack is cut off", Code.OBJECT)
def _(patient: Patient) -> str:
    pack = patient.pack_of(_packed_blob(patient))
    cut(pack, pack.stat().st_size // 2)
    return pack.name


@harm("a pack has a flipped bit", Code.OBJECT)
def _(patient: Patient) -> str:
    pack = patient.pack_of(_packed_blob(patient))
    flip(pack, pack.stat().st_size // 2)
    return "pack"


@harm("a pack is deleted", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = patient.ref(refs.wip(SESSION, "b", 1))
    pack = patient.pack_of(commit)
    pack.with_suffix(".idx").unlink()
    pack.unlink()
    return f"commit {commit}"


@harm("the store's HEAD is empty", Code.OBJECT)
def _(patient: Patient) -> str:
    cut(patient.data.store / "HEAD", 0)
    return "store: git can't open"


@harm("the store's configuration is full of rubbish", Code.OBJECT)
def _(patient: Patient) -> str:
    (patient.data.store / "config").write_text("[core\n\trubbish")
    return "store: git can't open"


@harm("the store is gone", Code.OBJECT)
def _(patient: Patient) -> str:
    shutil.rmtree(patient.data.store)
    return "there is no store"
