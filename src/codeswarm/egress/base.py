"""The port of the way out: what an agent's adapter asks for, and what it is told in return.

An adapter names the endpoint of its model, with the key that it needs. It is told an address and a key to give to its
program: behind walls an address on the loopback of the sandbox and a key that opens nothing, and the proxy outside puts
the real one into the header; without walls the real ones. The adapter is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KEPT_OUTSIDE = "kept-outside-of-the-sandbox"
"""What stands inside in a key's stead."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model answers over plain HTTP requests: `upstream` is its base URL, as a person would set it.

    `header` is the field that carries the key (`x-api-key`, `authorization`, `x-goog-api-key`), `secret` the key,
    `scheme` what stands before it (`Bearer`). Without a header nothing is put in: requests go through as they are.
    """

    upstream: str
    header: str = ""
    secret: str = field(default="", repr=False)
    scheme: str = ""

    @property
    def value(self) -> str:
        """What the header holds."""
        return f"{self.scheme} {self.secret}" if self.scheme else self.secret


@dataclass(frozen=True, slots=True)
class Reached:
    """What an agent's program is told of an endpoint."""

    url: str
    """Its base URL, in place of `Endpoint.upstream`: with the same path, and without a slash at its end."""
    secret: str = field(repr=False)
    """Its key: the real one only where nobody else could put that in."""

    @classmethod
    def directly(cls, endpoint: Endpoint) -> Reached:
        """Where no proxy stands between: the real ones."""
        return cls(endpoint.upstream.rstrip("/"), endpoint.secret)


@dataclass(frozen=True, slots=True)
class Denied:
    """A host that an attempt asked for and did not get."""

    host: str
    """As it was asked for, made harmless and cut; with its port."""
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one attempt's proxy. Times are of the clock that stands still while the machine sleeps."""

    head_s: float = 30.0
    """A request's head must be there by then; it is not lengthened by bytes that trickle in."""
    connect_s: float = 20.0
    idle_s: float = 1800.0
    """A model may think for long without a word."""
    total_s: float = 24 * 3600.0
    """No connection lives longer."""
    head_bytes: int = 64 << 10
    bytes_out: int = 4 << 30
    """What an attempt may send in all."""
    bytes_in: int = 16 << 30
    connections: int = 256
    """Open at once."""
    denials: int = 32
    """Different hosts that are told of; all are denied all the same."""
