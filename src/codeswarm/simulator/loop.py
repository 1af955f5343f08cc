"""An event loop in which time passes only when nothing else can happen, and then at once.

Everything in it runs in one thread and in one order, so that a history is the same each time it is played. Work that
goes to threads elsewhere is done on the spot here. It never waits for the machine, and never for ever: a world in which
nothing can move any more, or that goes round without time passing, is an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")
Call = Callable[..., object]

MOST_ROUNDS = 20_000
"""Turns of the loop in one moment of virtual time. No chain of wake-ups is nearly as long."""
MOMENT_S = 1e-9
"""What is due within this time is due at once."""


class Standstill(Exception):
    """Nothing is scheduled and nothing can run, or everything runs and time does not pass."""


class _Turn(list[Any]):
    """A call that is due: callback, arguments, context. A list, since nothing is made more often, nor faster."""

    __slots__ = ()

    def cancel(self) -> None:
        self[0], self[1] = _nothing, ()

    def cancelled(self) -> bool:
        return self[0] is _nothing


def _nothing() -> None:
    """What a cancelled call does."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop without files, signals or threads.

    What it does is what asyncio's own loop does, in that order; how it does it is made for histories, which are nothing
    but turns of this loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._due: deque[_Turn] = deque()
        self._later: list[tuple[float, int, _Turn | asyncio.Future[None]]] = []
        """A heap. Those of one moment are due in the order in which they were asked for."""
        self._asked = 0
        self._context = copy_context()
        # These are asked for with every future and task, so they are answered without a call into Python.
        self.get_debug = bool  # type: ignore[method-assign]
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]

    def time(self) -> float:
        return self.now_s

    # ── what is to be done ──

    def call_soon(self, callback: Call, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        turn = _Turn((callback, args, context or copy_context()))
        self._due.append(turn)
        return turn

    call_soon_threadsafe = call_soon  # type: ignore[assignment]
    """There is one thread, and it never sleeps, so it need not be woken."""

    def call_at(self, when: float, callback: Call, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        turn = _Turn((callback, args, context or copy_context()))
        self._put_off(when, turn)
        return turn

    def call_later(self, delay: float, callback: Call, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def nap(self, seconds: float) -> asyncio.Future[None]:
        """A future that is done after some time. Whoever does not want it any more cancels it."""
        future: asyncio.Future[None] = self.create_future()
        self._put_off(self.now_s + seconds, future)
        return future

    def _put_off(self, when: float, what: _Turn | asyncio.Future[None]) -> None:
        self._asked += 1
        heappush(self._later, (when, self._asked, what))

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Do it now. Its caller still goes on only with a later turn, as with a thread."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is handed on to whoever waits for it
            done.set_exception(error)
        return done

    # ── doing it ──

    def _run_once(self) -> None:
        """Go on until the loop is told to stop. Raises: Standstill."""
        due, later, rounds = self._due, self._later, 0
        while not self._stopping:  # type: ignore[attr-defined]
            rounds = rounds + 1 if due or not self._pass_time() else 0
            if rounds > MOST_ROUNDS:
                raise Standstill(f"{MOST_ROUNDS} turns were taken without any time passing: something spins")
            if later and later[0][0] < self.now_s + MOMENT_S:
                self._take_what_is_due()
            for _ in range(len(due)):
                callback, args, context = due.popleft()
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as in asyncio: the loop goes on, its owner is told
                    self.call_exception_handler({"message": f"{callback} failed", "exception": error})

    def _pass_time(self) -> bool:
        """Go to the next moment in which something is due; whether any time passed."""
        later = self._later
        while later:
            when, _, what = later[0]
            if not _is_off(what):
                break
            heappop(later)
        else:
            raise Standstill("everything waits, and nothing is left that could wake it")
        if when <= self.now_s:
            return False
        self.now_s = when
        return True

    def _take_what_is_due(self) -> None:
        later, end_s = self._later, self.now_s + MOMENT_S
        while later and later[0][0] < end_s:
            what = heappop(later)[2]
            if not _is_off(what):
                self._due.append(what if isinstance(what, _Turn) else self._waking(what))

    def _waking(self, napping: asyncio.Future[None]) -> _Turn:
        return _Turn((_wake, (napping,), self._context))


def _wake(napping: asyncio.Future[None]) -> None:
    if not napping.done():
        napping.set_result(None)


def _is_off(what: _Turn | asyncio.Future[None]) -> bool:
    """Whether nobody waits for it any more. It then takes neither a turn nor time."""
    return what.cancelled()


class LoopClock:
    """A `codeswarm.clock.Clock` on a virtual loop. The wall clock can be set; sleeps do not care."""

    def __init__(self, loop: VirtualLoop, start_ms: int) -> None:
        self._loop = loop
        self.wall_ms = start_ms
        """What the wall clock shows at second 0 of the loop."""

    def now_ms(self) -> int:
        return self.wall_ms + int(self._loop.now_s * 1000)

    def monotonic(self) -> float:
        return self._loop.now_s

    def sleep(self, seconds: float) -> asyncio.Future[None]:
        return self._loop.nap(seconds)


def play(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a loop of its own. What it leaves running is cancelled. Raises: Standstill."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        try:
            _end(loop)
        finally:
            loop.close()


def _end(loop: VirtualLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
