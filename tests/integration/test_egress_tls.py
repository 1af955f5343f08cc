"""Endpoints by TLS: the key goes only to whom the certificate says that it is."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from codeswarm.egress.base import Endpoint
from codeswarm.egress.way_out import Outlook
from tests.support.outside import Web, host, way

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl: apt-get install openssl")
SECRET = "sk-canary-0123456789"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For `model.example`, signed by itself; its key stands beside it."""
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=model.example", "-addext", "subjectAltName=DNS:model.example",
         "-keyout", str(folder / "key.pem"), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


FIELDS = b"Host: 127.0.0.1\r\nx-api-key: dummy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
POST = b"POST /base/v1/messages HTTP/1.1\r\n" + FIELDS + b"{}"


async def test_a_key_goes_by_tls_to_a_host_that_the_person_trusts(certificate: Path) -> None:
    web = Web(body=b"key " + SECRET.encode())
    trust = Outlook(certificates=(certificate,)).trust
    async with host(web, tls=served(certificate)) as port:
        endpoint = Endpoint(f"https://model.example:{port}/base", "x-api-key", SECRET)
        async with way(names={"model.example": ["127.0.0.1"]}, endpoints=[endpoint], trust=trust) as out:
            answer = await out.ask(POST, port=out.endpoint_ports[0])
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"key " + b"*" * len(SECRET))
    assert f"x-api-key: {SECRET}".encode() in web.asked[0].lower()
    assert web.asked[0].startswith(b"POST /base/v1/messages HTTP/1.1\r\n")


@pytest.mark.parametrize("name", ["model.example", "other.example"])
async def test_nobody_else_gets_it(certificate: Path, name: str) -> None:
    """A certificate that nobody vouches for, and one in another name."""
    web = Web()
    trusted = (certificate,) if name == "other.example" else ()
    async with host(web, tls=served(certificate)) as port:
        endpoint = Endpoint(f"https://{name}:{port}/base", "x-api-key", SECRET)
        trust = Outlook(certificates=trusted).trust
        async with way(names={name: ["127.0.0.1"]}, endpoints=[endpoint], trust=trust) as out:
            answer = await out.ask(POST, port=out.endpoint_ports[0])
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"certificate verify failed" in answer
    assert web.asked == []


async def test_whoever_speaks_no_tls_is_not_told_the_key() -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(1000))

    async with host(listen) as port:
        endpoint = Endpoint(f"https://model.example:{port}/base", "x-api-key", SECRET)
        async with way(names={"model.example": ["127.0.0.1"]}, endpoints=[endpoint]) as out:
            answer = await out.ask(POST, port=out.endpoint_ports[0])
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert SECRET.encode() not in heard


async def test_requests_of_one_connection_share_one_handshake(certificate: Path) -> None:
    web = Web()
    trust = Outlook(certificates=(certificate,)).trust
    async with host(web, tls=served(certificate)) as port:
        endpoint = Endpoint(f"https://model.example:{port}/base/", "authorization", SECRET, "Bearer")
        async with way(names={"model.example": ["127.0.0.1"]}, endpoints=[endpoint], trust=trust) as out:
            again = POST.replace(b"Connection: close\r\n", b"")
            answer = await out.ask(again + again + POST, port=out.endpoint_ports[0])
    assert (answer.count(b"HTTP/1.1 200 "), web.connections) == (3, 1)


@pytest.mark.parametrize(
    "path",
    [
        "/../admin",
        "/v1/../../admin",
        "/v1/%2e%2e/admin",
        "/v1/%2E./admin",
        "/./v1",
        "/v1/..%2fadmin",
        "/v1\\..\\x",
        "*",
    ],
)
async def test_no_path_leads_out_of_an_endpoints_own(path: str) -> None:
    web = Web()
    async with host(web) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v9", "x-api-key", SECRET)
        async with way(endpoints=[endpoint]) as out:
            asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
            answer = await out.ask(asked, port=out.endpoint_ports[0])
    assert (answer[9:12], web.asked) == (b"400", [])


async def test_a_key_in_the_address_is_dropped_too() -> None:
    """As Gemini's clients may put it there."""
    web = Web()
    async with host(web) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", "x-goog-api-key", SECRET)
        async with way(endpoints=[endpoint]) as out:
            asked = b"GET /v1beta/models?alt=sse&key=mine&KEY=yours HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            await out.ask(asked, port=out.endpoint_ports[0])
    assert web.asked[0].startswith(b"GET /v1beta/models?alt=sse HTTP/1.1\r\n")
    assert b"mine" not in web.asked[0]
