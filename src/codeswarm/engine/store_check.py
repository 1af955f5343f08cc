"""Whether the store holds what the ledger says: refs, commits, and every object behind them. Reads only."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from codeswarm.domain.ids import Commit, SessionId, Tree, is_object_id
from codeswarm.domain.session import Session
from codeswarm.engine import refs
from codeswarm.engine.claims import Claims, NamedCommit, Task, claims_of
from codeswarm.git.store import Store
from codeswarm.ledger.care import Code, Problem, checked
from codeswarm.ledger.verify import Inspection

SHARED = ("refs/heads/session", "refs/tags/checkpoint")
"""Below these nothing may stand that the ledger does not know."""

FSCK_TIMEOUT_S = 24 * 3600.0
STORE_BACK = "bring store.git back from a copy of it, or fetch what is missing from a repository that has it"
LEDGER_BEHIND = "has the ledger lost its last events? Then restore the newest backup of it"

_REF = re.compile(r"(refs/[^\s:]+)")
_LOOSE = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{62}|[0-9a-f]{38})")
_PACK = re.compile(r"(pack-[0-9a-f]{40,64}\.\w+)")
_OBJECT = re.compile(r".*\b([0-9a-f]{64}|[0-9a-f]{40})\b")
_MANNERS = re.compile(r"(error|warning) in \w+ [0-9a-f]{40,64}: |notice: |dangling |unreachable ")
"""What fsck says of how an object was written, which many an old and healthy history earns, and of things left over."""


def store_problems(store: Store, seen: Inspection, *, live: bool, deep: bool) -> Iterator[Problem]:
    """Everything that is wrong with the store. `live`: a session may be starting; `deep`: read every object's bytes."""
    claims = claims_of(seen.records)
    if problem := _unusable(store):
        if claims.commits or store.path.exists():
            yield Problem(Code.OBJECT, "store", problem, STORE_BACK)
        return
    yield from checked("the store's refs", partial(_refs, store, claims))
    if seen.complete:
        yield from checked("the store's branches", partial(_branches, store, claims, seen.sessions, live=live))
    contents = _read_commits(store, list(dict.fromkeys(claim.commit for claim in claims.commits)))
    yield from checked("the store's commits", partial(_commits, claims.commits, contents))
    here = [commit for commit, content in contents.items() if content is not None]
    yield from checked("the store's objects", partial(_objects, store, here, deep=deep))


def _unusable(store: Store) -> str:
    """Why git can do nothing with the store; empty where it can."""
    if not store.path.is_dir():
        return f"there is no store at {store.path}"
    done = store.git.run_full("rev-parse", "--git-dir", ok=range(256))
    said = done.stderr.decode(errors="replace").strip()
    return f"git can't open {store.path}: {said}" if done.returncode else ""


# ── refs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _refs(store: Store, claims: Claims) -> Iterator[Problem]:
    """Refs that one event each sets: what it names must be kept."""
    found = store.refs()
    for ref, commit in claims.fixed.items():
        if (now := found.get(ref)) != commit:
            yield _elsewhere(store, ref, now, commit)
    for ref, commit in claims.perhaps.items():
        if ref not in claims.fixed and found.get(ref, commit) != commit:
            yield _elsewhere(store, ref, found[ref], commit)
    for ref in claims.kept.keys() - found.keys():
        yield Problem(Code.REF, ref, "is missing; it kept commits that an agent made by itself", STORE_BACK)
    for ref, commit in claims.growing.items():
        now = found.get(ref)
        if now != commit and (now is None or not _is_ancestor(store, commit, now)):
            yield _elsewhere(store, ref, now, commit)


def _branches(store: Store, claims: Claims, sessions: Mapping[SessionId, Session], *, live: bool) -> Iterator[Problem]:
    """Refs that the log as a whole sets, and those that it knows nothing of."""
    found, tasks = store.refs(*SHARED), _task_branches(claims, sessions)
    for id_, tips in claims.tips.items():
        yield from _integration(store, refs.integration(id_), tips, found.get(refs.integration(id_)))
    for ref, task in tasks.items():
        now = found.get(ref)
        if (now or task.needed) and now not in task.works:
            yield _elsewhere(store, ref, now, task.works[0] if task.works else None)
    known = {*tasks, *claims.fixed, *claims.perhaps, *map(refs.integration, claims.tips)}
    starting = _starting(store) if live else {}
    for ref in sorted(found.keys() - known):
        if starting.get(ref) != found[ref]:
            yield _unknown(store, ref, found[ref])


def _starting(store: Store) -> dict[str, Commit]:
    """Integration refs as a start sets them, beside the session's base, before the ledger knows of the session."""
    bases = store.refs(refs.base("").rstrip("/"))
    return {refs.integration(name.rpartition("/")[2]): commit for name, commit in bases.items()}


def _task_branches(claims: Claims, sessions: Mapping[SessionId, Session]) -> dict[str, Task]:
    """Where task branches may stand: a start of the router moves them to the newest work, which may have failed."""
    tasks = dict(claims.tasks)
    for session in sessions.values():
        for ticket in session.tickets.values():
            branch = refs.task(session.id, ticket.id)
            if ticket.work is not None and branch in tasks:
                tasks[branch] = replace(tasks[branch], works=(*tasks[branch].works, ticket.work))
    return tasks


def _integration(store: Store, ref: str, tips: list[Commit], now: Commit | None) -> Iterator[Problem]:
    tip = tips[-1]
    if now == tip:
        return
    if now is None:
        yield _elsewhere(store, ref, now, tip)
    elif now in tips or _is_ancestor(store, now, tip):
        what = f"stands at {now} and lags behind the ledger, which says {tip}"
        yield Problem(Code.REF, ref, what, f"codeswarm resume; or: {_update(store, ref, tip)}", repairable=True)
    elif _is_ancestor(store, tip, now):
        what = f"stands at {now}, beyond {tip}, where the ledger ends"
        yield Problem(Code.REF, ref, what, f"{LEDGER_BEHIND}. Else: {_rescue(store, ref, now, tip)}")
    else:
        what = f"stands at {now}, where this session never was; the ledger says {tip}"
        yield Problem(Code.REF, ref, what, _rescue(store, ref, now, tip))


def _elsewhere(store: Store, ref: str, now: Commit | None, commit: Commit | None) -> Problem:
    if now is None and commit is not None:
        there = store.commit(commit) is not None
        step = _update(store, ref, commit) if there else STORE_BACK
        return Problem(Code.REF, ref, f"is missing; the ledger says {commit}", step, repairable=there)
    says = commit or "nothing stands there yet"
    return Problem(Code.REF, ref, f"stands at {now}, but the ledger says {says}", _rescue(store, ref, now, commit))


def _unknown(store: Store, ref: str, now: Commit) -> Problem:
    what = f"stands at {now}, and the ledger does not know it: a start that was killed, lost events, or someone else"
    return Problem(Code.REF, ref, what, f"{LEDGER_BEHIND}. Else: {_rescue(store, ref, now, None)}")


def _git(store: Store) -> str:
    return f"git --git-dir={shlex.quote(str(store.path))}"


def _update(store: Store, ref: str, commit: Commit) -> str:
    return f"{_git(store)} update-ref {ref} {commit}"


def _rescue(store: Store, ref: str, now: Commit | None, commit: Commit | None) -> str:
    """Keep what stands there now under another name, then put the ref where the ledger says."""
    back = _update(store, ref, commit) if commit else f"{_git(store)} update-ref -d {ref}"
    return f"{_git(store)} branch rescue {now}; {back}"


def _is_ancestor(store: Store, ancestor: Commit, of: Commit) -> bool:
    """Like the store's own, but a commit that can't be read is nobody's ancestor."""
    return store.git.run_full("merge-base", "--is-ancestor", ancestor, of, ok=range(256)).returncode == 0


# ── commits ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Commit:
    """What a commit itself says."""

    tree: Tree
    parents: tuple[Commit, ...]


def _commits(named: Iterable[NamedCommit], contents: Mapping[Commit, _Commit | None]) -> Iterator[Problem]:
    """Every commit that an event names: there, with that tree and those parents."""
    told: set[tuple[str, str]] = set()
    for claim in named:
        where, what = f"commit {claim.commit}", _wrong(claim, contents[claim.commit])
        if what and (where, what) not in told:
            told.add((where, what))
            yield Problem(Code.COMMIT, where, f"{what} ({claim.where})", STORE_BACK)


def _wrong(claim: NamedCommit, content: _Commit | None) -> str:
    """How a commit differs from what an event says of it; empty where it does not."""
    if content is None:
        return "is not in the store, or is damaged there, but the ledger names it"
    if claim.tree is not None and content.tree != claim.tree:
        return f"has the tree {content.tree}, but the ledger says {claim.tree}"
    if claim.parents is not None and content.parents != claim.parents:
        return f"has the parents {' '.join(content.parents) or 'none'}, but the ledger says {' '.join(claim.parents)}"
    return ""


def _read_commits(store: Store, commits: list[Commit]) -> dict[Commit, _Commit | None]:
    """Each commit's content, in one go; None for those that are missing or damaged."""
    found: dict[Commit, _Commit | None] = dict.fromkeys(commits)
    left = [commit for commit in commits if is_object_id(commit)]
    while left:
        asked = "".join(f"{commit}\n" for commit in left).encode()
        out = store.git.run_full("cat-file", "--batch", stdin=asked, ok=range(256)).stdout
        answers = list(_answers(out))
        found.update(zip(left, answers, strict=False))
        left = left[len(answers) + 1 :]  # git ends where it meets a damaged one: that one stays None
    return found


def _answers(out: bytes) -> Iterator[_Commit | None]:
    """What `cat-file --batch` printed, record by record. Source: git-cat-file(1), BATCH OUTPUT."""
    at = 0
    while (end := out.find(b"\n", at)) >= 0:
        words = out[at:end].split()
        if len(words) != 3:
            at = end + 1
            yield None
            continue
        size = int(words[2])
        content, at = out[end + 1 : end + 1 + size], end + 2 + size
        if len(content) < size:
            return
        yield _parse(words[0].decode(), words[1], content)


def _parse(object_id: str, kind: bytes, content: bytes) -> _Commit | None:
    """A commit's content, if that is what the id was made of."""
    make = hashlib.sha256 if len(object_id) == 64 else partial(hashlib.sha1, usedforsecurity=False)
    if kind != b"commit" or make(b"commit %d\0" % len(content) + content).hexdigest() != object_id:
        return None
    lines = [line.decode(errors="replace").split() for line in content.partition(b"\n\n")[0].split(b"\n")]
    parents = tuple(Commit(line[1]) for line in lines if line[:1] == ["parent"])
    return _Commit(Tree(lines[0][1]), parents)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────


def _objects(store: Store, named: list[Commit], *, deep: bool) -> Iterator[Problem]:
    """What git itself finds wrong: damaged, missing and misplaced objects, packs, refs to nowhere."""
    depth = "--full" if deep else "--connectivity-only"
    args = ("fsck", depth, "--no-dangling", "--no-progress", "--no-reflogs")
    done = store.git.run_full(*args, ok=range(256), timeout_s=FSCK_TIMEOUT_S)
    missing, said = _behind(store, named)
    told = _gathered(done.stdout + b"\n" + done.stderr + b"\n" + said)
    for object_id in missing:
        told.setdefault(f"object {object_id}", []).append("it is missing, and a commit of the ledger needs it")
    for where, lines in told.items():
        yield Problem(Code.OBJECT, where, "; ".join(dict.fromkeys(lines)), STORE_BACK)


def _behind(store: Store, commits: list[Commit]) -> tuple[list[str], bytes]:
    """Objects that these commits need and that are missing, and what git says where it can't tell.

    fsck looks at what refs lead to; here is what no ref leads to any more.
    """
    if not commits:
        return [], b""
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    walk = ("rev-list", "--objects", "--no-object-names", "--missing=print", "--stdin")
    for but in (("--not", "--all"), ()):  # where a ref is damaged, git can't leave out what refs lead to
        done = store.git.run_full(*walk, *but, stdin=asked, ok=range(256), timeout_s=FSCK_TIMEOUT_S)
        if done.returncode == 0:
            break
    missing = [line[1:].decode() for line in done.stdout.split() if line.startswith(b"?")]
    return missing, done.stderr if done.returncode else b""


def _gathered(out: bytes) -> dict[str, list[str]]:
    """Complaints of git, by what they are about. A line that names nothing belongs to the next one that does."""
    gathered: dict[str, list[str]] = {}
    before: list[str] = []
    for line in out.decode(errors="replace").replace("\n ", " ").splitlines():
        if not line.strip() or _MANNERS.match(line):
            continue
        before.append(" ".join(line.split()))
        if where := _about(line):
            gathered.setdefault(where, []).extend(before)
            before = []
    if before:
        gathered.setdefault("store", []).extend(before)
    return gathered


def _about(line: str) -> str:
    """The ref, object or pack that a line of git is about; of several objects the last: a link leads to it."""
    if found := _REF.search(line):
        return found[1]
    if found := _LOOSE.search(line):
        return f"object {found[1]}{found[2]}"
    if found := _PACK.search(line):
        return f"pack {found[1]}"
    found = _OBJECT.match(line)
    return f"object {found[1]}" if found else ""
