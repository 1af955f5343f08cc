"""Mutated requests, by a fixed seed: none crashes the proxy, and none brings a host what is not a request to it."""

from __future__ import annotations

import asyncio
import random
import re

import pytest

from codeswarm.egress.base import Endpoint
from codeswarm.egress.heads import END, forward_target, read_head, tunnel_target
from codeswarm.egress.refusals import Refused
from codeswarm.testing.clock import settle
from tests.support.outside import Web, host, way
from tests.unit.egress.test_heads import MISLED, SMUGGLED, TUNNELLED

SEED, HEADS, REQUESTS = 20_261_121, 60_000, 1_500
SECRET = "sk-canary-0123456789"
DICTIONARY = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"@", b"//", b"\\", b"%0d%0a", b"%00", b"#", b"?", b"[", b"]",
    b"::1", b"127.0.0.1", b"0x7f.1", b"Host: evil.example\r\n", b"Content-Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 99999\r\n", b"Connection: host\r\n", b"HTTP/1.0",
    b"HTTP/1.1", b"CONNECT ", b"GET ", b"http://", b"http://evil.example/", b"evil.example", b"\xe3\x80\x82", b"\xff",
    b"0\r\n\r\n", b"GET http://evil.example/ HTTP/1.1",
)  # fmt: skip


def good(port: int) -> list[bytes]:
    name = f"good.example:{port}".encode()
    return [
        b"GET http://%b/a HTTP/1.1\r\nHost: %b\r\nX: y\r\n\r\n" % (name, name),
        b"POST http://%b/b?c=d HTTP/1.1\r\nHost: %b\r\nContent-Length: 4\r\n\r\nbody" % (name, name),
        b"POST http://%b/e HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % (name, name)
        + b"4\r\nbody\r\n0\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: dummy\r\nContent-Length: 2\r\n\r\n{}",
    ]  # fmt: skip


HOSTILE = [*SMUGGLED.values(), *MISLED.values(), *TUNNELLED.values()]


def drawn(chance: random.Random, good: list[bytes]) -> bytes:
    return mutated(chance, chance.choice(chance.choice((good, HOSTILE))))


def mutated(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, upto = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        upto = min(upto, at + chance.choice((1, 2, 8, 500)))
        match chance.randrange(12):
            case 0 | 6 | 7 | 8:
                data = data[:at] + chance.choice(DICTIONARY) + data[at:]
            case 1:
                data = data[:at] + data[upto:]
            case 2:
                data = data[:upto] + data[at:upto] + data[upto:]
            case 3 | 9 | 10:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 4:
                data = data[:at].swapcase() + data[at:]
            case _:
                data = data[:at]
        data = data[:2000]
    return data


def test_a_head_is_read_or_refused() -> None:
    chance = random.Random(SEED)
    found, read = good(80), 0
    for _ in range(HEADS):
        raw = drawn(chance, found).partition(END)[0] + END
        for look in (forward_target, tunnel_target):
            try:
                target = look(read_head(raw))
                read += 1
            except Refused:
                continue
            host_field = read_head(raw).of(b"host")
            name = (target if look is tunnel_target else target[0]).host  # type: ignore[union-attr, index]
            assert host_field is None or host_field.lower().decode("latin-1").startswith((name, f"[{name}"))
    assert read > HEADS / 50, "the mutations leave something to be read"


@pytest.mark.timeout(120)
async def test_no_mutation_crashes_the_proxy_or_reaches_what_is_not_listed() -> None:
    """Whatever arrives at the one listed host is a whole request of HTTP/1.1 in that host's name."""
    chance = random.Random(SEED)
    web, evil = Web(), Web()
    broken: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    async with (
        host(web) as port,
        host(evil) as other,
        way(
            [f"good.example:{port}"],
            {"good.example": ["127.0.0.1"], "evil.example": ["127.0.0.1"]},
            endpoints=[Endpoint(f"http://127.0.0.1:{port}", "x-api-key", SECRET)],
        ) as out,
    ):
        found = [*good(port), f"CONNECT evil.example:{other} HTTP/1.1\r\nHost: evil.example:{other}\r\n\r\n".encode()]
        answers: dict[int, int] = {}
        for _ in range(REQUESTS):
            to = chance.choice((out.port, *out.endpoint_ports))
            async with out.line(to) as (reader, writer):
                try:
                    writer.write(drawn(chance, found))
                    answering = asyncio.ensure_future(reader.read(1 << 16))
                    await settle(40)
                    if not answering.done():
                        writer.write_eof()  # whoever has asked for nothing whole says nothing more
                    answer = await answering
                except ConnectionError:
                    answer = b""
            status = int(answer[9:12]) if re.match(rb"HTTP/1\.[01] \d{3} ", answer) else 0
            answers[status] = answers.get(status, 0) + 1
        while out.proxy._open:  # each ends by itself
            await asyncio.sleep(0)
    assert broken == []
    assert evil.asked == []
    for asked in web.asked:
        lines = asked.removesuffix(b"\r\n\r\n").split(b"\r\n")
        names = [line.partition(b":")[0].lower() for line in lines[1:]]
        assert re.fullmatch(rb"[!-~]+ /[!-~]* HTTP/1\.1", lines[0]), asked
        assert names.count(b"host") == 1, asked
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1, asked
    assert set(answers) <= {0, 200, 400, 403, 405, 431, 501, 502}
    assert answers.get(200, 0) > 20, answers
    assert answers.get(400, 0) > 100, answers
