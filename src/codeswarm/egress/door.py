"""The door of one sandbox: the place where its listening sockets come out, and where they are served from then on.

A private Unix socket in the attempt's folder takes exactly one message, from the relay that begins the sandbox, before
anything of the agent runs there. Then it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from codeswarm.clock import Clock
from codeswarm.egress import relay
from codeswarm.egress.patience import timely
from codeswarm.egress.proxy import Proxy
from codeswarm.egress.traffic import CHUNK

HANDOVER_S = 60.0
"""A sandbox that has not begun by then has none."""
INSIDE = Path("/codeswarm/way-out")
"""Where the socket is for the relay."""


@cache
def relay_text() -> str:
    """Handed over as text: a file would have to be shown inside."""
    return Path(relay.__file__).read_text(encoding="utf-8")


class Door:
    """Made before the sandbox, open from its beginning, closed after its end."""

    def __init__(self, proxy: Proxy, folder: Path, name: str, ports: Sequence[int], clock: Clock) -> None:
        """Raises: OSError."""
        self.path = folder / name
        self.ports = tuple(ports)
        self._proxy = proxy
        self._clock = clock
        self._serving: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._listeners: list[socket.socket] = []
        """Ours to close from the moment in which they are handed over."""
        self._waiting_at = _listening(folder, name)
        self._taking = asyncio.ensure_future(self._take())

    def relayed(self, python: Path, argv: Sequence[str]) -> list[str]:
        """The command that begins `argv` behind this door."""
        ports = ",".join(map(str, self.ports))
        return [str(python), "-I", "-S", "-c", relay_text(), str(INSIDE), ports, *argv]

    async def _take(self) -> None:
        try:
            await timely(self._clock, HANDOVER_S, self._handed_over())
        except OSError:
            return  # the program could not be started: whoever starts it says so
        finally:
            self._shut()
        for port, listener in zip(self.ports, self._listeners, strict=True):
            self._servers.append(await asyncio.start_server(self._serve_on(port), sock=listener, limit=CHUNK))

    async def _handed_over(self) -> None:
        loop = asyncio.get_running_loop()
        line, _ = await loop.sock_accept(self._waiting_at)
        with line:
            await _readable(line)
            self._listeners = _listeners(line, len(self.ports))

    def _serve_on(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._proxy.serve(reader, writer, port))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        return serve

    def _shut(self) -> None:
        self._waiting_at.close()
        self.path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Nothing goes out any more. Idempotent."""
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        serving = [*self._serving]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def _listening(folder: Path, name: str) -> socket.socket:
    """A private Unix socket. Its address goes through the folder's descriptor: a path of ours may be longer than such
    an address can be (107 bytes).
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        found.bind(f"/proc/self/fd/{directory}/{name}")
        (folder / name).chmod(0o600)
        found.listen(1)
    except BaseException:
        found.close()
        raise
    finally:
        os.close(directory)
    return found


async def _readable(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(line, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(line)


def _listeners(line: socket.socket, count: int) -> list[socket.socket]:
    """What the relay hands over. Raises: OSError for anything else."""
    _, numbers, _, _ = socket.recv_fds(line, 1, count)
    found = [socket.socket(fileno=number) for number in numbers]
    if len(found) == count and all(map(_listens, found)):
        return found
    for one in found:
        one.close()
    raise OSError("what came out of the sandbox is no listening socket")


def _listens(found: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(listens) and (found.family, found.type) == (socket.AF_INET, socket.SOCK_STREAM)
    return False
