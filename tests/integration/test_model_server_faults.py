"""The faults of the scripted model server, on each wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from codeswarm.testing.model_server import (
    Answer,
    ContextOverflow,
    DropBeforeHeaders,
    DropInStream,
    ErrorInStream,
    GarbageInStream,
    HangBeforeHeaders,
    HangInStream,
    ModelServer,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Refuse,
    Say,
    ServerError,
    SlowStream,
    Unauthorized,
    UnknownModel,
    sequence,
)
from tests.support.model_wires import BODIES, LONG, PATHS, WIRES, ask, events, every_wire, said

# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "wire", "status", "words"),
    [
        (RateLimited(2), "anthropic", 429, '"rate_limit_error"'),
        (RateLimited(2), "openai", 429, "try again in 2s"),
        (RateLimited(2), "gemini", 429, '"retryDelay": "2s"'),
        (QuotaExhausted(1900000000), "anthropic", 429, "exceed your account's rate limit"),
        (QuotaExhausted(1900000000), "openai", 429, '"resets_at": 1900000000'),
        (QuotaExhausted(), "gemini", 429, "PerDayPerProject"),
        (OutOfCredit(), "anthropic", 400, "credit balance is too low"),
        (OutOfCredit(), "openai", 429, '"insufficient_quota"'),
        (OutOfCredit(), "gemini", 403, "BILLING_DISABLED"),
        (ServerError(), "anthropic", 500, '"api_error"'),
        (ServerError(503), "openai", 503, '"server_error"'),
        (ServerError(503), "gemini", 503, '"UNAVAILABLE"'),
        (Overloaded(), "anthropic", 529, '"overloaded_error"'),
        (Overloaded(), "openai", 503, '"server_is_overloaded"'),
        (Overloaded(), "gemini", 503, "model is overloaded"),
        (Unauthorized(), "anthropic", 401, '"authentication_error"'),
        (Unauthorized(), "openai", 401, '"invalid_api_key"'),
        (Unauthorized(), "gemini", 401, '"UNAUTHENTICATED"'),
        (UnknownModel(), "anthropic", 404, "model: m-1"),
        (UnknownModel(), "openai", 404, '"model_not_found"'),
        (UnknownModel(), "gemini", 404, "models/m-1 is not found"),
        (ContextOverflow(), "anthropic", 400, "prompt is too long: "),
        (ContextOverflow(), "openai", 200, '"context_length_exceeded"'),
        (ContextOverflow(), "gemini", 400, "input token count"),
        (Refuse(400, "no house rules"), "anthropic", 400, "no house rules"),
        (Refuse(400, "no house rules"), "openai", 400, "no house rules"),
        (Refuse(400, "no house rules"), "gemini", 400, "no house rules"),
    ],
)
async def test_a_refusal_has_the_status_and_words_of_its_wire(
    fault: Answer, wire: str, status: int, words: str
) -> None:
    async with ModelServer(fault) as server:
        response = await ask(server, wire)
    assert (response.status_code, words in response.text) == (status, True), response.text


async def test_headers_tell_when_to_come_back() -> None:
    async with ModelServer(sequence([RateLimited(0.5), QuotaExhausted(1900000000)])) as server:
        assert (await ask(server, "anthropic")).headers["retry-after"] == "0.5"
        assert (await ask(server, "anthropic")).headers["anthropic-ratelimit-unified-reset"] == "1900000000"


# ── breaks ───────────────────────────────────────────────────────────────────────────────────────────────────


@every_wire
async def test_a_hang_before_headers_is_let_go_by_release(wire: str) -> None:
    async with ModelServer(HangBeforeHeaders(Say("late"))) as server:
        asking = asyncio.create_task(ask(server, wire))
        await server.hanging()
        assert not asking.done()
        server.release()
        assert said(events(await asking)) == "late"


async def listening(client: httpx2.AsyncClient, server: ModelServer, wire: str) -> AsyncIterator[str]:
    body = BODIES[wire]("Do it.") | {"stream": True}
    async with client.stream("POST", server.url + PATHS[wire], json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield line


@every_wire
async def test_a_hang_in_the_stream_comes_after_so_many_events_and_goes_on_when_released(wire: str) -> None:
    async with ModelServer(HangInStream(2, Say(LONG))) as server, httpx2.AsyncClient(timeout=60) as client:
        lines = listening(client, server, wire)
        first = [await anext(lines), await anext(lines)]
        await server.hanging()
        server.release()
        rest = [line async for line in lines]
    assert said([json.loads(line.removeprefix("data: ")) for line in [*first, *rest]]) == LONG


async def test_closing_the_server_ends_every_hang() -> None:
    async with ModelServer(HangBeforeHeaders()) as server:
        asking = [asyncio.create_task(ask(server, wire)) for wire in WIRES]
        await server.hanging(len(WIRES))
        last = await server.arrived(len(WIRES))
    assert last.number == len(WIRES)
    for task in asking:
        with pytest.raises(httpx2.TransportError):
            await task
    with pytest.raises(ConnectionError):
        await server.arrived(len(WIRES) + 1)


async def test_a_client_that_leaves_ends_its_hang() -> None:
    async with ModelServer(HangBeforeHeaders()) as server:
        asking = asyncio.create_task(ask(server, "openai"))
        await server.hanging()
        asking.cancel()
        await server.until(lambda: server.hangs == 0)


@every_wire
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", [DropBeforeHeaders(), DropInStream(1)])
async def test_a_dropped_connection_is_an_error_for_the_client(wire: str, stream: bool, fault: Answer) -> None:
    async with ModelServer(fault) as server:
        with pytest.raises(httpx2.TransportError):
            await ask(server, wire, stream=stream)


@every_wire
async def test_an_error_in_the_stream_is_the_wires_own_event(wire: str) -> None:
    async with ModelServer(ErrorInStream(2)) as server:
        streamed, whole = await ask(server, wire), await ask(server, wire, stream=False)
    last = events(streamed)[-1]
    assert (streamed.status_code, whole.status_code) == (200, 500)
    assert len(events(streamed)) == 3
    assert last.get("type", "none") == {"anthropic": "error", "openai": "response.failed"}.get(wire, "none")
    assert "error" in json.dumps(last)


@every_wire
@pytest.mark.parametrize("stream", [True, False])
async def test_garbage_is_no_json(wire: str, stream: bool) -> None:
    async with ModelServer(GarbageInStream(0)) as server:
        response = await ask(server, wire, stream=stream)
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text.splitlines()[0].removeprefix("data: "))


async def test_a_slow_stream_waits_before_every_event_with_the_sleep_that_it_is_given() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with ModelServer(SlowStream(3.5, Say(LONG)), sleep=sleep) as server:
        found = events(await ask(server, "anthropic"))
    assert said(found) == LONG
    assert slept == [3.5] * len(found)
