"""The client of the router's HTTP API, over its private Unix socket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from httpx2.websockets import AsyncWebSocketSession, WebSocketDisconnect, WebSocketNetworkError, WebSocketUpgradeError
from pydantic import BaseModel

from codeswarm.errors import CodeswarmError, RouterUnreachable
from codeswarm.glance import API, socket_address
from codeswarm.protocol import Problem
from codeswarm.redaction import Secrets

MAX_EVENT_BYTES = 1 << 28
"""A plan of ten thousand tickets is one event."""


class RouterRefused(CodeswarmError):
    """The router answered with a problem; `problem` is the whole of it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title, problem.detail, problem.hint)
        self.problem = problem
        self.http_status = problem.status
        self.exit_code = problem.exit_code

    @property
    def kind(self) -> str:
        return self.problem.type.removeprefix("codeswarm:")

    @property
    def stale(self) -> bool:
        return self.problem.status in (404, 409)

    @property
    def for_good(self) -> bool:
        """Whether the same request would be refused again: the fault is in it and not in the router."""
        return 400 <= self.problem.status < 500


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""On a private socket there is none. It trusts nobody, and nothing is loaded for it: a person's own SSL_CERT_FILE may
be broken, and that is nothing to us."""


class RouterClient:
    """Requests to one router. Errors: RouterRefused for an answer that is a problem, RouterUnreachable for none."""

    def __init__(self, http: httpx2.AsyncClient, secrets: Secrets | None = None) -> None:
        """`secrets`: what nothing that is said to the router may hold; None: a person's words are left as they are."""
        self._http = http
        self._secrets = secrets

    @classmethod
    @asynccontextmanager
    async def open(
        cls, socket: Path, *, timeout_s: float = 30.0, secrets: Secrets | None = None
    ) -> AsyncIterator[RouterClient]:
        with socket_address(socket) as address:
            transport = httpx2.AsyncHTTPTransport(uds=address, retries=0, verify=_NO_TLS)
            limits = httpx2.Timeout(timeout_s, connect=5.0)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://router", timeout=limits, trust_env=False
            ) as http:
                yield cls(http, secrets)

    def concealing(self, secrets: Secrets) -> RouterClient:
        """The same, with others to be kept from it."""
        return RouterClient(self._http, secrets)

    async def get(self, path: str, **params: Any) -> Any:
        return await self._ask("GET", path, params={key: value for key, value in params.items() if value is not None})

    async def post(
        self,
        path: str,
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
    ) -> Any:
        """The JSON answer, or None where there is no content. `key` makes it safe to ask again."""
        json = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        if self._secrets is not None:
            json = self._secrets.within(json)
        headers = {"Idempotency-Key": key} if key else {}
        return await self._ask("POST", path, json=json, headers=headers, timeout=timeout_s)

    async def upload(
        self, path: str, content: Any, *, params: Mapping[str, Any] | None = None, timeout_s: float = 600
    ) -> Any:
        """Send bytes (or an async iterator of them)."""
        return await self._ask("POST", path, content=content, params=dict(params or {}), timeout=timeout_s)

    async def _ask(self, method: str, path: str, **rest: Any) -> Any:
        try:
            answer = await self._http.request(method, API + path, **rest)
        except httpx2.TransportError as error:
            raise RouterUnreachable(
                "the router does not answer", f"{type(error).__name__}: {error}".rstrip(": "), "codeswarm resume"
            ) from error
        if answer.status_code == 204:
            return None
        if answer.is_success:
            return answer.json()
        raise RouterRefused(_problem(answer))

    @asynccontextmanager
    async def events(self, session: str | None, after: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Every event after a number, then each new one; they end when the router goes away."""
        path = f"{API}/sessions/{session}/events" if session else f"{API}/events"
        try:
            async with self._http.websocket(
                f"ws://router{path}?after={after}",
                max_message_size_bytes=MAX_EVENT_BYTES,
                keepalive_ping_interval_seconds=None,  # a local socket tells by itself when the other side is gone
            ) as socket:
                yield _received(socket)
        except (httpx2.TransportError, WebSocketUpgradeError) as error:
            raise RouterUnreachable("the router does not answer", str(error), "codeswarm resume") from error


async def _received(socket: AsyncWebSocketSession) -> AsyncIterator[dict[str, Any]]:
    with suppress(WebSocketDisconnect, WebSocketNetworkError):
        while True:
            yield await socket.receive_json()


def _problem(answer: httpx2.Response) -> Problem:
    try:
        return Problem.model_validate(answer.json())
    except ValueError:
        return Problem(
            title=f"the router answered {answer.status_code}", status=answer.status_code, detail=answer.text[:500]
        )
