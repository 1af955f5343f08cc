"""Serving the application on a private Unix socket, mode 0600, whose path may be longer than a socket address."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from codeswarm.glance import socket_address


def bind(path: Path) -> socket.socket:
    """A listening socket at `path`. One left by a dead router is replaced: whoever calls this holds the lock."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with socket_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(512)
    listener.setblocking(False)  # noqa: FBT003 - its only parameter
    return listener


def inherited(fd: int) -> socket.socket:
    """The listening socket of the router before us, with those who wait in its queue."""
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)  # noqa: FBT003 - its only parameter
    return listener


class _Server(uvicorn.Server):
    """uvicorn without its own ideas about signals: the command line decides what Ctrl+C means."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@contextlib.asynccontextmanager
async def serving(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Serve for as long as the context lasts. Who connects earlier waits in the listener's queue."""
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="wsproto",
        ws_ping_interval=None,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await task
        await _cut_off(server)


async def _cut_off(server: uvicorn.Server) -> None:
    """Hang up on who still waits for an answer, and let what is at work for them end before we do.

    In this order: a request that ended first would be answered with a 500, which is no word to ask again upon, as a
    line that is cut off is.
    """
    state = server.server_state
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # the protocols hear of it
    left = list(state.tasks)
    for request in left:
        request.cancel()
    await asyncio.gather(*left, return_exceptions=True)
