"""The scripted model server for tests that are not async: it runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from codeswarm.testing.model_server.request import Request
from codeswarm.testing.model_server.script import Answer
from codeswarm.testing.model_server.server import Cli, ModelServer, report

T = TypeVar("T")


class ThreadedModelServer:
    """A handle to a `ModelServer` in another thread; every wait has an end."""

    def __init__(self, server: ModelServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def requests(self) -> list[Request]:
        """A copy: what arrives later is not in it."""
        return list(self._server.requests)

    @property
    def probes(self) -> list[str]:
        return list(self._server.probes)

    @property
    def errors(self) -> list[Exception]:
        """The list itself, so that a test may clear it."""
        return self._server.errors

    def environment(self, cli: Cli) -> dict[str, str]:
        return self._server.environment(cli)

    def arrived(self, number: int = 1, *, timeout_s: float = 60) -> Request:
        """As `ModelServer.arrived`. Raises: TimeoutError, too."""
        return self._wait(self._server.arrived(number), timeout_s)

    def hanging(self, count: int = 1, *, timeout_s: float = 60) -> None:
        """As `ModelServer.hanging`. Raises: TimeoutError, too."""
        self._wait(self._server.hanging(count), timeout_s)

    def until(self, condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
        """As `ModelServer.until`; `condition` runs in the server's thread. Raises: TimeoutError, too."""
        self._wait(self._server.until(condition), timeout_s)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._server.release)

    def _wait(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout_s), self._loop).result()


@contextmanager
def running_model_server(
    script: Answer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    body_max_bytes: int = 64 << 20,
) -> Iterator[ThreadedModelServer]:
    """A `ModelServer` in a thread, closed at the end. Errors of the script are raised then, as there.

    The script runs in that thread: it must not wait for the test.
    """
    server = ModelServer(script, host=host, port=port, sleep=sleep, body_max_bytes=body_max_bytes)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="model-server")
    thread.start()
    failed_with: BaseException | None = None
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        yield ThreadedModelServer(server, loop)
    except BaseException as error:
        failed_with = error
        raise
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        report(server.errors, failed_with)
