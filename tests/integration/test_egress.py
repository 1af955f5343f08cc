"""The proxy over real sockets: what it forwards, what it refuses, and its bounds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from codeswarm.egress.base import Limits
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.outside import Web, echo, host, way
from tests.unit.egress.test_heads import MISLED, SMUGGLED, TUNNELLED


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def test_a_tunnel_carries_bytes_both_ways_until_both_sides_end() -> None:
    async with (
        host(echo) as port,
        way([f"host.example:{port}"], {"host.example": ["127.0.0.1"]}) as out,
        out.line() as (reader, writer),
    ):
        # The first bytes come in one piece with the request, as eager clients send them.
        writer.write(f"CONNECT host.example:{port} HTTP/1.1\r\nHost: host.example:{port}\r\n\r\nearly ".encode())
        assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        data = bytes(range(256)) * 4000
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == b"early " + data
    assert out.denied == []
    assert min(out.proxy.meter.out, out.proxy.meter.back) >= len(data)


async def test_a_request_is_forwarded_without_what_concerns_the_connection() -> None:
    web = Web()
    async with host(web) as port, way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as out:
        answer = await out.ask(
            f"POST http://web.example:{port}/a?b=%20 HTTP/1.1\r\nHost: web.example:{port}\r\nX-Kept: yes\r\n"
            "Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nConnection: close, X-Dropped\r\n"
            "X-Dropped: yes\r\nTE: trailers\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nbody".encode()
        )
    assert (status(answer), answer.endswith(b"hello")) == (200, True)
    [asked] = web.asked
    lowered = asked.lower()
    assert asked.startswith(b"POST /a?b=%20 HTTP/1.1\r\n")
    assert f"host: web.example:{port}\r\n".encode() in lowered
    assert b"x-kept: yes" in lowered
    assert not any(word in lowered for word in (b"proxy-", b"x-dropped", b"te:", b"upgrade"))
    assert web.bodies == [b"body"]


async def test_requests_of_one_connection_share_one_outside_and_pipelined_ones_are_served_in_order() -> None:
    web = Web()
    async with host(web) as port, way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as out:
        one = f"GET http://web.example:{port}/%d HTTP/1.1\r\nHost: web.example:{port}\r\n\r\n"
        last = f"GET http://web.example:{port}/3 HTTP/1.1\r\nHost: web.example:{port}\r\nConnection: close\r\n\r\n"
        answer = await out.ask((one % 1 + one % 2 + last).encode())
    assert answer.count(b"HTTP/1.1 200") == 3
    assert [head.split(b" ")[1] for head in web.asked] == [b"/1", b"/2", b"/3"]
    assert web.connections == 1


async def test_chunked_bodies_go_through_and_are_chunked_anew() -> None:
    web = Web()
    async with host(web) as port, way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as out:
        answer = await out.ask(
            f"POST http://web.example:{port}/ HTTP/1.1\r\nHost: web.example:{port}\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: no\r\n\r\n".encode()
        )
    assert status(answer) == 200
    assert web.bodies == [b"abcde"]
    assert b"x-trailer" not in web.asked[0].lower()


@pytest.mark.parametrize(
    ("head", "body", "shown"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"until the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"old", b"old"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok", b"ok"),
    ],
)
async def test_answers_of_every_framing_arrive_whole(head: bytes, body: bytes, shown: bytes) -> None:
    async with host(Web(body, head)) as port, way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as out:
        answer = await out.ask(f"GET http://web.example:{port}/ HTTP/1.0\r\nHost: web.example:{port}\r\n\r\n".encode())
    assert status(answer) in (200, 204)
    assert answer.partition(b"\r\n\r\n")[2] == shown


@pytest.mark.parametrize(
    "answer",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 600_000 + b"\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_not_passed_on(answer: bytes) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with host(broken) as port, way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as out:
        found = await out.ask(f"GET http://web.example:{port}/ HTTP/1.1\r\nHost: web.example:{port}\r\n\r\n".encode())
    assert status(found) == 502


async def test_an_answer_that_is_cut_off_looks_cut_off() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async with (
        host(cut) as port,
        way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as out,
        out.line() as (reader, writer),
    ):
        writer.write(f"GET http://web.example:{port}/ HTTP/1.1\r\nHost: web.example:{port}\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            while await reader.read(1000):
                pass


# ── refusals ──


async def test_a_host_that_is_not_listed_is_refused_with_three_lines_and_told_once() -> None:
    async with way(["good.example"]) as out:
        for _ in range(3):
            answer = await out.ask(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")
        await out.ask(b"GET http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        await out.ask(b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n")
    assert status(answer) == 403
    assert b"Proxy-Status: codeswarm; error=http_request_denied" in answer
    assert answer.partition(b"\r\n\r\n")[2].decode().splitlines() == [
        "codeswarm: forbidden: evil.example:443",
        "it is not on the list of hosts that may be reached",
        'codeswarm config show   # and in your own file: sandbox.network = [..., "evil.example"]',
    ]
    assert [denied.host for denied in out.denied] == ["evil.example:443", "evil.example:80", "169.254.169.254:80"]


async def test_only_so_many_hosts_are_told_of() -> None:
    async with way([], limits=replace(Limits(), denials=3)) as out:
        for number in range(10):
            await out.ask(f"CONNECT h{number}.example:443 HTTP/1.1\r\n\r\n".replace("/1.1", "/1.0").encode())
    assert len(out.denied) == 3


@pytest.mark.parametrize("raw", [*SMUGGLED.values(), *MISLED.values(), *TUNNELLED.values()],
                         ids=[*SMUGGLED, *MISLED, *(f"tunnel: {name}" for name in TUNNELLED)])  # fmt: skip
async def test_nothing_ambiguous_reaches_a_host(raw: bytes) -> None:
    """The hosts that are named are listed and would answer: still nobody is asked."""
    web = Web()
    listed = ["example.com", "evil.example", "127.0.0.1", "127.0.0.1:81"]
    async with host(web), way(listed) as out, out.line() as (reader, writer):
        writer.write(raw)
        writer.write_eof()
        answer = await reader.read()
    assert status(answer) in (400, 403, 501)
    assert web.asked == []


async def test_a_name_is_resolved_once_and_that_address_is_dialled() -> None:
    """Who answers the first question well and the second one with loopback gets nothing."""
    asked = []
    web = Web()
    async with host(web) as port, way([f"*.test.example:{port}"], {}) as out:

        async def rebinding(name: str, port: int) -> list[str]:
            asked.append(name)
            return ["127.0.0.1"] if len(asked) > 1 else ["203.0.113.1", "127.0.0.1"]

        out.proxy._dialler._resolving = rebinding
        answer = await out.ask(
            f"GET http://re.test.example:{port}/ HTTP/1.1\r\nHost: re.test.example:{port}\r\n\r\n".encode()
        )
    assert (status(answer), asked, web.asked) == (403, ["re.test.example"], [])
    assert b"destination_ip_prohibited" in answer
    assert "private network" in out.denied[0].why


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"])
async def test_a_wildcard_leads_into_no_private_network(address: str) -> None:
    async with way(["*"], {"inner.example": [address]}) as out:
        answer = await out.ask(b"CONNECT inner.example:443 HTTP/1.1\r\nHost: inner.example\r\n\r\n")
    assert status(answer) == 403
    assert [denied.host for denied in out.denied] == ["inner.example:443"]


async def test_a_shipped_name_leads_into_no_private_network_until_the_person_lists_it() -> None:
    names = {"pypi.org": ["127.0.0.1"]}
    async with way([], names, shipped=["pypi.org"]) as out:
        assert status(await out.ask(b"CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org\r\n\r\n")) == 403


async def test_a_host_that_does_not_answer_is_told_as_such() -> None:
    async with way(["127.0.0.1:1", "gone.example"]) as out:
        assert status(await out.ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")) == 502
        answer = await out.ask(b"CONNECT gone.example:443 HTTP/1.1\r\nHost: gone.example\r\n\r\n")
    assert (status(answer), b"dns_error" in answer, out.denied) == (502, True, [])


# ── bounds ──


async def test_a_head_that_trickles_in_is_given_up() -> None:
    clock = VirtualClock()
    async with way(clock=clock) as out, out.line() as (_, writer):
        with pytest.raises(ConnectionError):
            for byte in b"GET http://example.com/ HTTP/1.1":
                writer.write(bytes([byte]))
                await writer.drain()
                await settle()
                await clock.advance(5)
    assert 30 <= clock.monotonic() <= 70


async def test_an_idle_tunnel_is_given_up_and_one_with_traffic_is_not() -> None:
    clock = VirtualClock()
    limits = replace(Limits(), idle_s=100.0, total_s=1000.0)
    async with (
        host(echo) as port,
        way([f"127.0.0.1:{port}"], clock=clock, limits=limits) as out,
        out.line() as (reader, writer),
    ):
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(5):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await clock.advance(90)
        await clock.advance(20)
        assert await _ended(reader)


async def test_no_connection_outlives_its_time() -> None:
    clock = VirtualClock()
    limits = replace(Limits(), idle_s=100.0, total_s=250.0)
    async with (
        host(echo) as port,
        way([f"127.0.0.1:{port}"], clock=clock, limits=limits) as out,
        out.line() as (reader, writer),
    ):
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(3):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await clock.advance(84)
        assert await _ended(reader)


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_head_that_never_ends_is_refused_by_its_size() -> None:
    async with way() as out:
        answer = await out.ask(b"GET http://example.com/ HTTP/1.1\r\nX: " + b"a" * 70_000)
    assert status(answer) == 431


async def test_more_than_so_many_bytes_end_the_tunnel_and_are_told() -> None:
    limits = replace(Limits(), bytes_out=100_000)
    async with host(echo) as port, way([f"127.0.0.1:{port}"], limits=limits) as out, out.line() as (reader, writer):
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x" * 200_000)
        with pytest.raises(ConnectionResetError):
            while await reader.read(1 << 16):
                pass
    assert [denied.why for denied in out.denied] == ["the attempt has sent more than 100000 bytes"]


async def test_more_connections_than_allowed_are_turned_away() -> None:
    limits = replace(Limits(), connections=2)
    async with way(limits=limits) as out, out.line() as (_, one), out.line() as (_, two):
        for writer in (one, two):
            writer.write(b"GET")
            await writer.drain()
        while out.proxy._open < 2:
            await asyncio.sleep(0)
        assert status(await out.ask(b"")) == 503


async def test_a_sender_waits_for_a_receiver_that_does_not_read() -> None:
    """Memory stays bounded: what nobody takes is not taken from whoever sends it."""
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await release.wait()

    async with host(slow) as port, way([f"127.0.0.1:{port}"]) as out, out.line() as (reader, writer):
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x" * (64 << 20))
        carried = -1
        while carried != out.proxy.meter.out:
            carried = out.proxy.meter.out
            await settle(2000)
        assert carried < 32 << 20
        release.set()
        writer.transport.abort()
