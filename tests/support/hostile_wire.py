"""What a network, a proxy, a gateway or a model's server may say that no provider's documentation names."""

from __future__ import annotations

import gzip

from codeswarm.domain.results import FailureClass as F
from codeswarm.testing.model_server.faults import Raw

JSON = (("content-type", "application/json"),)
HTML = (("content-type", "text/html; charset=utf-8"),)
SSE = (("content-type", "text/event-stream"),)
PAGE = (b"<!doctype html><html><body><h1>", b"Checking your browser</h1></body></html>")
BOMB = gzip.compress(b"\0" * (1 << 20))
"""1 MiB in a kilobyte."""
ANY = frozenset({F.CRASHED, F.OVERLOADED})
"""Nobody can tell more of it; either is tried again, and neither is waited for or told to a person."""

WIRE: dict[str, tuple[Raw, frozenset[F]]] = {
    "402": (Raw(402, JSON, (b'{"error":{"message":"Payment Required"}}',)), frozenset({F.QUOTA})),
    "408": (Raw(408, JSON, (b'{"error":{"message":"timeout"}}',)), frozenset({F.OVERLOADED})),
    "418": (Raw(418, JSON, (b'{"error":{"message":"short and stout"}}',)), ANY),
    "451": (Raw(451, JSON, (b'{"error":{"message":"not in your country"}}',)), frozenset({F.AUTH})),
    "520 of a proxy": (Raw(520, HTML, PAGE), frozenset({F.OVERLOADED})),
    "502 of a proxy": (Raw(502, HTML, PAGE), frozenset({F.OVERLOADED})),
    "403 of a wall": (Raw(403, HTML, PAGE), frozenset({F.AUTH})),
    "429 in HTML": (Raw(429, HTML, PAGE), frozenset({F.RATE_LIMITED})),
    "429 for a date": (
        Raw(429, (*JSON, ("retry-after", "Wed, 21 Oct 2065 07:28:00 GMT")), (b"{}",)),
        frozenset({F.RATE_LIMITED}),
    ),
    "429 for less than nothing": (Raw(429, (*JSON, ("retry-after", "-5")), (b"{}",)), frozenset({F.RATE_LIMITED})),
    "429 for an hour": (Raw(429, (*JSON, ("retry-after", "3600")), (b"{}",)), frozenset({F.RATE_LIMITED})),
    "503 for an hour": (Raw(503, (*JSON, ("retry-after", "3600")), (b"{}",)), frozenset({F.OVERLOADED})),
    "429 for ever": (Raw(429, (*JSON, ("retry-after", "9" * 30)), (b"{}",)), frozenset({F.RATE_LIMITED})),
    "a redirect in a circle": (Raw(302, (("location", "/v1/messages"),)), ANY),
    "a redirect to nowhere": (Raw(307, (("location", "http://127.0.0.1:9/"),)), ANY),
    "204": (Raw(204), ANY),
    "an error in a 200": (Raw(200, JSON, (b'{"error":{"message":"no","code":500}}',)), ANY),
    "a page in a 200": (Raw(200, HTML, PAGE), ANY),
    "nothing in a 200": (Raw(200, SSE), ANY),
    "a stream that breaks in a character": (Raw(200, SSE, (b'data: {"type":"x","text":"\xf0\x9f',), cut=True), ANY),
    "a stream of null": (Raw(200, SSE, (b"data: null\n\n" * 5,)), ANY),
    "an endless number": (Raw(200, SSE, (b'data: {"type":"message_start","usage":1e999}\n\n',)), ANY),
    "a bomb": (Raw(200, (*SSE, ("content-encoding", "gzip")), (BOMB,)), ANY),
}
