"""What set-ups of coding CLIs come from, on loopback: a vendor's list of models, and a registry for the real npm."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

RIGHT = "the-right-key"
MODELS = ("claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929", "gpt-5.5", "gemini-2.5-pro")


@dataclass
class Vendor:
    """Lists models, as all three vendors do, to whoever has the right key; and has a clock."""

    url: str = ""
    under: str = ""
    """Only there anything is served."""
    clock: Path | None = None
    """While this file is not there its clock goes wrong by hours."""
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        where = path.partition("?")[0]
        if method == "POST" and where == "/v1/messages" and headers.get("authorization", "")[7:] != RIGHT:
            return 401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid bearer token"}}
        if method != "GET" or not where.startswith(self.under) or not where.endswith("/models"):
            return 404, {"error": {"message": "nothing is here"}}
        if where.count("/v1") != 1:
            return 404, {"error": {"message": "not so"}}
        shown = headers.get("x-api-key") or headers.get("x-goog-api-key") or headers.get("authorization", "")[7:]
        if shown != RIGHT and "v1beta" in where:
            return 400, {"error": {"message": f"API key not valid: {shown}"}}
        if shown != RIGHT:
            return 401, {"error": {"message": f"invalid x-api-key {shown}"}}
        if "v1beta" in where:
            return 200, {"models": [{"name": f"models/{name}"} for name in MODELS]}
        return 200, {"data": [{"id": name} for name in MODELS], "has_more": False}

    def date(self) -> str:
        wrong = self.clock is not None and not self.clock.exists()
        return formatdate(time.time() - (7200 if wrong else 0), usegmt=True)


@dataclass
class Registry:
    """Packages of npm's, each of which brings one program that runs another one, which is here already."""

    programs: dict[str, dict[str, str]]
    """Package → version → the shell script that its program is. The last version is the latest."""

    def answer(self, base: str, path: str) -> bytes | None:
        name, slash, version = unquote(path).lstrip("/").partition("/-/")
        if name not in self.programs:
            return None
        if slash:
            return self._packed(name, version.removesuffix(".tgz"))
        versions = {version: self._told(base, name, version) for version in self.programs[name]}
        return json.dumps({"name": name, "dist-tags": {"latest": [*versions][-1]}, "versions": versions}).encode()

    def _told(self, base: str, name: str, version: str) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.sha512(self._packed(name, version)).digest()).decode()
        where = {"tarball": f"{base}/{name}/-/{version}.tgz", "integrity": f"sha512-{digest}"}
        return {**self._package(name, version), "dist": where}

    def _package(self, name: str, version: str) -> dict[str, Any]:
        program = {"@anthropic-ai/claude-code": "claude", "@google/gemini-cli": "gemini"}.get(name, name.split("/")[1])
        return {"name": name, "version": version, "bin": {program: "bundle/program"}}

    def _packed(self, name: str, version: str) -> bytes:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as archive:
            package = json.dumps(self._package(name, version))
            for path, text in (("package.json", package), ("bundle/program", self.programs[name][version])):
                entry = tarfile.TarInfo(f"package/{path}")
                entry.size, entry.mode = len(text.encode()), 0o755
                archive.addfile(entry, io.BytesIO(text.encode()))
        packed = bytearray(made.getvalue())
        packed[4:8] = bytes(4)  # gzip's own time: the same package has the same digest
        return bytes(packed)


def runs(program: Path) -> str:
    return f'#!/bin/sh\nexec {shlex.quote(str(program))} "$@"\n'


@contextmanager
def served(who: Vendor | Registry) -> Iterator[str]:
    """Its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self._answer("POST")

        def _answer(self, method: str) -> None:
            if isinstance(who, Vendor):
                status, said = who.answer(method, self.path, self.headers)
                body = json.dumps(said).encode()
            else:
                found = who.answer(base, self.path)
                status, body = (200, found) if found is not None else (404, b"{}")
            self.send_response_only(status)
            self.send_header("Date", who.date() if isinstance(who, Vendor) else self.date_time_string())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield base
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
