"""Where a host is: resolved once, judged, and that very address dialled.

A name that leads into a private network is refused, unless the person listed that very name: else whoever owns any
listed domain could point it at this machine, its neighbours or a cloud's metadata.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from codeswarm.clock import Clock
from codeswarm.egress.hosts import Pattern, Target
from codeswarm.egress.parent import Parent
from codeswarm.egress.patience import timely
from codeswarm.egress.refusals import FORBIDDEN_ADDRESS, UNREACHABLE, UNRESOLVED, Refused

Resolve = Callable[[str, int], Coroutine[Any, Any, Sequence[str]]]
"""Host and port → addresses, best first. Raises: OSError."""
Address = IPv4Address | IPv6Address

MOST_ADDRESSES = 4
"""So many of a name's addresses are tried."""
_NAT64 = IPv6Network("64:ff9b::/96")
PRIVATE = "in a private network"


async def resolve(host: str, port: int) -> Sequence[str]:
    """As this machine does it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(where[0]) for _, _, _, _, where in found))


class Dialler:
    """Opens connections to what a list allows, and to nothing else."""

    def __init__(
        self, clock: Clock, connect_s: float, resolving: Resolve = resolve, parent: Parent | None = None
    ) -> None:
        """`parent`: by which this machine reaches the world; what it leads to it resolves by itself."""
        self._parent = parent
        self._clock = clock
        self._connect_s = connect_s
        self._resolving = resolving

    async def dial(self, target: Target, listed: Pattern) -> socket.socket:
        """A connected socket that does not block. Raises: Refused."""
        if self._parent is not None and self._parent.is_for(target):
            return await self._dial_parent(self._parent, target)
        return await self._dial(target, await self._addresses(target, listed))

    async def _dial_parent(self, parent: Parent, target: Target) -> socket.socket:
        found = await self._dial(parent.at, await self._addresses(parent.at, Pattern(parent.at.host)))
        try:
            await timely(self._clock, self._connect_s, parent.lead(found, target))
        except BaseException as error:
            found.close()
            if isinstance(error, OSError):
                what = f"the proxy of this machine ({parent.at}) does not lead there: {error}"
                raise Refused(UNREACHABLE, what, host=str(target)) from error
            raise
        return found

    async def _dial(self, target: Target, addresses: list[Address]) -> socket.socket:
        last = OSError(errno.EHOSTUNREACH, "it has no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await timely(self._clock, self._connect_s, _connected(address, target.port))
            except OSError as error:
                last = error
        raise Refused(UNREACHABLE, f"it does not answer: {last.strerror or last}", host=str(target))

    async def _addresses(self, target: Target, listed: Pattern) -> list[Address]:
        if target.address is not None:
            return [target.address]  # listed as it stands: it was the person's word
        try:
            found = await timely(self._clock, self._connect_s, self._resolving(target.host, target.port))
            addresses = [ip_address(text) for text in found]
        except (OSError, ValueError) as error:
            raise Refused(UNRESOLVED, f"its name leads nowhere: {error}", host=str(target)) from error
        for address in addresses:
            judge(address, target, listed)
        return addresses


async def _connected(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    found = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(found, (str(address), port))
    except BaseException:
        found.close()
        raise
    return found


def judge(address: Address, target: Target, listed: Pattern) -> None:
    """Whether a name may lead to an address. Raises: Refused."""
    kind = special(address)
    if kind is None or (kind == PRIVATE and listed.exact):
        return
    entry = str(target) if kind == PRIVATE else ""
    raise Refused(FORBIDDEN_ADDRESS, f"its name leads to {address}, which is {kind}", entry, str(target))


def special(address: Address) -> str | None:
    """Why an address is none of the public network; None where it is one."""
    inner = embedded(address)
    if inner is not None:
        return special(inner)
    if address.is_link_local:
        return "link-local, as the metadata of clouds are"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "no address of one host"
    if str(address) == _AWS_METADATA:
        return "the metadata of a cloud"
    return None if address.is_global else PRIVATE


_AWS_METADATA = "fd00:ec2::254"


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 one end up at, where there is one."""
    if not isinstance(address, IPv6Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
