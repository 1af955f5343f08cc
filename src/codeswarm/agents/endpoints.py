"""Whether a model's endpoint answers, takes the key and has a model: it is asked for the list of its models.

That costs no token. Where it has no such list, an empty request is sent, which every API refuses before a model sees
it. A token of an account is for its own CLI, and is never sent by us. Nothing is tried twice, redirects (with a key in
hand) are not followed, and an answer is never larger than a list.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPErrorProcessor, Request, build_opener

from codeswarm.redaction import Secrets
from codeswarm.vendors import ANTHROPIC, GOOGLE, OPENAI, Vendor

SILENCE_S = 4.0
MOST_BYTES = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9][\w.:/@+\[\]-]{0,199}")
_KEY_REFUSED = ("api key not valid", "api_key_invalid", "invalid api key", "invalid x-api-key", "incorrect api key")
_WORDS = 160


@dataclass(frozen=True, slots=True)
class Api:
    """How the endpoints of one vendor's API are asked."""

    vendor: Vendor
    models: str
    """Where the list of models is, below the base URL."""
    answers: str
    """Where a model is asked."""
    version: str
    """The part of the path that some write into the base URL and others do not."""
    keys: Mapping[str, tuple[str, str]]
    """The variables that hold keys, in the order in which they count → the header that carries it, and its scheme."""
    own_version: bool = False
    """Whether the version belongs to the base URL."""
    headers: Mapping[str, str] = field(default_factory=dict)


_BEARER = ("authorization", "Bearer ")
APIS = {
    "claude": Api(
        vendor=ANTHROPIC,
        models="/v1/models?limit=1000",
        answers="/v1/messages",
        version="/v1",
        keys={"ANTHROPIC_AUTH_TOKEN": _BEARER, "ANTHROPIC_API_KEY": ("x-api-key", "")},
        headers={"anthropic-version": "2023-06-01"},
    ),
    "codex": Api(
        vendor=OPENAI,
        models="/models",
        answers="/responses",
        version="/v1",
        keys={"CODEX_API_KEY": _BEARER, "OPENAI_API_KEY": _BEARER},
        own_version=True,
    ),
    "gemini": Api(
        vendor=GOOGLE,
        models="/v1beta/models?pageSize=1000",
        answers="/v1beta/models",
        version="/v1beta",
        keys={"GEMINI_API_KEY": ("x-goog-api-key", "")},
    ),
}
"""Kind of agent → its vendor's API."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking."""

    base: str
    silent: str = ""
    """Why there was no answer."""
    status: int = 0
    words: str = ""
    """What it said of a refusal."""
    key: str = ""
    """The name of the variable whose key was sent; empty: none was."""
    models: frozenset[str] = frozenset()
    whole: bool = False
    """Whether these are all that it has."""
    elsewhere: str = ""
    """The base URL that was meant, where nothing is at this one."""
    at_s: float | None = None
    """What time it was there, in seconds since 1970."""

    @property
    def refused(self) -> bool:
        """Whether it was the key: one that may not list models may be a good one all the same."""
        if not self.key or "scope" in self.words.lower():
            return False
        return self.status == 401 or (self.status in (400, 403) and any(w in self.words.lower() for w in _KEY_REFUSED))

    @property
    def nothing_there(self) -> bool:
        return self.status in (404, 405, 501)

    def has(self, model: str) -> bool:
        """Whether a model is in the list; what the list does not hold whole may be anywhere. A name without its date,
        or with `-latest` in its place, is that of a dated one.
        """
        plain = model.removesuffix("-latest")
        return not self.whole or any(
            name == model or name.startswith((f"{plain}-", f"{plain}@")) for name in self.models
        )


def ask(api: Api, given: Mapping[str, str]) -> Answer:
    """Ask the endpoint that the person's variables name, with the key that counts among them. Raises: nothing."""
    base = base_of(api, given)
    if not _is_address(base):
        return Answer(base, silent="it is no address that begins with http:// or https://")
    key = next((name for name in api.keys if given.get(name)), "")
    headers = {**api.headers, **_credential(api, given, key)}
    listed = _shown(_ask(base, api.models, headers), given, key)
    if not listed.nothing_there:
        return listed
    other = _other(base, api)
    if other != base and _ask(other, api.models, headers).models:
        return replace(listed, elsewhere=other)
    return _shown(_ask(base, api.answers, headers, b"{}"), given, key)


def _shown(answer: Answer, given: Mapping[str, str], key: str) -> Answer:
    """An answer with the name of the key, and without the key: endpoints say again what they were sent, and so does
    the library of a key that can't be.
    """
    hidden = Secrets([given[key], given[key].strip()] if key else ())
    return replace(answer, key=key, words=hidden.text(answer.words)[:_WORDS], silent=hidden.text(answer.silent))


def base_of(api: Api, given: Mapping[str, str]) -> str:
    """Where it is, fit to be shown: without a name and a password that may stand in it."""
    return re.sub(r"(?<=//)[^/]*@", "", (given.get(api.vendor.endpoint) or api.vendor.address).rstrip("/"))


def _credential(api: Api, given: Mapping[str, str], key: str) -> dict[str, str]:
    if not key:
        return {}
    header, scheme = api.keys[key]
    return {header: f"{scheme}{given[key]}"}


def _other(base: str, api: Api) -> str:
    """The same address with the version that it lacks, or without the one that it should not have."""
    return base + api.version if api.own_version else base.removesuffix(api.version)


class _AsItIs(HTTPErrorProcessor):
    """An answer is one, whatever its status: no redirect is followed, and nothing raised."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


def _ask(base: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """One request, by the person's own proxy where they have one."""
    told = {"accept": "application/json", "user-agent": "codeswarm", **headers}
    if body is not None:
        told["content-type"] = "application/json"
    try:
        request = Request(base + path, body, told)  # noqa: S310 - of http and https alone: see `ask`
        with build_opener(_AsItIs).open(request, timeout=SILENCE_S) as response:
            return _read(base, response)
    except URLError as error:
        return Answer(base, silent=str(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(base, silent=str(error) or type(error).__name__)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _read(base: str, response: http.client.HTTPResponse) -> Answer:
    """Raises: OSError, HTTPException where a list can't be read; a refusal counts without its words."""
    at_s = _seconds(response.headers.get("Date"))
    if response.status != 200:
        body = b""
        with contextlib.suppress(OSError, http.client.HTTPException):
            body = response.read(1 << 16)
        return Answer(base, status=response.status, words=_words(_json(body), body), at_s=at_s)
    said = _json(response.read(MOST_BYTES))
    models = frozenset(_models(said))
    more = isinstance(said, dict) and bool(said.get("has_more") or said.get("nextPageToken"))
    return Answer(base, status=response.status, models=models, whole=bool(models) and not more, at_s=at_s)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _seconds(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def _models(said: Any) -> list[str]:
    """Names, as both kinds of lists have them. What a server sends is shown and offered: only what looks like one."""
    rows = said.get("data", said.get("models")) if isinstance(said, dict) else None
    found = (row.get("id", row.get("name")) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    names = (name.removeprefix("models/") for name in found if isinstance(name, str))
    return [name for name in names if _NAME.fullmatch(name)]


def _words(said: Any, body: bytes) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    told = error.get("message") if isinstance(error, dict) else error
    text = str(told) if told else body.decode(errors="replace")
    return " ".join("".join(letter for letter in text if letter.isprintable() or letter == " ").split())
