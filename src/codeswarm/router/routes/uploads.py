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
from codeswarm.router.problems import ROUTES
from codeswarm.router.routes.naming import Number, attempt_lease, parse

MAX_UPLOAD = 4 << 30
MAX_PIECE = 64 << 20
"""Bytes of what is taken as one piece in memory: some lines of a transcript, a gate's output."""
SPOOL_IN_MEMORY = 8 << 20


def upload_routes(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["work"])
    tmp = engine.data.tmp

    @routes.post("/leases/{lease}/snapshot")
    async def snapshot(lease: str, epoch: int, request: Request) -> SnapshotAnswer:
        session, ticket = attempt_lease(lease, epoch)
        async with spooled(request, tmp) as spool:
            return await engine.attempts.snapshot(session, ticket, epoch, spool)

    @routes.post("/leases/{lease}/work")
    async def work(lease: str, epoch: int, request: Request) -> WorkAnswer:
        session, ticket = attempt_lease(lease, epoch)
        async with spooled(request, tmp) as spool:
            return await engine.attempts.work(session, ticket, epoch, spool)

    @routes.post("/attempts/{attempt}/salvage")
    async def salvage(attempt: str, request: Request) -> SnapshotAnswer:
        session, ticket, epoch = parse(attempt)
        async with spooled(request, tmp) as spool:
            return await engine.attempts.salvage(session, TicketId(ticket), epoch, spool)

    @routes.post("/attempts/{attempt}/commits")
    async def keep_commits(attempt: str, request: Request) -> dict[str, list[str]]:
        session, ticket, epoch = parse(attempt)
        with tempfile.NamedTemporaryFile(suffix=".bundle", dir=tmp) as bundle:
            async for chunk in bounded(request, MAX_UPLOAD):
                bundle.write(chunk)
            bundle.flush()
            kept = await engine.attempts.keep_commits(session, TicketId(ticket), epoch, Path(bundle.name))
        return {"refs": list(kept)}

    @routes.post("/attempts/{attempt}/transcript")
    async def add_to_transcript(attempt: str, offset: Number, request: Request) -> dict[str, int]:
        session, ticket, epoch = parse(attempt)
        data = await piece(request)
        size = await engine.attempts.add_to_transcript(session, TicketId(ticket), epoch, offset, data)
        return {"size": size}

    @routes.post("/artifacts")
    async def keep(request: Request) -> dict[str, str]:
        data = await piece(request)
        return {"digest": await asyncio.to_thread(engine.artifacts.put, data)}

    return routes


async def bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body of an upload as it comes. Raises: Refused, as soon as it is larger than it may be."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            why = "an upload is bounded, so that no agent can fill the disk of the router"
            raise Refused(invalid(f"an upload of more than {most} bytes", ROUTES, why))
        yield chunk


async def piece(request: Request) -> bytes:
    """The body of a small upload."""
    return b"".join([chunk async for chunk in bounded(request, MAX_PIECE)])


@contextlib.asynccontextmanager
async def spooled(request: Request, folder: Path) -> AsyncIterator[BinaryIO]:
    """The body of an upload as a file, in memory while it is small."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY, dir=str(folder)) as spool:
        async for chunk in bounded(request, MAX_UPLOAD):
            spool.write(chunk)
        spool.seek(0)
        yield cast(BinaryIO, spool)
