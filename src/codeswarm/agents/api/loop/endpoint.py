"""One request to the model's endpoint: sent, streamed, cut short when somebody says so. Nothing is tried again here."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from codeswarm.agents.api.loop.answer import Answer, Interrupted, Message, Trouble, mapping
from codeswarm.agents.api.loop.wire_anthropic import AnthropicWire, Heard
from codeswarm.agents.api.loop.wire_openai import OpenAIWire

SILENCE_S = 900.0
"""A local model may read a long prompt for minutes before its first word."""
LINE_MAX = 8 << 20
ANSWER_MAX = 64 << 20
REFUSAL_MAX = 1 << 16
DEPTH_MAX = 100


class Reader(Protocol):
    """Puts one answer together; `over` once the API said that it is whole."""

    over: bool

    def take(self, event: dict[str, Any]) -> None: ...

    def done(self) -> None: ...

    def answer(self) -> Answer: ...


class Wire(Protocol):
    """How one API words requests, answers and refusals."""

    path: str

    def headers(self, key: str, token: str) -> dict[str, str]: ...

    def body(self, model: str, system: str, messages: list[Message], tools: list[dict[str, Any]]) -> dict[str, Any]: ...

    def reader(self, heard: Heard) -> Reader: ...

    def refusal(self, status: int, headers: Mapping[str, str], body: dict[str, Any]) -> Trouble: ...


WIRES: dict[str, tuple[Wire, str]] = {"anthropic": (AnthropicWire(), "ANTHROPIC"), "openai": (OpenAIWire(), "OPENAI")}
"""Name → how it is spoken, what its variables begin with."""


class Endpoint:
    """Where the model is. One request at a time; `cut` may come from any thread."""

    def __init__(self, wire: str, model: str, environment: Mapping[str, str]) -> None:
        self._wire, prefix = WIRES[wire]
        self._model = model
        self._url = urlsplit(environment[f"{prefix}_BASE_URL"].rstrip("/") + self._wire.path)
        key, token = environment.get(f"{prefix}_API_KEY", ""), environment.get(f"{prefix}_AUTH_TOKEN", "")
        self._headers = {"content-type": "application/json", **self._wire.headers(key, token)}
        self._connection: http.client.HTTPConnection | None = None
        self._cut = threading.Event()

    def cut(self) -> None:
        """End the request that is under way, and let no other begin before `mend`."""
        self._cut.set()
        sock = self._connection.sock if self._connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut.clear()

    def ask(self, system: str, messages: list[Message], tools: list[dict[str, Any]], heard: Heard) -> Answer:
        """One whole answer. Raises: Trouble; Interrupted."""
        body = json.dumps(self._wire.body(self._model, system, messages, tools)).encode(errors="replace")
        reader = self._wire.reader(heard)
        try:
            self._receive(body, reader)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._stop_if_cut()
            why = str(error) or type(error).__name__
            raise Trouble(f"the connection to {self._url.netloc} failed: {why}", kind="connection") from error
        finally:
            if self._connection is not None:
                self._connection.close()
        self._stop_if_cut()
        if not reader.over:
            raise Trouble("the answer broke off before its end", kind="stream")
        return reader.answer()

    def _stop_if_cut(self) -> None:
        if self._cut.is_set():
            raise Interrupted

    def _receive(self, body: bytes, reader: Reader) -> None:
        self._stop_if_cut()
        self._connection, target = self._connect()
        self._connection.connect()
        self._stop_if_cut()
        self._connection.request("POST", target, body, self._headers)
        with self._connection.getresponse() as response:
            if response.status != 200:
                raise self._refusal(response)
            for data in events(response):
                if data == "[DONE]":
                    reader.done()
                    break
                reader.take(_object(data))

    def _connect(self) -> tuple[http.client.HTTPConnection, str]:
        """A connection and what to ask for on it: through the proxy that the environment names, where it names one."""
        url = self._url
        if url.scheme not in ("http", "https") or not url.hostname:
            raise Trouble(f"{url.geturl()} is no address of a model", kind="address", final=True)
        proxy = getproxies().get(url.scheme)
        if proxy is None or proxy_bypass(url.netloc):
            kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            return kind(url.hostname, url.port, timeout=SILENCE_S), url.path
        to = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
        if url.scheme == "http":
            return http.client.HTTPConnection(to.hostname or "", to.port, timeout=SILENCE_S), url.geturl()
        tunnel = http.client.HTTPSConnection(to.hostname or "", to.port, timeout=SILENCE_S)
        tunnel.set_tunnel(url.hostname, url.port)
        return tunnel, url.path

    def _refusal(self, response: http.client.HTTPResponse) -> Trouble:
        text = response.read(REFUSAL_MAX).decode(errors="replace")
        headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            trouble = self._wire.refusal(response.status, headers, _object(text))
        except Trouble:
            trouble = Trouble("", status=response.status)
        trouble.message = trouble.message or text.strip()[:300] or response.reason
        after = headers.get("retry-after", "")
        trouble.retry_after_s = float(after) if after.isascii() and after.isdigit() and len(after) < 9 else None
        if trouble.resets_at_s is None and trouble.retry_after_s:
            trouble.resets_at_s = time.time() + trouble.retry_after_s
        return trouble


def events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of each server-sent event. Raises: Trouble, where a line or the whole has no bounds."""
    data: list[str] = []
    total = 0
    while line := response.readline(LINE_MAX + 1):
        total += len(line)
        if len(line) > LINE_MAX or total > ANSWER_MAX:
            raise Trouble("the answer is larger than any answer", kind="stream", final=True)
        text = line.decode(errors="replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data.clear()
    if data:
        yield "\n".join(data)


def _object(text: str) -> dict[str, Any]:
    """Raises: Trouble, where a text is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Trouble("the model's server sent something that is no JSON", kind="stream")
    return mapping(found)
