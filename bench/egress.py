"""The way out of a sandbox: what the proxy adds to bytes that are carried, to a request, and to the start of a program.

The proxy runs in this process, as in a worker's; who asks and who answers are a program beside it, with blocking
sockets and nothing in between. Only processor time counts: the proxy's, and as its peer that of the program, which asks
directly.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bench.figure import Figure, Scale
from codeswarm.clock import SystemClock
from codeswarm.egress.addresses import Dialler
from codeswarm.egress.base import Endpoint, Limits
from codeswarm.egress.door import INSIDE, Door
from codeswarm.egress.endpoints import Upstream
from codeswarm.egress.hosts import AllowList
from codeswarm.egress.proxy import Proxy
from codeswarm.host import bare_interpreter

PEER = "asking directly"
MIB, REQUESTS, STARTS = 256, 500, 10
PORTS = (18118, 18119)
TUNNEL_BAR_MS, REQUEST_BAR_US, START_BAR_MS = 150.0, 1_000.0, 30.0
SECRET = "sk-bench-0123456789abcdef"  # noqa: S105 - it opens nothing

BESIDE = """
import socket, sys, threading, time
def serve(line):
    with line, line.makefile('rb') as said:
        while first := said.readline():
            while said.readline() != b'\\r\\n': pass
            if first.startswith(b'GET /many'):
                for _ in range(MIB): line.sendall(b'x' * (1 << 20))
                return
            line.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 400\\r\\n\\r\\n' + b'y' * 400)
def host(listening):
    while True: threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
listening = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=host, args=(listening,), daemon=True).start()
port = listening.getsockname()[1]
print(port, flush=True)
def many(at, tunnel):
    with socket.create_connection(('127.0.0.1', at)) as line:
        if tunnel:
            line.sendall(b'CONNECT 127.0.0.1:%d HTTP/1.1\\r\\nHost: 127.0.0.1:%d\\r\\n\\r\\n' % (port, port))
            while not line.recv(1000).endswith(b'\\r\\n\\r\\n'): pass
        line.sendall(b'GET /many HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        got = 0
        while data := line.recv(1 << 20): got += len(data)
        assert got == MIB << 20, got
def ask(at):
    with socket.create_connection(('127.0.0.1', at)) as line, line.makefile('rb') as said:
        for _ in range(REQUESTS):
            line.sendall(b'POST /v1 HTTP/1.1\\r\\nHost: x\\r\\nx-api-key: none\\r\\n\\r\\n')
            while (field := said.readline()) != b'\\r\\n': assert field
            assert len(said.read(400)) == 400
for order in sys.stdin:
    what, at, tunnel = order.split()
    began = time.process_time()
    many(int(at), tunnel == '1') if what == 'many' else ask(int(at))
    print(time.process_time() - began, flush=True)
"""


def measure(scale: Scale, folder: Path) -> list[Figure]:
    folder.mkdir(parents=True)
    mib, requests = (MIB, REQUESTS) if scale.whole else (4, 20)
    with subprocess.Popen(
        [sys.executable, "-c", f"MIB, REQUESTS = {mib}, {requests}\n{BESIDE}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as beside:  # fmt: skip
        rows = asyncio.run(_carried(scale, beside, mib, requests))
        beside.kill()
    return [*rows, asyncio.run(_begun(scale, folder))]


async def _carried(scale: Scale, beside: subprocess.Popen[str], mib: int, requests: int) -> list[Figure]:
    assert beside.stdout is not None
    host = int(await asyncio.to_thread(beside.stdout.readline))
    clock, limits = SystemClock(), replace(Limits(), bytes_in=1 << 50)
    dialler = Dialler(clock, limits.connect_s)
    proxy = Proxy(AllowList.of([f"127.0.0.1:{host}"]), dialler, clock, lambda denied: None, limits=limits)
    proxy.endpoints[2] = Upstream.of(Endpoint(f"http://127.0.0.1:{host}", "x-api-key", SECRET))
    async with _served(proxy, 1) as tunnel, _served(proxy, 2) as endpoint:
        tunnelled, directly, asked, asked_directly = [], [], [], []
        for _ in range(scale.runs):
            directly.append(1000 * await _beside(beside, "many", host) * 100 / mib)
            tunnelled.append(1000 * await _ours(lambda: _beside(beside, "many", _port(tunnel), tunnel=1)) * 100 / mib)
            asked_directly.append(1e6 * await _beside(beside, "ask", host) / requests)
            asked.append(1e6 * await _ours(lambda: _beside(beside, "ask", _port(endpoint))) / requests)
    return [
        Figure("egress, a tunnel", "ms/100 MiB", "less", tuple(tunnelled), bar=TUNNEL_BAR_MS, peer=PEER,
               peers=tuple(directly), note="processor time"),
        Figure("egress, a request with a key", "µs", "less", tuple(asked), bar=REQUEST_BAR_US, peer=PEER,
               peers=tuple(asked_directly), note="processor time"),
    ]  # fmt: skip


@asynccontextmanager
async def _served(proxy: Proxy, number: int) -> AsyncIterator[asyncio.Server]:
    serving: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer, number))
        serving.add(task)
        task.add_done_callback(serving.discard)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server
        await asyncio.gather(*serving)


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def _beside(beside: subprocess.Popen[str], what: str, port: int, tunnel: int = 0) -> float:
    """Let the program beside us ask; the seconds of processor time that it took itself."""
    assert beside.stdin is not None
    assert beside.stdout is not None
    beside.stdin.write(f"{what} {port} {tunnel}\n")
    beside.stdin.flush()
    return float(await asyncio.to_thread(beside.stdout.readline))


async def _ours(work: Callable[[], Awaitable[object]]) -> float:
    began = _processor(resource.RUSAGE_SELF)
    await work()
    return _processor(resource.RUSAGE_SELF) - began


def _processor(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


async def _begun(scale: Scale, folder: Path) -> Figure:
    """A program that ends at once, begun by the relay and without it. There are no walls around: what dies within them
    is not counted to whoever made them.
    """
    clock = SystemClock()
    proxy = Proxy(AllowList(()), Dialler(clock, 1.0), clock, lambda denied: None)
    python, _ = bare_interpreter()

    async def took(count: int, *, relayed: bool) -> float:
        before = _processor(resource.RUSAGE_SELF) + _processor(resource.RUSAGE_CHILDREN)
        for _ in range(count):
            argv, door = ["/bin/true"], None
            if relayed:
                door = Door(proxy, folder, "door", PORTS, clock)
                argv = [str(door.path) if word == str(INSIDE) else word for word in door.relayed(python, argv)]
            ended = await asyncio.create_subprocess_exec(*argv)
            assert await ended.wait() == 0
            if door is not None:
                await door.close()
        after = _processor(resource.RUSAGE_SELF) + _processor(resource.RUSAGE_CHILDREN)
        return 1000 * (after - before) / count

    count = STARTS if scale.whole else 1
    pairs = [(await took(count, relayed=False), await took(count, relayed=True)) for _ in range(scale.runs)]
    without, relayed = zip(*pairs, strict=True)
    return Figure("egress, the start of a program", "ms", "less", relayed, bar=START_BAR_MS, peer="without a way out",
                  peers=without, note="processor time")  # fmt: skip
