"""One request and its answer, read and written anew by h11 on both sides: what is ambiguous has no way through.

Raw bytes of the one side never reach the other. What concerns a single connection is not passed on (RFC 9110, 7.6.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import h11

from codeswarm.egress.masking import Mask
from codeswarm.egress.refusals import UNREACHABLE, UPSTREAM_BROKEN, Refused
from codeswarm.egress.traffic import Deadline, Meter, Stream

Fields = list[tuple[bytes, bytes]]
_OURS = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"upgrade",
                   b"proxy-authorization", b"proxy-authenticate", b"proxy-authentication-info"})  # fmt: skip
"""Fields that are about one connection."""
MAX_HEAD = 256 << 10


@dataclass(slots=True)
class Side:
    """A stream and the state of HTTP on it."""

    stream: Stream
    http: h11.Connection

    async def next_event(self, deadline: Deadline) -> h11.Event:
        """Raises: h11.RemoteProtocolError, also where the stream ends in the middle."""
        while True:
            event = self.http.next_event()
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED:
                raise h11.RemoteProtocolError("more than one request at once")
            self.http.receive_data(await self.stream.read())
            deadline.touch()

    @property
    def done(self) -> bool:
        """Whether a request and its answer are through, and another may follow."""
        return self.http.our_state is h11.DONE and self.http.their_state is h11.DONE

    async def send(self, event: h11.Event) -> bool:
        """Whether somebody is still there. Raises: h11.LocalProtocolError for what can't be said now."""
        data = self.http.send(event)
        return await self.stream.write(data) if data else True


def passed_on(fields: Iterable[tuple[bytes, bytes]], hop_by_hop: set[bytes], without: Iterable[bytes] = ()) -> Fields:
    dropped = _OURS | hop_by_hop | {*without}
    return [(name, value) for name, value in fields if name not in dropped]


async def exchange(
    inside: Side, outside: Side, request: h11.Request, meter: Meter, deadline: Deadline, secret: bytes
) -> bool:
    """Carry a request out and its answer in. `inside` has read the request's head; `request` is what goes out.

    `secret` is masked in the answer. Returns whether both connections can be used again. Raises: Refused as long as
    nothing of an answer has gone inside.
    """
    if not await outside.send(request):
        raise Refused(UNREACHABLE, "the host closed the connection")
    sending = asyncio.ensure_future(_send(inside, outside, meter, deadline))
    receiving = asyncio.ensure_future(_receive(inside, outside, meter, deadline, secret))
    try:
        await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done() and not sending.result():
            outside.stream.break_off()
            return False
        return await receiving and all(side.done for side in (inside, outside))
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


async def _send(inside: Side, outside: Side, meter: Meter, deadline: Deadline) -> bool:
    """The request's body; then watch over whether anybody still waits for the answer. False: nobody does.

    A model goes on thinking, and is paid for it, as long as the connection to it stands.
    """
    try:
        while isinstance(event := await inside.next_event(deadline), h11.Data):
            meter.sent(len(event.data))
            if not await outside.send(h11.Data(data=event.data)):
                return True  # the host has heard enough: its answer may be there all the same
        if not isinstance(event, h11.EndOfMessage):
            return False
        await outside.send(h11.EndOfMessage())
    except (h11.ProtocolError, Refused):
        return False
    early = await inside.stream.read()
    if early:
        inside.http.receive_data(early)
    return bool(early)


async def _receive(inside: Side, outside: Side, meter: Meter, deadline: Deadline, secret: bytes) -> bool:
    """The answer. Whether it came whole and was taken."""
    mask = Mask(secret)
    try:
        head = await _answer_head(inside, outside, deadline)
    except h11.ProtocolError as error:
        raise Refused(UPSTREAM_BROKEN, "the host's answer is no HTTP") from error
    try:
        if not await inside.send(_shown(head, mask, secret)):
            return False
        while isinstance(event := await outside.next_event(deadline), h11.Data):
            meter.got(len(event.data))
            shown = mask.feed(bytes(event.data))
            if shown and not await inside.send(h11.Data(data=shown)):
                return False
        if rest := mask.rest():
            await inside.send(h11.Data(data=rest))
        return await inside.send(h11.EndOfMessage())
    except (h11.ProtocolError, Refused):
        inside.stream.break_off()  # a cut answer must not look like a whole one
        return False


async def _answer_head(inside: Side, outside: Side, deadline: Deadline) -> h11.Response:
    while True:
        event = await outside.next_event(deadline)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("no answer")
        if event.status_code == 100 and inside.http.they_are_waiting_for_100_continue:
            await inside.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))


def _shown(head: h11.Response, mask: Mask, secret: bytes) -> h11.Response:
    found = [(name, value) for name, value in head.headers]
    named = b",".join(value for name, value in found if name == b"connection").lower()
    fields = passed_on(found, {word.strip() for word in named.split(b",")} - {b""})
    if secret:
        fields = [(name, value.replace(secret, b"*" * len(secret))) for name, value in fields]
    return h11.Response(status_code=head.status_code, headers=fields, reason=head.reason)
