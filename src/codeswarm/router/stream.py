"""Live events over a WebSocket: replay from a number, then each new one, no gap and no repeat."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from codeswarm.domain.ids import SessionId
from codeswarm.engine.engine import Engine
from codeswarm.errors import CodeswarmError
from codeswarm.ledger import views
from codeswarm.router.routes.naming import Number

NOT_FOUND = 4404


def stream_routes(engine: Engine) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/sessions/{session}/events")
    async def session_events(socket: WebSocket, session: str, after: Number = 0) -> None:
        await socket.accept()
        try:
            id_ = SessionId(views.find_session(engine.kernel.ledger, session)["id"])
        except CodeswarmError as error:
            await socket.close(NOT_FOUND, error.what[:100])
            return
        await _send_events(engine, socket, after, id_)

    @routes.websocket("/events")
    async def all_events(socket: WebSocket, after: Number = 0) -> None:
        await socket.accept()
        await _send_events(engine, socket, after, None)

    return routes


async def _send_events(engine: Engine, socket: WebSocket, after: int, session: SessionId | None) -> None:
    """Until the client goes away. Its slowness holds up nobody else: the kernel lets it read from the ledger."""
    sending = asyncio.create_task(_send(engine, socket, after, session))
    hearing = asyncio.create_task(_until_closed(socket))
    try:
        await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, hearing):
            task.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)
        if socket.client_state is WebSocketState.CONNECTED and socket.application_state is WebSocketState.CONNECTED:
            await socket.close()


async def _send(engine: Engine, socket: WebSocket, after: int, session: SessionId | None) -> None:
    async for record in engine.kernel.subscribe(after, session):
        await socket.send_json(views.wire(record))


async def _until_closed(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive()
    except (WebSocketDisconnect, RuntimeError):
        return
