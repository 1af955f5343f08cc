"""The scripted model server: plays a script to coding CLIs over loopback, and keeps what they asked."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

from codeswarm.testing.model_server.http import HttpConnection, Incoming, PeerGone, Unreadable
from codeswarm.testing.model_server.reply import Refuse
from codeswarm.testing.model_server.request import Request
from codeswarm.testing.model_server.response import Delay, Drop, Hang, Head, Response, Step, WireFormat, respond
from codeswarm.testing.model_server.routing import counted, probed, read, route
from codeswarm.testing.model_server.script import Answer, ScriptEnded, resolve

Cli = Literal["claude", "codex", "gemini"]
_KEY = "scripted-model-server"
_JSON = ("content-type", "application/json")


class ModelServer:
    """Speaks Anthropic Messages, OpenAI Responses and Chat Completions, and Gemini on 127.0.0.1, as `script` says.

    Use it as an async context manager. An exception in the script is answered with a 500, kept in `errors`, and
    raised at the end of the `async with` as an ExceptionGroup; where the test failed before, it becomes a note of
    that failure. Clear `errors` where a test expects them.
    """

    def __init__(
        self,
        script: Answer,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        body_max_bytes: int = 64 << 20,
    ) -> None:
        """`port` 0: any free one. `sleep` is what slow streams wait with. Raises: ValueError, for other hosts."""
        if not _is_loopback(host):
            raise ValueError(f"a scripted model server listens on loopback only, not on {host}")
        self.requests: list[Request] = []
        self.probes: list[str] = []
        """Whatever else was asked, as "METHOD PATH"."""
        self.errors: list[Exception] = []
        self.hangs = 0
        """How many requests hang at this moment."""
        self._script, self._host, self._port = script, host, port
        self._sleep, self._body_max_bytes = sleep, body_max_bytes
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()
        self._changed = asyncio.Event()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._connected, self._host, self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every connection, hanging or not. Idempotent; raises nothing."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._tell()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, type_: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
        report(self.errors, error)

    # ── for the test ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    def environment(self, cli: Cli) -> dict[str, str]:
        """What points `cli` here, with a key that opens nothing. Codex and Gemini CLI need settings beside it."""
        match cli:
            case "claude":
                return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": _KEY}
            case "codex":
                return {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": _KEY, "CODEX_API_KEY": _KEY}
            case "gemini":
                return {"GOOGLE_GEMINI_BASE_URL": self.url, "GEMINI_API_KEY": _KEY}

    async def arrived(self, number: int = 1) -> Request:
        """Wait for the `number`th request (1 is the first); it may still be unanswered."""
        await self.until(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    async def hanging(self, count: int = 1) -> None:
        """Wait until at least `count` requests hang at this moment."""
        await self.until(lambda: self.hangs >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at whenever a request arrives, hangs or is let go.

        Raises: ConnectionError, where the server is closed before.
        """
        while not condition():
            if self._listener is None:
                raise ConnectionError("the server was closed while something was waited for")
            await self._changed.wait()

    def release(self) -> None:
        """Let everything go on that hangs now. What hangs later waits for the next release."""
        self._released.set()
        self._released = asyncio.Event()

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = HttpConnection(reader, writer, self._body_max_bytes)
        if self._listener is None:
            connection.abort()
            return
        task = asyncio.create_task(self._serve(connection))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # A task that is cancelled before its first step never gets to close anything.
        task.add_done_callback(lambda _: connection.abort())

    async def _serve(self, connection: HttpConnection) -> None:
        try:
            await self._converse(connection)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except ConnectionError:
            return  # Clients may leave at any time; a script may send them away.
        except Exception as error:  # noqa: BLE001 - a task's error would be lost; here the test gets to see it
            self.errors.append(error)
        finally:
            await connection.close()

    async def _converse(self, connection: HttpConnection) -> None:
        try:
            while (incoming := await connection.next()) is not None:
                await self._answer(connection, incoming)
        except Unreadable as refusal:
            body = json.dumps({"error": {"message": str(refusal)}}).encode()
            await connection.answer(refusal.status, (_JSON, ("connection", "close")), body)

    async def _answer(self, connection: HttpConnection, incoming: Incoming) -> None:
        routed = route(incoming)
        if routed is None:
            await self._answer_probe(connection, incoming)
            return
        wire, purpose = routed
        try:
            request = read(incoming, wire, purpose, len(self.requests) + 1)
        except ValueError as error:
            raise Unreadable(400, f"the body can't be read: {error}") from error
        self.requests.append(request)
        self._tell()
        if purpose == "count":
            body = json.dumps(wire.count(counted(request))).encode()
            await connection.answer(200, (_JSON,), body)
        else:
            await self._play(connection, await self._response(wire, request))

    async def _answer_probe(self, connection: HttpConnection, incoming: Incoming) -> None:
        self.probes.append(f"{incoming.method} {incoming.target}")
        status, found = probed(incoming)
        body = b"" if incoming.method == "HEAD" else json.dumps(found).encode()
        await connection.answer(status, (_JSON,), body)

    async def _response(self, wire: WireFormat, request: Request) -> Response:
        try:
            reply = await resolve(self._script, request)
            if reply is None:
                raise ScriptEnded(f"no rule of the script fits request {request.number}")  # noqa: TRY301 - one way out
            return respond(wire, request, reply)
        except Exception as error:  # noqa: BLE001 - the script is a test's own; a CLI must never wait for its mistakes
            self.errors.append(error)
            return wire.refuse(request, Refuse(500, f"the script failed: {type(error).__name__}: {error}"))

    # ── playing ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _play(self, connection: HttpConnection, response: Response) -> None:
        for step in response:
            await self._step(connection, step)
        await connection.end()

    async def _step(self, connection: HttpConnection, step: Step) -> None:
        match step:
            case Head(status, headers, length):
                await connection.begin(status, headers, length)
            case Hang():
                await self._hang(connection)
            case Drop():
                connection.abort()
                raise PeerGone("the connection was dropped, as the script says")
            case Delay(seconds):
                await self._sleep(seconds)
            case _:
                await connection.send(step)

    async def _hang(self, connection: HttpConnection) -> None:
        """Until released or left alone. Raises: PeerGone."""
        released = asyncio.ensure_future(self._released.wait())
        gone = asyncio.ensure_future(connection.gone())
        self.hangs += 1
        self._tell()
        try:
            await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not released.done():
                raise PeerGone("the client left while it was kept waiting")
        finally:
            self.hangs -= 1
            self._tell()
            released.cancel()
            gone.cancel()
            await asyncio.gather(released, gone, return_exceptions=True)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def report(errors: list[Exception], failed_with: BaseException | None) -> None:
    """Raise what went wrong in a script, or add it to the failure that is under way already."""
    if not errors:
        return
    if failed_with is None:
        raise ExceptionGroup("the script of the model server failed", errors)
    for error in errors:
        failed_with.add_note(f"The script of the model server failed: {type(error).__name__}: {error}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
