"""The vendors' hosts that a login by a CLI's own file is for, on loopback: sign-in that renews tokens, and models.

CLIs ask these hosts by name and by TLS, and no setting of theirs leads elsewhere. So all names are answered here,
behind a proxy that a person would name in `HTTPS_PROXY`, with certificates of an authority that they would name, too. A
token that renews is good for one time, as the vendors have it: who brings it twice is refused, and is counted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from codeswarm.testing.model_server import ModelServer

NAMES = (
    "api.anthropic.com", "platform.claude.com", "console.anthropic.com", "claude.ai", "chatgpt.com", "auth.openai.com",
    "api.openai.com", "ab.chatgpt.com", "oauth2.googleapis.com", "www.googleapis.com", "cloudcode-pa.googleapis.com",
)  # fmt: skip
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl: apt-get install openssl")
WORKSPACE = {
    "id": "account-7", "name": "Ada", "plan_type": "pro", "workspace_backend_origin": "https://chatgpt.com",
    "account_routing_override": "us", "profile_picture_url": None, "structure": "personal",
}  # fmt: skip
YEAR_2100_MS = 4_102_444_800_000
LONG_AGO_MS = 1_600_000_000_000
FIRST = "0-canary-Kq7Lw2Zn9Xb4"
"""What the tokens of a login end with before they were renewed."""


def jwt(**claims: object) -> str:
    parts = ({"alg": "none"}, claims, {"signed": "by nobody at all"})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


def openai_token(number: str, expires_ms: int = YEAR_2100_MS) -> str:
    claim = {"chatgpt_plan_type": "pro", "chatgpt_account_id": "account-7", "chatgpt_user_id": "user-7"}
    return jwt(
        exp=expires_ms // 1000,
        jti=f"at-{number}",
        email="ada@example.invalid",
        **{"https://api.openai.com/auth": claim},
    )


def claude_login(number: str = FIRST, expires_ms: int = YEAR_2100_MS) -> dict[str, object]:
    scopes = ["user:inference", "user:profile", "user:sessions:claude_code"]
    tokens = {"accessToken": f"sk-ant-oat01-{number}", "refreshToken": f"sk-ant-ort01-{number}"}
    return {"claudeAiOauth": {**tokens, "expiresAt": expires_ms, "scopes": scopes, "subscriptionType": "max"}}


def codex_login(number: str = FIRST, expires_ms: int = YEAR_2100_MS) -> dict[str, object]:
    token = openai_token(number, expires_ms)
    tokens = {"id_token": token, "access_token": token, "refresh_token": f"rt-{number}", "account_id": "account-7"}
    return {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2099-01-01T00:00:00Z"}


def gemini_login(number: str = FIRST, expires_ms: int = YEAR_2100_MS) -> dict[str, object]:
    tokens = {"access_token": f"ya29.{number}-0123456789-0123456789", "refresh_token": f"1//{number}"}
    return {**tokens, "scope": "openid", "token_type": "Bearer", "expiry_date": expires_ms, "id_token": jwt(sub="7")}


@dataclass
class AccountHosts:
    """What they were asked, and the proxy that leads to them."""

    server: ModelServer
    folder: Path
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """"HOST METHOD PATH", in order."""
    renewed: int = 0
    reused: list[str] = field(default_factory=list)
    """Tokens that renew, brought once more."""
    bearers: list[str] = field(default_factory=list)
    """By whom models were asked, in order."""
    _spent: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        url, authority = f"http://127.0.0.1:{self.port}", str(self.folder / "authority.pem")
        return {"HTTPS_PROXY": url, "NODE_EXTRA_CA_CERTS": authority, "SSL_CERT_FILE": authority}

    # ── the wire ──

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                host = head.split()[1].partition(":")[0]
                if not head.startswith("CONNECT ") or host not in NAMES:
                    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    return
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await writer.drain()
                await writer.start_tls(_served(self.folder))
                await self._serve(host, reader, writer)
        finally:
            writer.close()

    async def _serve(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines())}
            body = await _body(fields, reader)
            self.asked.append(f"{host} {method} {urlsplit(target).path}")
            writer.write(await self._answer(host, target, fields, body))
            await writer.drain()

    async def _answer(self, host: str, target: str, fields: dict[str, str], body: bytes) -> bytes:
        path = urlsplit(target).path
        if path in ("/v1/oauth/token", "/oauth/token", "/token"):
            return _json(*self._renew(host, body))
        if path == "/tokeninfo":
            return _json(200, {"expires_in": 3000, "scope": "openid", "aud": "x"})
        if path.startswith("/v1/messages"):
            return await self._model(target, fields, body)
        if fields.get("upgrade") == "websocket":
            return _json(426, {"error": {"message": "by HTTP, please"}})
        if path.endswith("/responses"):
            if fields.get("content-encoding") == "zstd":
                body = subprocess.run(["zstd", "-dc"], input=body, check=True, capture_output=True).stdout
            return await self._model("/v1/responses", fields, body)
        if path.endswith("/wham/accounts/check"):
            return _json(
                200, {"accounts": [WORKSPACE], "default_account_id": "account-7", "account_ordering": ["account-7"]}
            )
        if path.endswith(":loadCodeAssist"):
            return _json(200, {"currentTier": {"id": "standard-tier"}, "cloudaicompanionProject": "p-1"})
        if "GenerateContent" in path or "generateContent" in path:
            return await self._code_assist(target, fields, json.loads(body))
        return _json(404, {"error": {"message": "there is no such thing", "code": 404}})

    # ── sign-in ──

    def _renew(self, host: str, body: bytes) -> tuple[int, dict[str, object]]:
        text = body.decode()
        brought = json.loads(text) if text.startswith("{") else {k: v[0] for k, v in parse_qs(text).items()}
        token = str(brought["refresh_token"])
        if token in self._spent:
            self.reused.append(token)
            return 400, {"error": "invalid_grant", "error_description": "it was used before"}
        self.renewed += 1
        number = f"{self.renewed}-canary-Kq7Lw2Zn9Xb4"
        if "google" in host:  # Google's stay good
            return 200, {
                "access_token": gemini_login(number)["access_token"],
                "expires_in": 3600,
                "token_type": "Bearer",
            }
        self._spent.add(token)
        if "openai" in host:
            new = openai_token(number)
            return 200, {"id_token": new, "access_token": new, "refresh_token": f"rt-{number}"}
        tokens = {"access_token": f"sk-ant-oat01-{number}", "refresh_token": f"sk-ant-ort01-{number}"}
        return 200, {**tokens, "token_type": "Bearer", "expires_in": 28800, "scope": "user:inference user:profile"}

    # ── models ──

    async def _model(self, target: str, fields: dict[str, str], body: bytes) -> bytes:
        """The scripted model's answer, whole."""
        self.bearers.append(fields.get("authorization", "").removeprefix("Bearer "))
        kept = {
            name: value
            for name, value in fields.items()
            if name in ("content-type", "anthropic-version", "authorization")
        }
        at = urlsplit(self.server.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        lines = [f"{name}: {value}" for name, value in {**kept, "host": at.netloc, "connection": "close"}.items()]
        lines = [f"POST {target} HTTP/1.1", *lines, f"content-length: {len(body)}", "", ""]
        try:
            writer.write("\r\n".join(lines).encode() + body)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            raw = await reader.read()
        finally:
            writer.close()
        whole = _unchunked(raw) if b"chunked" in head.lower() else raw
        type_ = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-type")), b"")
        first = head.split(b"\r\n", 1)[0]
        return first + b"\r\n" + type_ + f"\r\nContent-Length: {len(whole)}\r\n\r\n".encode() + whole

    async def _code_assist(self, target: str, fields: dict[str, str], asked: dict[str, object]) -> bytes:
        """Google's wrapping of its own API."""
        verb = urlsplit(target).path.rpartition(":")[2]
        path = f"/v1beta/models/{asked['model']}:{verb}?alt=sse"
        answer = await self._model(path, fields, json.dumps(asked["request"]).encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        wrapped = b"\n".join(
            b'data: {"response": ' + line[6:].rstrip() + b"}" if line.startswith(b"data: ") else line
            for line in body.split(b"\n")
        )
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        return b"\r\n".join([*kept, f"Content-Length: {len(wrapped)}".encode(), b"", b""]) + wrapped


@contextlib.asynccontextmanager
async def account_hosts(server: ModelServer, folder: Path) -> AsyncIterator[AccountHosts]:
    folder.mkdir(parents=True, exist_ok=True)
    _make_certificates(folder)
    found = AccountHosts(server, folder)
    running: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(found.talk(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    listener = await asyncio.start_server(begin, "127.0.0.1", 0)
    found.port = listener.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listener.close()
        for task in [*running]:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _served(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    return context


def _make_certificates(folder: Path) -> None:
    """An authority, and a host by all of the names."""
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ",".join(f"DNS:{name}" for name in NAMES)
    authority = [*made, "-x509", "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign"]
    by = ["-CA", str(folder / "authority.pem"), "-CAkey", str(folder / "authority.key")]
    host = [*made, "-x509", "-subj", "/CN=host", *by, "-addext", f"subjectAltName={names}"]
    host += ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"]
    for name, words in (("authority", authority), ("host", host)):
        out = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(["openssl", "req", *words, *out], check=True, capture_output=True)


async def _body(fields: dict[str, str], reader: asyncio.StreamReader) -> bytes:
    if "chunked" not in fields.get("transfer-encoding", ""):
        return await reader.readexactly(int(fields.get("content-length", "0")))
    whole = b""
    while size := int(await reader.readline(), 16):
        whole += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return whole


def _unchunked(raw: bytes) -> bytes:
    whole = b""
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size, 16)
        whole, raw = whole + rest[:length], rest[length + 2 :] if length else b""
    return whole


def _json(status: int, value: dict[str, object]) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} It is so\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
