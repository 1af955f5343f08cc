"""A response as a list of steps, faults included. The wires and the faults write it, the server plays it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from codeswarm.testing.model_server import faults
from codeswarm.testing.model_server.faults import Refusal
from codeswarm.testing.model_server.reply import Refuse, Turn, as_turn
from codeswarm.testing.model_server.request import Conversation, Json, Request, Wire
from codeswarm.testing.model_server.script import Reply
from codeswarm.testing.model_server.tools import with_real_tools

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Hang:
    """Wait until the server is told to release."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection; nothing follows."""


@dataclass(frozen=True, slots=True)
class Delay:
    seconds: float


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers. `length` None: the body is chunked."""

    status: int
    headers: Headers
    length: int | None = None


Step = Head | bytes | Hang | Drop | Delay
Response = tuple[Step, ...]


class WireFormat(Protocol):
    """How one API words requests, answers and errors."""

    name: Wire

    def read(self, path: str, raw: Json) -> Conversation:
        """What the request says. A malformed one reads as an empty conversation; it never raises."""
        ...

    def events(self, request: Request, turn: Turn) -> list[bytes]:
        """The server-sent events of an answer, the terminal one last; at least one."""
        ...

    def whole(self, request: Request, turn: Turn) -> Any:
        """The JSON of an answer that is not streamed."""
        ...

    def error_event(self) -> bytes:
        """The event that breaks off an answer."""
        ...

    def refuse(self, request: Request, refusal: Refusal | Refuse) -> Response: ...

    def count(self, tokens: int) -> Json:
        """The answer to a request to count the prompt's tokens."""
        ...


def whole(status: int, body: Any, headers: Iterable[tuple[str, str]] = ()) -> Response:
    data = json.dumps(body).encode()
    return Head(status, (("content-type", "application/json"), *headers), len(data)), data


def stream(steps: Sequence[Step]) -> Response:
    headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
    return Head(200, headers), *steps


def respond(wire: WireFormat, request: Request, reply: Reply) -> Response:
    """The steps of `reply` on its wire. Raises: NoToolFits."""
    if isinstance(reply, Refuse | Refusal):
        return wire.refuse(request, reply)
    match reply:
        case faults.DropBeforeHeaders():
            return (Drop(),)
        case faults.Raw(status, headers, body, cut):
            return Head(status, headers), *body, *((Drop(),) if cut else ())
        case faults.HangBeforeHeaders(turn):
            return Hang(), *_spoken(wire, request, as_turn(turn))
        case faults.SlowStream(delay_s, turn):
            return _slowed(_spoken(wire, request, as_turn(turn)), delay_s)
        case faults.HangInStream(after, turn):
            before, rest = _cut(_spoken(wire, request, as_turn(turn)), after)
            return *before, Hang(), *rest
        case faults.DropInStream(after, turn):
            before, _ = _cut(_spoken(wire, request, as_turn(turn)), after)
            return *before, Drop()
        case faults.ErrorInStream() | faults.GarbageInStream():
            return _spoiled(wire, request, reply)
        case _:
            return _spoken(wire, request, as_turn(reply))


def _spoken(wire: WireFormat, request: Request, turn: Turn) -> Response:
    real = with_real_tools(turn, request)
    return stream(wire.events(request, real)) if request.stream else whole(200, wire.whole(request, real))


def _cut(response: Response, after_events: int) -> tuple[Response, Response]:
    """Head and first events, and the rest: at least the last event, so that what is cut is never complete."""
    at = 1 + max(0, min(after_events, len(response) - 2))
    return response[:at], response[at:]


def _slowed(response: Response, delay_s: float) -> Response:
    head, *body = response
    return head, *(step for event in body for step in (Delay(delay_s), event))


_GARBAGE = (b"data: {this is no JSON\n\n", b"event: nothing\ndata: \xff\xfe\x00\n\n", b"neither: here nor there\n\n")


def _spoiled(wire: WireFormat, request: Request, reply: faults.ErrorInStream | faults.GarbageInStream) -> Response:
    before, _ = _cut(_spoken(wire, request, as_turn(reply.turn)), reply.after_events)
    match reply:
        case faults.ErrorInStream() if request.stream:
            return *before, wire.error_event()
        case faults.ErrorInStream():
            return wire.refuse(request, faults.ServerError())
        case faults.GarbageInStream() if request.stream:
            return *before, *_GARBAGE
        case faults.GarbageInStream():
            return Head(200, (("content-type", "application/json"),), len(_GARBAGE[0])), _GARBAGE[0]
        case _:
            assert_never(reply)


def event(name: str, data: Json) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def pieces(text: str, size: int = 40) -> list[str]:
    """`text` cut into what single events carry; one empty piece for no text, as an event must be there."""
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]
