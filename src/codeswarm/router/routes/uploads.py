"""For workers: files, transcripts and logs on their way home."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, cast

from fastapi import APIRouter, Request

from codeswarm.domain.ids import TicketId
from codeswarm.domain.rejection import invalid
from codeswarm.engine.engine import Engine
from codeswarm.errors import Refused
from codeswarm.protocol import SnapshotAnswer, WorkAnswer
from codeswarm.router.routes.naming import Number, attempt_lease, parse

MAX_UPLOAD = 4 << 30
SPOOL_IN_MEMORY = 8 << 20


def upload_routes(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["work"])

    @routes.post("/leases/{lease}/snapshot")
    async def snapshot(lease: str, epoch: int, request: Request) -> SnapshotAnswer:
        session, ticket = attempt_lease(lease, epoch)
        async with spooled(request) as spool:
            return await engine.attempts.snapshot(session, ticket, epoch, spool)

    @routes.post("/leases/{lease}/work")
    async def work(lease: str, epoch: int, request: Request) -> WorkAnswer:
        session, ticket = attempt_lease(lease, epoch)
        async with spooled(request) as spool:
            return await engine.attempts.work(session, ticket, epoch, spool)

    @routes.post("/attempts/{attempt}/salvage")
    async def salvage(attempt: str, request: Request) -> SnapshotAnswer:
        session, ticket, epoch = parse(attempt)
        async with spooled(request) as spool:
            return await engine.attempts.salvage(session, TicketId(ticket), epoch, spool)

    @routes.post("/attempts/{attempt}/commits")
    async def keep_commits(attempt: str, request: Request) -> dict[str, list[str]]:
        session, ticket, epoch = parse(attempt)
        with tempfile.NamedTemporaryFile(suffix=".bundle") as bundle:
            async for chunk in request.stream():
                bundle.write(chunk)
            bundle.flush()
            kept = await engine.attempts.keep_commits(session, TicketId(ticket), epoch, Path(bundle.name))
        return {"refs": list(kept)}

    @routes.post("/attempts/{attempt}/transcript")
    async def add_to_transcript(attempt: str, offset: Number, request: Request) -> dict[str, int]:
        session, ticket, epoch = parse(attempt)
        data = await request.body()
        size = await engine.attempts.add_to_transcript(session, TicketId(ticket), epoch, offset, data)
        return {"size": size}

    @routes.post("/artifacts")
    async def keep(request: Request) -> dict[str, str]:
        data = await request.body()
        return {"digest": await asyncio.to_thread(engine.artifacts.put, data)}

    return routes


@contextlib.asynccontextmanager
async def spooled(request: Request) -> AsyncIterator[BinaryIO]:
    """The body of an upload as a file, in memory while it is small."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY) as spool:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_UPLOAD:
                raise Refused(invalid(f"an upload of more than {MAX_UPLOAD} bytes"))
            spool.write(chunk)
        spool.seek(0)
        yield cast(BinaryIO, spool)
