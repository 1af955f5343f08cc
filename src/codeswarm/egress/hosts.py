"""What a host may look like, and which hosts are listed. Pure text: nothing is resolved here.

One grammar, strict: whoever asks for a host in a way that two programs could read differently is refused. No user
names, no brackets but around IPv6, no zones, no final dots, no numbers that only some programs take for an address
(octal, hexadecimal, short ones), no letters but ASCII (a name in another script is written as `xn--…`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address

LONGEST_NAME = 253
WEB_PORTS = (80, 443)
AGENT, REGISTRIES, ANY = "@agent", "@registries", "*"
"""Words of the list: where the agent's model answers, where packages come from, any public host."""
GROUPS = (AGENT, REGISTRIES)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label that looks like this makes a name an IPv4 address for some programs. Source: WHATWG URL, "ends in a
number"."""


class BadHost(ValueError):
    """It is no host that everybody would read in the same way; its text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host and a port. The host is a name in lower case, or an IP address in its one canonical form."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that the host itself is; None for a name."""
        return address_of(self.host)


def read_target(authority: str, default_port: int | None = None) -> Target:
    """`HOST[:PORT]`, as it stands in a request. Raises: BadHost; also where no port is said and none is usual."""
    host, port = _split(authority)
    if port is None:
        if default_port is None:
            raise BadHost("it names no port")
        return Target(read_host(host), default_port)
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise BadHost("its port is no number from 1 to 65535")
    return Target(read_host(host), int(port))


def read_host(text: str) -> str:
    """A name in lower case, or the canonical form of an address. IPv6 stands in brackets. Raises: BadHost."""
    if text.startswith("[") and text.endswith("]"):
        return _read_ipv6(text[1:-1])
    name = text.lower() if text.isascii() else ""
    if not name:
        raise BadHost("it is empty" if not text else "a name in another script must be written in ASCII (xn--…)")
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise BadHost("it is neither a name nor an address")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _read_ipv4(name)
    return name


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host (as `read_host` gives it) is; None for a name."""
    if ":" in host:
        return IPv6Address(host)
    return IPv4Address(host) if _NUMBER.fullmatch(host.rpartition(".")[2]) else None


def _split(authority: str) -> tuple[str, str | None]:
    if authority.startswith("["):
        inside, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadHost("its brackets are not closed before the port")
        return inside + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _read_ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise BadHost("an IPv4 address is four decimal numbers from 0 to 255, and nothing else") from error


def _read_ipv6(text: str) -> str:
    if "%" in text or not text.isascii():
        raise BadHost("an IPv6 address with a zone is none that may be asked for")
    try:
        found = IPv6Address(text)
    except AddressValueError as error:
        raise BadHost("it stands in brackets and is no IPv6 address") from error
    if found.ipv4_mapped or found.sixtofour or found.teredo:
        raise BadHost("an IPv4 address within an IPv6 one must be written as IPv4")
    return str(found)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of a list: `host`, `*.host` (all below it, not itself), `*` (any name), each with or without a port."""

    host: str
    below: bool = False
    port: int | None = None
    """None: the ports of the web."""
    shipped: bool = False
    """Listed by this program, and not by the person."""

    @classmethod
    def read(cls, text: str) -> Pattern:
        """Raises: BadHost with what is wrong with it."""
        host, port = _split(text)
        number = None if port is None else read_target(f"x:{port}").port
        if host == ANY:
            return cls(ANY, below=True, port=number)
        below = host.startswith("*.")
        name = read_host(host.removeprefix("*."))
        if below and (address_of(name) is not None or "." not in name):
            raise BadHost("a star stands before a name with at least two parts")
        return cls(name, below, number)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = f"*.{host}" if self.below and host != ANY else host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def exact(self) -> bool:
        """Whether the person named this very host: then it may stand in a private network."""
        return not (self.below or self.shipped)

    def matches(self, target: Target) -> bool:
        ports = WEB_PORTS if self.port is None else (self.port,)
        return target.port in ports and self._matches_host(target.host)

    def _matches_host(self, host: str) -> bool:
        if not self.below:
            return host == self.host
        if address_of(host) is not None:
            return False
        return self.host == ANY or host.endswith(f".{self.host}")

    def covers(self, other: Pattern) -> bool:
        """Whether everything that another one allows is allowed by this one, too."""
        if not (self.port == other.port or (self.port is None and other.port in WEB_PORTS)):
            return False
        if not self.below:
            return not other.below and other.host == self.host
        return self._matches_host(other.host) or (other.below and other.host == self.host)


@dataclass(frozen=True, slots=True)
class AllowList:
    """What may be asked for. Where several entries allow a host, the one that names it counts."""

    patterns: tuple[Pattern, ...]

    @classmethod
    def of(cls, entries: Iterable[str], shipped: Iterable[str] = ()) -> AllowList:
        """Raises: BadHost."""
        ours = (replace(Pattern.read(one), shipped=True) for one in shipped)
        return cls(tuple(dict.fromkeys((*map(Pattern.read, entries), *ours))))

    def allowing(self, target: Target) -> Pattern | None:
        found = [pattern for pattern in self.patterns if pattern.matches(target)]
        return next((pattern for pattern in found if pattern.exact), found[0] if found else None)


def check_entry(entry: str, groups: Iterable[str] = GROUPS) -> None:
    """Raises: BadHost for what can't stand in a list."""
    if entry.startswith("@"):
        if entry not in groups:
            raise BadHost(f"known groups are {' and '.join(groups)}")
        return
    Pattern.read(entry)


def narrower(theirs: str, ours: Iterable[str]) -> bool:
    """Whether an entry allows nothing that a list does not allow. A group is only covered by itself."""
    known = set(ours)
    if theirs in known:
        return True
    if theirs.startswith("@"):
        return False
    pattern = Pattern.read(theirs)
    return any(Pattern.read(one).covers(pattern) for one in known if not one.startswith("@"))
