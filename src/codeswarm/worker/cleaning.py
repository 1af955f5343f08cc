"""What may be thrown away: workspaces whose content is safe, HOMEs of tickets that are done, what sessions shared
(set-ups, checkouts under overlays) once they are over, and what agents keep beside a login while none uses it.

A workspace goes only when everything kept in it is reachable from a ref; one that is not yet is first brought home, and
one that can't be stays and is named.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from codeswarm.domain.ids import SessionId
from codeswarm.ledger.base import Ledger
from codeswarm.process import run_sync
from codeswarm.worker.locks import taken
from codeswarm.worker.places import ATTEMPTS, HOMES, Place, Places
from codeswarm.worker.salvage import salvage
from codeswarm.worker.shared_file import lock_of
from codeswarm.worker.tools import Tools

LIVE = frozenset({"leased", "running", "gating"})
OVER = frozenset({"finalized", "cancelled"})


@dataclass(frozen=True, slots=True)
class Litter:
    """Something that lies about: what would be done with it, and why."""

    path: Path
    action: str
    """remove · salvage · keep"""
    why: str
    bytes: int = 0
    lock: Path | None = None
    """Whoever holds it has it in use."""


def look(places: Places, ledger: Ledger) -> list[Litter]:
    """Everything that lies about, and what is to be done with it. Changes nothing."""
    return [
        *_workspaces(places, ledger),
        *_homes(places, ledger),
        *_setups(places, ledger),
        *_lowers(places, ledger),
        *_logins(places),
    ]


def _workspaces(places: Places, ledger: Ledger) -> Iterator[Litter]:
    for root in _folders(places.root / ATTEMPTS):
        place = Place(root)
        facts = place.facts()
        if not facts:
            yield from _unknown(place, ledger)
            continue
        rows = ledger.table("attempts", session=facts["session"], ticket=facts["ticket"], epoch=facts["epoch"])
        if rows and rows[0]["status"] in LIVE:
            continue
        if left_out := facts.get("left_out"):
            names = ", ".join(item["path"] for item in left_out)
            yield Litter(root, "keep", f"no ref holds {names}", size_of(root))
        else:
            yield Litter(root, "salvage", "its attempt is over; its files go to the attempt's wip ref", size_of(root))


def _unknown(place: Place, ledger: Ledger) -> Iterator[Litter]:
    """A folder in which no agent has begun yet: of a gate, of a set-up, or cut off while it was made."""
    session = place.name.partition(".")[0]
    leased = [row for row in ledger.table("attempts", session=session) if row["status"] in LIVE]
    gates = [row for row in ledger.table("gates", session=session) if row["state"] == "running"]
    if not leased and not gates:
        yield Litter(place.root, "remove", "nothing of an agent's is in it", size_of(place.root))


def _homes(places: Places, ledger: Ledger) -> Iterator[Litter]:
    sessions = {row["id"]: row["status"] for row in ledger.table("sessions")}
    for root in _folders(places.root / HOMES):
        session, _, ticket = root.name.partition("@")[0].partition(".")
        if session not in sessions or sessions[session] in OVER:
            yield Litter(root, "remove", "the HOME of a ticket of a session that is over", size_of(root))
            continue
        rows = ledger.table("tickets", session=SessionId(session), id=ticket)
        if rows and rows[0]["status"] in ("complete", "cancelled"):
            yield Litter(root, "remove", f"the HOME of a ticket that is {rows[0]['status']}", size_of(root))


def _setups(places: Places, ledger: Ledger) -> Iterator[Litter]:
    """Set-up results, once no session can ask for them."""
    if all(row["status"] in OVER for row in ledger.table("sessions")):
        for root in _folders(places.setup):
            yield Litter(root, "remove", "a kept set-up, and no session is open", size_of(root))


def _lowers(places: Places, ledger: Ledger) -> Iterator[Litter]:
    """Checkouts under overlays of sessions that are over, once no workspace stands on them."""
    sessions = {row["id"]: row["status"] for row in ledger.table("sessions")}
    used = {Place(root).lower for root in _folders(places.root / ATTEMPTS)}
    for path in sorted(places.lower.iterdir()) if places.lower.is_dir() else ():
        session = path.name.partition(".")[0]
        if path.name not in used and (session not in sessions or sessions[session] in OVER):
            yield Litter(path, "remove", "a checkout under overlays, of a session that is over", size_of(path))


def _logins(places: Places) -> Iterator[Litter]:
    """Locks that agents of all projects share, and whatever else they put there: while no agent has them in use."""
    for root in _folders(places.logins):
        with taken(lock_of(root)) as nobodys:
            unused = nobodys
        if unused:
            yield Litter(root, "remove", "locks of a login that no agent uses now", size_of(root), lock_of(root))


async def clean(litter: Iterable[Litter], tools: Tools) -> list[Litter]:
    """Do what `look` said. Returns what stays, with the reason."""
    stays: list[Litter] = []
    for item in litter:
        if item.action == "keep":
            stays.append(item)
        elif item.action == "remove":
            if not await asyncio.to_thread(_remove, item, tools):
                stays.append(replace(item, action="keep", why="somebody has come to use it"))
        else:
            await salvage(tools, Place(item.path))
            if item.path.exists():
                stays.append(Litter(item.path, "keep", _why_it_stays(Place(item.path)), item.bytes))
    return stays


def _remove(item: Litter, tools: Tools) -> bool:
    """Whether it is gone: what somebody has in use by now is left to them."""
    with taken(item.lock) if item.lock else nullcontext(enter_result=True) as unused:
        if unused:
            tools.maker.remove(Place(item.path))
    return unused


def _why_it_stays(place: Place) -> str:
    with taken(place.held) as nobodys:
        if not nobodys:
            return "somebody is still at work in it, and brings it home"
        return str(place.facts().get("salvage_failed") or "it holds what no ref can")


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def size_of(root: Path) -> int:
    """Bytes on disk below a folder, as far as they can be seen, however deep an agent made it."""
    done = run_sync(["du", "--summarize", "--block-size=1", "--", str(root)], cwd=Path("/"), env={"PATH": os.defpath})
    size = done.stdout.partition(b"\t")[0]
    return int(size) if size.isdigit() else 0
