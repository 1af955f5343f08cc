"""`codeswarm gc`: throws away what nobody needs any more, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import joined_or_hosting
from codeswarm.cli.output import count, say, say_json

if TYPE_CHECKING:
    from codeswarm.ledger.sqlite import SqliteLedger
    from codeswarm.worker.cleaning import Litter

MOST_PACKS = 20
FORGET = "forget"
"""What is done with transcripts that are too old: by the router, which keeps them."""


def gc(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
) -> None:
    """Remove workspaces, HOMEs, set-ups and shared checkouts that are not needed; what no ref holds is first brought
    home, or stays. Transcripts go where they are older than `retention.transcripts_days`.

    Example: codeswarm gc --dry-run
    """
    here: Here = context.obj
    found = find_litter(here)
    if dry_run:
        _tell(here, found, [], dry_run=True)
        return
    stays = run_async(clean_up(here, found))
    _tell(here, found, stays, dry_run=False)


def find_litter(here: Here) -> list[Any]:
    """Everything that lies about in the cache of this repository. Changes nothing. Raises: Refused."""
    from codeswarm.worker.cleaning import look
    from codeswarm.worker.places import Places

    with here.ledger() as ledger:
        return [*look(Places(here.home.workspaces), ledger), *_old_transcripts(here, ledger)]


def _old_transcripts(here: Here, ledger: SqliteLedger) -> Iterator[Litter]:
    """Transcripts of sessions that ended longer ago than the person wants to keep them."""
    from codeswarm.config import load
    from codeswarm.ledger.artifacts import Artifacts
    from codeswarm.worker.cleaning import OVER, Litter

    days = load(here.environment).config.retention.transcripts_days
    if days is None:
        return
    artifacts = Artifacts(here.home.data.artifacts)
    latest = (datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000
    for row in ledger.table("sessions"):
        path = here.home.data.artifacts / "transcripts" / row["id"]
        if row["status"] in OVER and row["ended_ms"] is not None and row["ended_ms"] < latest and path.is_dir():
            rows = ledger.table("attempts", session=row["id"])
            files = [artifacts.transcript_path(row["id"], each["ticket"], each["epoch"]) for each in rows]
            size = sum(file.stat().st_size for file in files if file.is_file())
            yield Litter(path, FORGET, f"the session ended more than {days:g} days ago", size)


async def clean_up(here: Here, found: list[Any]) -> list[Any]:
    """Bring home or remove what was found; what stays, with the reason."""
    import asyncio
    from functools import partial

    from codeswarm.agents.login_file import known_secrets
    from codeswarm.clock import SystemClock
    from codeswarm.sandbox.factory import choose, probe
    from codeswarm.wiring import WorkerPlan
    from codeswarm.worker.cleaning import clean
    from codeswarm.worker.gate import GateRunner
    from codeswarm.worker.line import Line
    from codeswarm.worker.outbox import Outbox
    from codeswarm.worker.places import Places
    from codeswarm.worker.tools import Tools
    from codeswarm.worker.workspace import WorkspaceMaker

    async with joined_or_hosting(here, lambda: WorkerPlan(0, here.directory)) as (client, hosted):
        clock, places = SystemClock(), Places(here.home.workspaces)
        sandbox = choose("bubblewrap" if probe("bubblewrap").works else "none")
        line = Line(client, clock)
        maker = WorkspaceMaker(places, sandbox, here.environment, clock)
        gates = GateRunner(sandbox, clock, line.log)
        outbox, known = Outbox(here.home.data.outbox), partial(known_secrets, here.environment)
        tools = Tools(line, clock, places, sandbox, maker, gates, outbox, known(), known)
        with closing(maker):
            stays = await clean([item for item in found if item.action != FORGET], tools)
        for item in found:
            if item.action == FORGET:
                await client.post(f"/sessions/{item.path.name}/forget", {"by": here.by, "reason": item.why})
        if hosted is not None and hosted.engine.store.packs() > MOST_PACKS:
            await asyncio.to_thread(hosted.engine.store.tidy)
        return stays


def _tell(here: Here, found: list[Any], stays: list[Any], *, dry_run: bool) -> None:
    kept = {item.path for item in stays} | {item.path for item in found if item.action == "keep"}
    gone = [item for item in found if item.path not in kept]
    if here.json:
        rows = [{"path": str(i.path), "action": i.action, "why": i.why, "bytes": i.bytes} for i in found]
        say_json({"dry_run": dry_run, "found": rows, "kept": sorted(str(path) for path in kept)})
        return
    for item in found:
        if dry_run:
            say(f"{item.action:8}{item.bytes >> 20:6} MiB  {item.path}: {item.why}")
    for item in stays:
        say(f"stays: {item.path}: {item.why}")
    verb = "would go" if dry_run else "gone"
    say(f"{count(len(gone), 'folder')} {verb}, {sum(item.bytes for item in gone) >> 20} MiB")
