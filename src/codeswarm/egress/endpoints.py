"""Endpoints of models: what an agent asks for on loopback goes to the real place, and gets its key on the way.

Whatever the agent sent as a key is dropped: neither does it learn the real one, nor can it speak to the model's host in
somebody else's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

import h11

from codeswarm.egress.base import Endpoint
from codeswarm.egress.exchange import passed_on
from codeswarm.egress.heads import Head
from codeswarm.egress.hosts import BadHost, Pattern, Target, read_target
from codeswarm.egress.refusals import BAD_REQUEST, NOT_LISTED, NOT_ON_THE_LIST, Refused
from codeswarm.errors import ConfigError

_KEYS = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"cookie"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes, and as what."""

    target: Target
    listed: Pattern
    request: h11.Request
    tls: bool = False
    secret: bytes = b""
    """What must not come back in the answer."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """An endpoint whose address has been read."""

    endpoint: Endpoint
    target: Target
    tls: bool
    path: str
    """Without a slash at its end."""
    listed_as: str
    """The entry that opens it; empty: it is open."""

    @classmethod
    def of(cls, endpoint: Endpoint, listed_as: str = "") -> Upstream:
        """Raises: ConfigError for an address that can't be one."""
        try:
            found = urlsplit(endpoint.upstream)
            if found.scheme not in _DEFAULT_PORTS or found.query or found.fragment or not endpoint.upstream.isascii():
                raise BadHost("it is not http(s)://HOST[:PORT][/PATH]")
            target = read_target(found.netloc, _DEFAULT_PORTS[found.scheme])
        except ValueError as error:
            what = f"a model's address can't be used: {endpoint.upstream.rpartition('@')[2][:200]}"
            raise ConfigError(what, str(error), "env | grep BASE_URL   # https://HOST[:PORT][/PATH]") from error
        return cls(endpoint, target, found.scheme == "https", found.path.rstrip("/"), listed_as)

    @property
    def listed(self) -> Pattern:
        """The person's own word: it may stand in a private network."""
        return Pattern(self.target.host, port=self.target.port)

    def route(self, head: Head, path: bytes) -> Route:
        """`path`: what is asked for, below the address inside. Raises: Refused."""
        if not path.startswith(f"{self.path}/".encode()) or _leaves(path):
            what = f"a request to a model's endpoint is METHOD {self.path}/…, without dots for folders"
            raise Refused(BAD_REQUEST, what)
        if self.listed_as:
            raise Refused(NOT_LISTED, NOT_ON_THE_LIST, self.listed_as, str(self.target))
        endpoint = self.endpoint
        fields = passed_on(
            head.fields, head.hop_by_hop, {b"host", *(_KEYS | {b"accept-encoding"} if endpoint.header else ())}
        )
        fields.append((b"host", host_field(self.target, 443 if self.tls else 80)))
        if endpoint.header:
            # What is compressed could hold the key where it is not seen.
            fields += [(endpoint.header.lower().encode(), endpoint.value.encode()), (b"accept-encoding", b"identity")]
            path = _without_key(path)
        request = h11.Request(method=head.method, target=path, headers=fields)
        return Route(self.target, self.listed, request, self.tls, endpoint.secret.encode() if endpoint.header else b"")


def host_field(target: Target, default_port: int) -> bytes:
    whole = str(target)
    return (whole.removesuffix(f":{default_port}") if target.port == default_port else whole).encode()


def _leaves(path: bytes) -> bool:
    """Whether some server would take it out of its folder."""
    plain = unquote_to_bytes(path.partition(b"?")[0]).replace(b"\\", b"/")
    return any(part in (b".", b"..") for part in plain.split(b"/"))


def _without_key(path: bytes) -> bytes:
    """Without a key in the query, as Gemini's clients may put it there."""
    plain, mark, query = path.partition(b"?")
    kept = b"&".join(pair for pair in query.split(b"&") if pair.partition(b"=")[0].lower() != b"key")
    return plain + mark + kept if kept else plain
