"""A small world outside of a sandbox: hosts with names, on loopback, and a proxy that leads to them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from codeswarm.clock import Clock, SystemClock
from codeswarm.egress.addresses import Dialler
from codeswarm.egress.base import Denied, Endpoint, Limits
from codeswarm.egress.endpoints import Upstream
from codeswarm.egress.hosts import AllowList
from codeswarm.egress.parent import Parent
from codeswarm.egress.proxy import Proxy

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def host(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Something that serves connections on loopback; its port."""
    running: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(talk(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [*running]:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@dataclass
class Web:
    """A web server that remembers what it was asked, byte for byte, and answers each request with the same."""

    body: bytes = b"hello"
    head: bytes = b""
    """The whole head of the answer; empty: an ordinary one."""
    asked: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            self.asked.append(head)
            self.bodies.append(await self._body(head.lower(), reader))
            usual = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(self.body)
            writer.write((self.head or usual) + self.body)
            await writer.drain()
            if self.head and b"content-length" not in self.head.lower() and b"chunked" not in self.head.lower():
                return

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        fields = dict(line.split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            whole = b""
            while size := int(await reader.readline(), 16):
                whole += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
            return whole
        return await reader.readexactly(int(fields.get(b"content-length", b"0")))


@dataclass
class Way:
    """A proxy that is served on loopback."""

    proxy: Proxy
    port: int
    denied: list[Denied]
    endpoint_ports: tuple[int, ...] = ()

    async def ask(self, raw: bytes, *, port: int | None = None) -> bytes:
        """Send something, and read all of the answer until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            writer.write(raw)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def line(self, port: int | None = None) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def way(
    allowed: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    *,
    shipped: Sequence[str] = (),
    endpoints: Sequence[Endpoint] = (),
    clock: Clock | None = None,
    limits: Limits | None = None,
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    parent: Parent | None = None,
) -> AsyncIterator[Way]:
    """`names`: what the resolver knows, and nothing else."""

    async def resolve(name: str, port: int) -> Sequence[str]:
        if name not in (names or {}):
            raise OSError(-2, "Name or service not known")
        return (names or {})[name]

    ticking = clock or SystemClock()
    denied: list[Denied] = []
    limits = limits or replace(Limits(), connect_s=10.0)
    dialler = Dialler(ticking, limits.connect_s, resolve, parent)
    proxy = Proxy(AllowList.of(allowed, shipped), dialler, ticking, denied.append, trust, limits)
    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for endpoint in endpoints:
            upstream = Upstream.of(endpoint)
            ports.append(await stack.enter_async_context(_served(proxy, len(ports) + 1)))
            proxy.endpoints |= {len(ports): upstream, ports[-1]: upstream}
        port = await stack.enter_async_context(_served(proxy, 0))
        yield Way(proxy, port, denied, tuple(ports))


@contextlib.asynccontextmanager
async def _served(proxy: Proxy, number: int) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await proxy.serve(reader, writer, number)

    async with host(serve) as port:
        yield port
