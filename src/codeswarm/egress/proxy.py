"""The proxy of one attempt: reads what is asked for, judges it, and carries it out.

It runs outside of the sandbox, in the worker; what it listens on stands inside. Everything that comes from there is
hostile: it is bounded in time, in bytes and in memory, and nothing in it is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import h11

from codeswarm.clock import Clock, within
from codeswarm.egress.addresses import PRIVATE, Dialler, special
from codeswarm.egress.base import Denied, Limits
from codeswarm.egress.endpoints import Route, Upstream, host_field
from codeswarm.egress.exchange import MAX_HEAD, Side, exchange, passed_on
from codeswarm.egress.heads import END, Head, forward_target, harmless, read_head, tunnel_target
from codeswarm.egress.hosts import WEB_PORTS, AllowList, Pattern, Target
from codeswarm.egress.patience import timely
from codeswarm.egress.refusals import (
    BAD_REQUEST,
    BUSY,
    LIST,
    NOT_LISTED,
    NOT_ON_THE_LIST,
    TOO_LARGE,
    UNREACHABLE,
    Refused,
    answer,
    to_list,
)
from codeswarm.egress.traffic import Deadline, Meter, Stream
from codeswarm.egress.tunnel import tunnel

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
LINGER_S, LINGER_BYTES = 2.0, 1 << 20
"""How long, and for how much, an answer waits for a request that is refused to end."""
DEFAULT = Limits()
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(slots=True)
class Outside:
    """A connection that may be used again for the same host."""

    side: Side
    target: Target
    tls: bool

    def fits(self, route: Route) -> bool:
        fresh = not self.side.stream.reader.at_eof() and self.side.http.trailing_data == (b"", False)
        return fresh and (self.target, self.tls) == (route.target, route.tls)


class Proxy:
    def __init__(
        self,
        allowed: AllowList,
        dialler: Dialler,
        clock: Clock,
        denied: Callable[[Denied], None],
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        limits: Limits = DEFAULT,
        setting: str = LIST,
    ) -> None:
        """`denied` is told of each host once, and of no more than `limits.denials`. `setting`: which one lists
        hosts.
        """
        self.setting = setting
        self.endpoints: dict[int, Upstream] = {}
        """By the port on which each is reached inside."""
        self.allowed = allowed
        self._dialler = dialler
        self.clock = clock
        self._denied = denied
        self._trust = trust
        self.limits = limits
        self.meter = Meter(limits)
        self._open = 0
        self._told: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """One connection, from its first byte to its end. `port`: on which it came in."""
        stream = Stream(reader, writer)
        self._open += 1
        try:
            if self._open > self.limits.connections:
                refused = Refused(BUSY, f"more than {self.limits.connections} connections at once")
                await stream.write(answer(refused, self.setting))
            else:
                await self._under_deadline(stream, port)
        finally:
            self._open -= 1
            await stream.close(self.clock)

    async def _under_deadline(self, stream: Stream, port: int) -> None:
        deadline = Deadline(self.clock, self.limits)
        talk = _Talk(self, stream, deadline, self.endpoints.get(port))
        talking = asyncio.ensure_future(talk.run())
        try:
            while not talking.done() and (left := deadline.left_s) > 0:
                # Not longer than a head may take: its deadline is a nearer one than that before it.
                await within(self.clock, min(left, self.limits.head_s), talking)
            if not talking.done():
                stream.break_off()
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    # ── judging ──

    def listed(self, target: Target) -> Pattern:
        """Raises: Refused for a host that is not on the list."""
        found = self.allowed.allowing(target)
        if found is None:
            raise not_listed(target)
        return found

    def tell(self, host: str, refused: Refused) -> None:
        host = refused.host or host
        if refused.kind.denied and host not in self._told and len(self._told) < self.limits.denials:
            self._told.add(host)
            self._denied(Denied(host, refused.why, to_list(refused.entry, self.setting)))

    # ── going out ──

    async def open(self, target: Target, listed: Pattern, *, tls: bool) -> Stream:
        """A connection to a host. Raises: Refused."""
        connected = await self._dialler.dial(target, listed)
        context = self._trust() if tls else None
        opening = asyncio.open_connection(
            sock=connected, ssl=context, server_hostname=target.host if tls else None, limit=MAX_HEAD
        )
        try:
            reader, writer = await timely(self.clock, self.limits.connect_s, opening)
        except OSError as error:
            connected.close()
            raise Refused(UNREACHABLE, f"{target} can't be spoken to by TLS: {error}") from error
        return Stream(reader, writer)


class _Talk:
    """One connection from inside."""

    def __init__(self, proxy: Proxy, inside: Stream, deadline: Deadline, upstream: Upstream | None) -> None:
        """`upstream`: the endpoint that this connection is for; None where any host may be asked for."""
        self._proxy = proxy
        self._inside = inside
        self._deadline = deadline
        self._upstream = upstream
        self._outside: Outside | None = None
        self._rest = b""
        """What has been read and not been looked at."""

    async def run(self) -> None:
        asked, method = "", b""
        try:
            while (raw := await self._read_head()) is not None:
                asked, method = _asked_for(raw)
                if not await self._serve(read_head(raw), raw):
                    return
        except Refused as refused:
            self._proxy.tell(asked, refused)
            await self._part(answer(refused, self._proxy.setting, body=method != b"HEAD"))
        finally:
            await self._let_go()

    async def _read_head(self) -> bytes | None:
        """The next request up to its empty line; None where none comes. Raises: Refused."""
        self._deadline.await_head()
        began = False
        while (end := self._rest.find(END)) < 0:
            if len(self._rest) > self._proxy.limits.head_bytes:
                raise Refused(TOO_LARGE, f"the head of a request is longer than {self._proxy.limits.head_bytes} bytes")
            if self._rest and not began:
                began = True
                self._deadline.head_began()
            data = await self._inside.read()
            if not data:
                if self._rest:
                    raise Refused(BAD_REQUEST, "the head of a request ends in the middle")
                return None
            self._rest += data
        self._deadline.head_is_there()
        if end > self._proxy.limits.head_bytes:
            raise Refused(TOO_LARGE, f"the head of a request is longer than {self._proxy.limits.head_bytes} bytes")
        raw, self._rest = self._rest[: end + len(END)], self._rest[end + len(END) :]
        return raw

    async def _serve(self, head: Head, raw: bytes) -> bool:
        """Whether another request may follow. Raises: Refused."""
        if self._upstream is None and head.method == b"CONNECT":
            return await self._connect(head)
        side = Side(self._inside, h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD))
        self._hand_over(side.http, raw)
        route = self._route(head)
        again = await self._exchange(side, route)
        self._rest = side.http.trailing_data[0]
        return again

    def _hand_over(self, http: h11.Connection, raw: bytes) -> None:
        """Let h11 read the head that was found good, and give it what came after it."""
        try:
            http.receive_data(raw)
            event = http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused(BAD_REQUEST, "it is no request of HTTP/1.1") from error
        if not isinstance(event, h11.Request):
            raise Refused(BAD_REQUEST, "it is no request of HTTP/1.1")
        if self._rest:
            http.receive_data(self._rest)
        self._rest = b""

    def _route(self, head: Head) -> Route:
        if self._upstream is not None and head.target.startswith(b"/"):
            return self._upstream.route(head, head.target)
        target, path = forward_target(head)
        if (upstream := self._endpoint_at(target)) is not None:
            return upstream.route(head, path)
        if self._upstream is not None:
            raise Refused(BAD_REQUEST, "this is a model's endpoint, and no proxy")
        listed = self._proxy.listed(target)
        fields = [*passed_on(head.fields, head.hop_by_hop, {b"host"}), (b"host", host_field(target, 80))]
        return Route(target, listed, h11.Request(method=head.method, target=path, headers=fields))

    def _endpoint_at(self, target: Target) -> Upstream | None:
        """Some clients ask their proxy for loopback, too."""
        return self._proxy.endpoints.get(target.port) if target.host in LOOPBACK else None

    async def _exchange(self, side: Side, route: Route) -> bool:
        outside = self._outside
        if outside is None or not outside.fits(route):
            await self._let_go()
            stream = await self._proxy.open(route.target, route.listed, tls=route.tls)
            outside = Outside(
                Side(stream, h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)), route.target, route.tls
            )
            self._outside = outside
        again = await exchange(side, outside.side, route.request, self._proxy.meter, self._deadline, route.secret)
        if again:
            outside.side.http.start_next_cycle()
        return again

    async def _connect(self, head: Head) -> bool:
        target = tunnel_target(head)
        if (upstream := self._endpoint_at(target)) is not None:
            self._upstream = upstream
            return await self._inside.write(ESTABLISHED)
        outside = await self._proxy.open(target, self._proxy.listed(target), tls=False)
        early, self._rest = self._rest, b""
        try:
            if await self._inside.write(ESTABLISHED) and (not early or await outside.write(early)):
                await tunnel(self._inside, outside, self._proxy.meter, self._deadline)
        except Refused as refused:  # at a bound: inside takes no words any more
            self._proxy.tell(str(target), refused)
            self._inside.break_off()
        finally:
            await outside.close(self._proxy.clock)
        return False

    async def _part(self, words: bytes) -> None:
        """Say it, and take what is still on its way: a connection that is closed on unread bytes loses the answer."""
        if not await self._inside.write(words):
            return
        self._inside.finish()
        with contextlib.suppress(OSError):
            await timely(self._proxy.clock, LINGER_S, self._linger())

    async def _linger(self) -> None:
        left = LINGER_BYTES
        while left > 0 and (data := await self._inside.read()):
            left -= len(data)

    async def _let_go(self) -> None:
        outside, self._outside = self._outside, None
        if outside is not None:
            await outside.side.stream.close(self._proxy.clock)


def not_listed(target: Target) -> Refused:
    entry = str(target) if target.port not in WEB_PORTS else str(target).rpartition(":")[0]
    unwanted = target.address is not None and special(target.address) not in (None, PRIVATE)
    return Refused(NOT_LISTED, NOT_ON_THE_LIST, "" if unwanted else entry, str(target))


def _asked_for(raw: bytes) -> tuple[str, bytes]:
    """Host (as far as it can be seen) and method of a request, for the report of a refusal."""
    method, _, rest = raw.partition(b" ")
    target = rest.partition(b" ")[0].decode("latin-1")
    _, scheme, after = target.partition("://")
    authority = (after if scheme else target).partition("/")[0]
    return harmless(authority.rpartition("@")[2]), method
