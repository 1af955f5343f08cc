"""The person's own proxy, where this machine reaches the world only by one.

What is listed is decided here all the same; the parent resolves the names. Its password, if it has one, stays outside.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from codeswarm.egress.hosts import BadHost, Target, read_target
from codeswarm.egress.refusals import UNREACHABLE, Refused

_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")
_EXCEPT = ("no_proxy", "NO_PROXY")
LONGEST_ANSWER = 16 << 10


@dataclass(frozen=True, slots=True)
class Parent:
    """An HTTP proxy, and the hosts that are reached without it."""

    at: Target
    login: str = field(default="", repr=False)
    """What `Proxy-Authorization` holds; empty: nothing."""
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Parent | None:
        """As the person's environment names it, in the variables that other programs read.

        None: there is none, or it is of a kind that is not spoken here (SOCKS, TLS).
        """
        named = next((variables[name] for name in _VARIABLES if variables.get(name)), "")
        try:
            found = urlsplit(named if "//" in named else f"http://{named}")
            if not named or found.scheme != "http":
                return None
            at = read_target(found.netloc.rpartition("@")[2], 80)
        except (BadHost, ValueError):
            return None
        word = f"{unquote(found.username or '')}:{unquote(found.password or '')}" if found.username else ""
        login = f"Basic {base64.b64encode(word.encode()).decode()}" if word else ""
        exceptions = next((variables[name] for name in _EXCEPT if variables.get(name)), "")
        return cls(at, login, tuple(filter(None, (one.strip().lower() for one in exceptions.split(",")))))

    def is_for(self, target: Target) -> bool:
        """This machine's own loopback is never behind it."""
        address = target.address
        if target.host == "localhost" or (address is not None and address.is_loopback):
            return False
        return not any(_excepts(one, target) for one in self.without)

    async def lead(self, line: socket.socket, target: Target) -> None:
        """Ask it, over a connection to it, for one to a host. Raises: Refused, OSError."""
        loop = asyncio.get_running_loop()
        login = f"Proxy-Authorization: {self.login}\r\n" if self.login else ""
        await loop.sock_sendall(line, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what comes behind it is not ours to read
            byte = await loop.sock_recv(line, 1)
            answer += byte
            if not byte or len(answer) > LONGEST_ANSWER:
                raise Refused(UNREACHABLE, f"the proxy of this machine ({self.at}) broke off", host=str(target))
        found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
        if found is None or not found[1].startswith(b"2"):
            said = found[1].decode() if found else "no HTTP"
            raise Refused(UNREACHABLE, f"the proxy of this machine ({self.at}) answers {said}", host=str(target))


def _excepts(entry: str, target: Target) -> bool:
    host, _, port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    if port and port != str(target.port):
        return False
    if host == "*":
        return True
    if target.address is not None:
        try:
            return ip_address(target.host) in ip_network(host.strip("[]"), strict=False)
        except ValueError:
            return False
    name = host.removeprefix("*").removeprefix(".")
    return bool(name) and (target.host == name or target.host.endswith(f".{name}"))
