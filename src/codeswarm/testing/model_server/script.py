"""Scripts decide what the model says. A script is a function of the request; here are the usual ways to make one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from codeswarm.testing.model_server.faults import Fault
from codeswarm.testing.model_server.reply import Part, Refuse, Say, Turn
from codeswarm.testing.model_server.request import Request

Reply = Turn | Part | Refuse | Fault
Script = Callable[[Request], Reply | Awaitable[Reply | None] | None]
"""None means "not mine": `rules` asks the next one. It may be async; it may raise, which a test always gets to see."""
Answer = Reply | Script
"""Wherever a reply is asked for, a script that finds one will do."""
Condition = str | Callable[[Request], bool]
"""Text that the request must mention, or a function of the request."""

_SIDE = Say("ok")


class ScriptEnded(LookupError):
    """The CLI asked more often than the script has answers."""


async def resolve(answer: Answer | None, request: Request) -> Reply | None:
    """The reply to `request`; None where the script has none. Raises: whatever the script raises."""
    if not callable(answer):
        return answer
    found = answer(request)
    return await found if inspect.isawaitable(found) else found


def sequence(answers: Iterable[Answer], *, then: Answer | None = None, side: Answer = _SIDE) -> Script:
    """One answer per request, in the order in which they arrive; afterwards `then`.

    For one conversation at a time. Every request moves it on, a CLI's repeat after a fault too. Side calls don't:
    they get `side`. Raises: ScriptEnded, where there is no `then`.
    """
    rest = iter(answers)

    async def script(request: Request) -> Reply | None:
        if request.is_side_call:
            return await resolve(side, request)
        answer = next(rest, then)
        if answer is None:
            raise ScriptEnded(f"the sequence has no answer for request {request.number}: {_quote(request)}")
        return await resolve(answer, request)

    return script


def conversation(answers: Iterable[Answer], *, then: Answer | None = None, side: Answer = _SIDE) -> Script:
    """One answer per turn of the model, by how many there were in the conversation already; afterwards `then`.

    It holds no state: many conversations may run at a time, and a repeat gets the same answer again, faults too
    (put a `sequence` in that place where the repeat shall succeed). Side calls get `side`. Raises: ScriptEnded.
    """
    listed = tuple(answers)

    async def script(request: Request) -> Reply | None:
        if request.is_side_call:
            return await resolve(side, request)
        answer = listed[request.turns] if request.turns < len(listed) else then
        if answer is None:
            raise ScriptEnded(f"the conversation has {len(listed)} answers, none for turn {request.turns + 1}")
        return await resolve(answer, request)

    return script


def when(condition: Condition, answer: Answer) -> Script:
    """`answer` where the condition holds, else None, so that `rules` goes on to the next."""

    async def script(request: Request) -> Reply | None:
        holds = request.mentions(condition) if isinstance(condition, str) else condition(request)
        return await resolve(answer, request) if holds else None

    return script


def rules(*answers: Answer) -> Script:
    """The first of `answers` that has a reply: `rules(when("ticket 1", …), when(…), Say("anything else"))`."""

    async def script(request: Request) -> Reply | None:
        for answer in answers:
            if (reply := await resolve(answer, request)) is not None:
                return reply
        return None

    return script


def _quote(request: Request) -> str:
    return repr(request.last_user_text[:200])
