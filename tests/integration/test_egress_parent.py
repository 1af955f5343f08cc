"""Where this machine reaches the world only by a proxy of the person's, agents do, too; by the list all the same."""

from __future__ import annotations

import asyncio

import pytest

from codeswarm.egress.base import Endpoint
from codeswarm.egress.hosts import Target, read_target
from codeswarm.egress.parent import Parent
from tests.support.outside import Web, host, way


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://proxy.corp:3128"}, Parent(Target("proxy.corp", 3128))),
        ({"http_proxy": "proxy.corp:3128"}, Parent(Target("proxy.corp", 3128))),
        ({"ALL_PROXY": "socks5://proxy.corp:1080"}, None),
        ({"HTTPS_PROXY": "https://proxy.corp"}, None),
        ({"HTTPS_PROXY": "http://exa mple"}, None),
        (
            {"HTTPS_PROXY": "http://me:p%40ss@proxy.corp/", "NO_PROXY": " .corp, ,*.lan"},
            Parent(Target("proxy.corp", 80), "Basic bWU6cEBzcw==", (".corp", "*.lan")),
        ),
    ],
)
def test_it_is_the_one_that_other_programs_read(variables: dict[str, str], found: Parent | None) -> None:
    assert Parent.of(variables) == found


@pytest.mark.parametrize(
    ("without", "host", "through"),
    [
        ("", "example.com:443", True),
        ("", "localhost:80", False),
        ("", "127.0.0.2:80", False),
        ("", "[::1]:80", False),
        ("example.com", "example.com:443", False),
        ("example.com", "a.example.com:443", False),
        (".example.com", "example.com:443", False),
        ("example.com", "notexample.com:443", True),
        ("example.com:80", "example.com:443", True),
        ("*", "example.com:443", False),
        ("10.0.0.0/8", "10.1.2.3:443", False),
        ("10.0.0.0/8", "ten.example:443", True),
        ("fd00::/8", "[fd00::1]:443", False),
    ],
)
def test_no_proxy_is_heeded(without: str, host: str, *, through: bool) -> None:
    parent = Parent.of({"HTTPS_PROXY": "http://proxy.corp", "NO_PROXY": without})
    assert parent is not None
    assert parent.is_for(read_target(host)) is through


async def test_a_listed_host_is_reached_by_the_parent_which_resolves_its_name() -> None:
    """The parent is a proxy of our own kind; the name is known to it alone."""
    web = Web()
    async with host(web) as port, way([f"web.example:{port}"], {"web.example": ["127.0.0.1"]}) as above:
        # As `proxy.corp`: nothing is led to loopback by a parent.
        parent = Parent(Target("proxy.corp", above.port))
        names = {"proxy.corp": ["127.0.0.1"]}
        key = Endpoint(f"http://web.example:{port}", "x-api-key", "sk-canary-0123456789")
        async with way([f"web.example:{port}"], names, parent=parent, endpoints=[key]) as out:
            asked = f"GET http://web.example:{port}/ HTTP/1.0\r\nHost: web.example:{port}\r\n\r\n".encode()
            assert (await out.ask(asked)).endswith(b"hello")
            assert (await out.ask(b"GET / HTTP/1.0\r\n\r\n", port=out.endpoint_ports[0])).endswith(b"hello")
            denied = await out.ask(b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert denied.startswith(b"HTTP/1.1 403 ")
    assert above.denied == [], "what is not listed here is not even asked for there"
    assert b"x-api-key: sk-canary-0123456789" in web.asked[1]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"answers 407"),
        (b"SSH-2.0-x\r\n\r\n", b"answers no HTTP"),
        (b"HTTP/1.1 200", b"broke off"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, b"broke off"),
    ],
)
async def test_a_parent_that_refuses_is_told_of(answer: bytes, told: bytes) -> None:
    heard = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)

    async with host(refuse) as port:
        parent = Parent(Target("127.0.0.1", port), "Basic bWU6cEBzcw==")
        async with way(["web.example"], parent=parent) as out:
            said = await out.ask(b"CONNECT web.example:443 HTTP/1.1\r\nHost: web.example\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 502 ")
    assert told in said
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in heard[0]
