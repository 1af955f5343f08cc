"""The scripted model server as an HTTP server, in a loop and in a thread."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from codeswarm.testing.model_server import HangBeforeHeaders, ModelServer, Say, running_model_server, sequence
from tests.support.model_wires import PATHS, anthropic, gemini

BODY = json.dumps(anthropic("Do it.")).encode()
WHOLE = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


async def test_one_connection_takes_request_after_request_and_tells_a_client_to_continue() -> None:
    body = json.dumps(anthropic("Do it.")).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
    async with ModelServer(Say("Hi.")) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(2):
            writer.write(head.encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
            writer.write(body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert b"Hi." in await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()


async def test_bodies_may_be_chunked_or_compressed_but_not_too_long_nor_unreadable() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"messages": '
        yield b"[]}"

    packed = gzip.compress(json.dumps({"messages": []}).encode())
    bomb = gzip.compress(b" " * 10_000)
    async with (
        ModelServer(Say("Hi."), body_max_bytes=1000) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def status(content: Any, encoding: str = "identity") -> int:
            headers = {"content-encoding": encoding}
            return (await client.post("/v1/messages", content=content, headers=headers)).status_code

        assert await status(chunks()) == 200
        assert await status(packed, "gzip") == 200
        assert await status(packed[:-1], "gzip") == 400
        assert await status(packed, "zstd") == 415
        assert await status(bomb, "gzip") == 413
        assert await status(b" " * 1001) == 413
        assert await status(b"no json") == 400
        assert await status(b"[]") == 400


async def test_whatever_a_client_leaves_behind_does_not_keep_the_server_from_closing() -> None:
    async with ModelServer(Say("x" * 50_000_000)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        writers = []
        for sent in (b"", b"\x16\x03\x01 no HTTP\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n{", WHOLE):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            writers.append(writer)
        await server.arrived()
    for writer in writers:
        writer.transport.abort()
    assert server.errors == []


async def test_whatever_is_no_call_of_a_model_is_answered_harmlessly() -> None:
    async with ModelServer(sequence([])) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.head("/")).status_code == 200
        assert (await client.get("/v1/models")).json()["data"]
        assert (await client.get("/v1beta/models")).json()["models"]
        assert (await client.get("/v1/responses", headers={"upgrade": "websocket"})).status_code == 426
        assert (await client.post("/telemetry", json={})).status_code == 404
        asked = ("/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1beta/models/m-1:countTokens")
        counts = [(await client.post(path, json={})).json() for path in asked]
    assert server.probes[0] == "HEAD /"
    assert [next(value for value in count.values() if value == 1) for count in counts] == [1, 1, 1]
    assert all(request.is_side_call for request in server.requests)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        ModelServer(Say("Hi."), host=host)


def test_a_test_that_is_not_async_runs_it_in_a_thread() -> None:
    with running_model_server(HangBeforeHeaders(Say("Hi."))) as server:
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(httpx2.post, server.url + PATHS["gemini"], json=gemini("Do it."), timeout=60)
            assert server.arrived(timeout_s=30).last_user_text == "Do it."
            server.hanging(timeout_s=30)
            server.release()
            assert "Hi." in asking.result().text
        assert [request.number for request in server.requests] == [1]


def test_a_thread_reports_the_errors_of_its_script_too() -> None:
    with pytest.raises(ExceptionGroup), running_model_server(sequence([])) as server:
        httpx2.post(server.url + PATHS["gemini"], json=gemini("Do it."))
