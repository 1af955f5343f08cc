"""The way out of one attempt's sandboxes: which hosts, which endpoints, and what programs inside are told of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codeswarm.clock import Clock
from codeswarm.egress.addresses import Dialler, Resolve, resolve
from codeswarm.egress.base import KEPT_OUTSIDE, Denied, Endpoint, Limits, Reached
from codeswarm.egress.door import Door
from codeswarm.egress.endpoints import Upstream
from codeswarm.egress.hosts import AGENT, REGISTRIES, AllowList
from codeswarm.egress.parent import Parent
from codeswarm.egress.proxy import Proxy
from codeswarm.egress.refusals import LIST

PORT = 18118
"""Where the proxy is on a sandbox's loopback; endpoints follow. Below the ports that systems hand out by themselves."""
MOST_ENDPOINTS = 8
NOT_PROXIED = "localhost,127.0.0.1,::1"
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_ALSO = frozenset({"NO_PROXY", "PIP_PROXY", "npm_config_proxy", "npm_config_https_proxy", "npm_config_noproxy",
                   "CARGO_HTTP_PROXY", "GIT_PROXY_COMMAND"})  # fmt: skip
"""What else tells programs of a proxy: the person's own is none for them."""

_PROPERTIES = (
    *(f"-D{scheme}.{key}" for scheme in ("http", "https") for key in ("proxyHost=127.0.0.1", f"proxyPort={PORT}")),
    f"-Dhttp.nonProxyHosts={NOT_PROXIED.replace(',', '|')}",
    "-Daether.connector.http.useSystemProperties=true",
    "-Daether.transport.apache.useSystemProperties=true",
)
_JAVA = {name: " ".join(_PROPERTIES) for name in ("MAVEN_OPTS", "GRADLE_OPTS")}


def told(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for programs inside: any other proxy taken out, ours put in.

    NODE_USE_ENV_PROXY makes Node's own `fetch` heed it (24 and later, and 22.21). Java's programs look at properties
    in place of variables; Maven (3.9 and later) at these only where it is told so.
    """
    names = {name.lower() for name in (*PROXY_NAMES, *_ALSO)}
    kept = {name: value for name, value in environment.items() if name.lower() not in names}
    url = f"http://127.0.0.1:{PORT}"
    ours = {name: url for upper in PROXY_NAMES for name in (upper, upper.lower())}
    return {**kept, **ours, **dict.fromkeys(("NO_PROXY", "no_proxy"), NOT_PROXIED), "NODE_USE_ENV_PROXY": "1", **_JAVA}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a worker knows of the world outside, for all of its attempts."""

    registries: tuple[str, ...] = ()
    """What `@registries` stands for, where nobody says otherwise."""
    mirrors: tuple[str, ...] = ()
    """What the person's own clients use in their stead."""
    certificates: tuple[Path, ...] = ()
    """Of authorities that the person trusts beside the system's."""
    parent: Parent | None = None
    """The person's own proxy, where they have one."""
    resolving: Resolve = resolve
    limits: Limits = Limits()

    def trust(self) -> ssl.SSLContext:
        return _trust(self.certificates)


@cache
def _trust(certificates: tuple[Path, ...]) -> ssl.SSLContext:
    """Made once: it takes longer than the rest of an attempt's way out. Raises: OSError, ssl.SSLError."""
    context = ssl.create_default_context()
    for path in certificates:
        context.load_verify_locations(cafile=path)
    return context


class WayOut:
    """Opened when the attempt begins, closed when all of its sandboxes are gone."""

    def __init__(
        self,
        network: Sequence[str],
        outlook: Outlook,
        folder: Path,
        clock: Clock,
        denied: Callable[[Denied], None],
        setting: str = LIST,
    ) -> None:
        """`network`: entries as they stand in `setting`. Raises: BadHost."""
        self._agent = AGENT in network
        self._entries = [one for one in network if not one.startswith("@")]
        self._shipped: list[str] = []
        if REGISTRIES in network:
            self._entries += outlook.mirrors
            self._shipped += outlook.registries
        self._folder = folder
        self._clock = clock
        dialler = Dialler(clock, outlook.limits.connect_s, outlook.resolving, outlook.parent)
        self._proxy = Proxy(self._allowed(), dialler, clock, denied, outlook.trust, outlook.limits, setting)
        self._doors: list[Door] = []

    @property
    def received(self) -> int:
        """Bytes that hosts have sent so far: as long as a model sends, whoever asked it is not hung."""
        return self._proxy.meter.back

    def reach(self, endpoint: Endpoint) -> Reached:
        """What is told inside of an endpoint. Raises: ConfigError for an address that can't be one."""
        upstream = Upstream.of(endpoint, "" if self._agent else AGENT)
        endpoints = self._proxy.endpoints
        port = next((port for port, known in endpoints.items() if known == upstream), PORT + 1 + len(endpoints))
        assert port <= PORT + MOST_ENDPOINTS
        endpoints[port] = upstream
        return Reached(f"http://127.0.0.1:{port}{upstream.path}", KEPT_OUTSIDE if endpoint.header else endpoint.secret)

    def allow(self, hosts: Iterable[str]) -> None:
        """Further hosts of the agent in use, for what its program asks by itself. Raises: BadHost."""
        if self._agent:
            self._shipped += hosts
            self._proxy.allowed = self._allowed()

    def _allowed(self) -> AllowList:
        return AllowList.of(self._entries, self._shipped)

    def door(self) -> Door:
        """For one sandbox. Raises: OSError."""
        ports = (PORT, *sorted(self._proxy.endpoints))
        door = Door(self._proxy, self._folder, f"{len(self._doors)}", ports, self._clock)
        self._doors.append(door)
        return door

    async def close(self) -> None:
        """Idempotent."""
        for door in self._doors:
            await door.close()
