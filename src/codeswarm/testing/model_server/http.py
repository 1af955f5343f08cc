"""HTTP/1.1 as servers speak it, over asyncio streams: low enough for connections to be broken on purpose."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import h11

_READ_MAX = 1 << 16


class PeerGone(ConnectionError):
    """The other side closed the connection while it was kept waiting, or the script has it closed."""


class Unreadable(Exception):
    """A request that can't be taken in. The connection ends with it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request. Names of headers are in lower case; the body is decoded."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """The server's end of one connection: requests come in one by one, each is answered before the next."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body_max_bytes: int) -> None:
        self._reader = reader
        self._writer = writer
        self._body_max_bytes = body_max_bytes
        self._state = h11.Connection(h11.SERVER)

    async def next(self) -> Incoming | None:
        """The next request; None where there is none and never will be. Raises: Unreadable, ConnectionError."""
        try:
            return await self._next()
        except h11.RemoteProtocolError as error:
            raise Unreadable(error.error_status_hint, str(error)) from error

    async def _next(self) -> Incoming | None:
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        if self._state.our_state is not h11.IDLE:
            return None
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        body = _decoded(await self._body(), headers.get("content-encoding", "identity"), self._body_max_bytes)
        return Incoming(head.method.decode("ascii"), head.target.decode("latin-1"), headers, body)

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > self._body_max_bytes:
                raise Unreadable(413, f"the body has more than {self._body_max_bytes} bytes")
        return bytes(body)

    async def _event(self) -> object:
        """The next thing that the other side says: an event of h11, or its PAUSED."""
        while (event := self._state.next_event()) is h11.NEED_DATA:
            if self._state.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._state.receive_data(await self._reader.read(_READ_MAX))
        return event

    async def begin(self, status: int, headers: Iterable[tuple[str, str]], length: int | None = None) -> None:
        """Send the head. `length` None: the body is chunked, or ends with the connection for HTTP/1.0."""
        framing = [] if length is None else [("content-length", str(length))]
        await self._send(h11.Response(status_code=status, headers=[*headers, *framing]))

    async def send(self, data: bytes) -> None:
        if data:
            await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> None:
        await self.begin(status, headers, len(body))
        await self.send(body)
        await self.end()

    async def _send(self, event: h11.Event) -> None:
        if (data := self._state.send(event)) is not None:
            self._writer.write(data)
            await self._writer.drain()

    async def gone(self) -> None:
        """Wait until the other side closes the connection. What it sends meanwhile is kept for later."""
        while data := await self._reader.read(_READ_MAX):
            self._state.receive_data(data)

    def abort(self) -> None:
        """Close at once, whatever was promised and whatever is still to be sent."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close when everything is sent. Where that is interrupted: at once, as the other side may never read on."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # The other side was faster; closed is closed.
        except asyncio.CancelledError:
            self.abort()
            raise


def _decoded(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """`body` without its content encoding. Raises: Unreadable."""
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise Unreadable(415, f"no content encoding {encoding}; gzip will do")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, max_bytes)
    except zlib.error as error:
        raise Unreadable(400, f"the body is no {encoding}: {error}") from error
    if inflater.unconsumed_tail:
        raise Unreadable(413, f"the body has more than {max_bytes} bytes")
    if not inflater.eof:
        raise Unreadable(400, f"the body is no whole {encoding}")
    return plain
