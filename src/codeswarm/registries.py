"""How package registries are reached from here: mirrors, proxies, certificates, as the person's own clients are told.

Set-up and agents have a HOME of their own and none of the person's environment, so what `npm` or `pip` would read
there is handed to them as variables. Never a secret: a value with a password in it is left out, and `doctor` says so;
credential files, tokens and keys are not read at all.
"""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from codeswarm.host import is_system

MAX_FILE_BYTES = 100_000
_WEB = ("http://", "https://")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT",
    "CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO", "npm_config_cafile", "NPM_CONFIG_CAFILE",
)  # fmt: skip
_PLACES = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS",
    "npm_config_registry", "NPM_CONFIG_REGISTRY", "YARN_NPM_REGISTRY_SERVER", "BUN_CONFIG_REGISTRY",
    "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE",
)  # fmt: skip
_KNOWN = (*_PROXIES, *map(str.lower, _PROXIES), *_CERTIFICATES, *_PLACES)
"""None of them is made to hold a secret; some may, within an address."""
_PIP = {"index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL", "trusted-host": "PIP_TRUSTED_HOST",
        "find-links": "PIP_FIND_LINKS", "cert": "PIP_CERT", "proxy": "PIP_PROXY"}  # fmt: skip
_NPM = {"registry": "npm_config_registry", "cafile": "npm_config_cafile", "proxy": "npm_config_proxy",
        "https-proxy": "npm_config_https_proxy", "noproxy": "npm_config_noproxy"}  # fmt: skip
_UV = {"index-url": "UV_INDEX_URL", "extra-index-url": "UV_EXTRA_INDEX_URL", "native-tls": "UV_NATIVE_TLS",
       "system-certs": "UV_SYSTEM_CERTS"}  # fmt: skip


HOSTS = (
    "pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "registry.yarnpkg.com", "repo.yarnpkg.com",
    "npm.jsr.io", "crates.io", "index.crates.io", "static.crates.io", "static.rust-lang.org",
    "proxy.golang.org", "sum.golang.org", "repo.maven.apache.org", "repo1.maven.org", "plugins.gradle.org",
    "rubygems.org", "index.rubygems.org", "repo.packagist.org", "packagist.org", "api.nuget.org", "repo.hex.pm",
    "conda.anaconda.org", "repo.anaconda.com",
)  # fmt: skip
"""What `@registries` stands for, beside the mirrors that the person's own clients are told of."""


@dataclass(frozen=True, slots=True)
class Registries:
    """What clients inside are told, and what they are not."""

    variables: Mapping[str, str]
    withheld: tuple[str, ...]
    """Names of settings that hold a password."""

    def mirrors(self) -> tuple[str, ...]:
        """`host` or `host:port` of every address that clients are told to fetch packages from."""
        values = (value for name, value in self.variables.items() if name in _PLACES)
        words = (word for value in values for word in re.split(r"[\s,|]+", value) if word.startswith(_WEB))
        return tuple(dict.fromkeys(map(_host, filter(None, map(_authority, words)))))

    def certificates(self) -> tuple[Path, ...]:
        """Files with certificates that are not part of the system: they must be shown inside."""
        wanted = {"PIP_CERT", *_CERTIFICATES} & self.variables.keys()
        paths = {Path(self.variables[name]) for name in wanted}
        own = (path for path in paths if not (is_system(path) or path.is_relative_to("/etc")))
        return tuple(sorted(path for path in own if path.is_absolute() and path.is_file()))


def registries(home: Path, environment: Mapping[str, str]) -> Registries:
    """From the environment first, as the clients themselves do; then from the files of theirs in this HOME."""
    found = dict(_from_files(home, environment))
    found |= {name: environment[name] for name in _KNOWN if environment.get(name)}
    open_ = {name: value for name, value in found.items() if not _holds_password(value)}
    return Registries(open_, tuple(sorted(found.keys() - open_.keys())))


def _host(authority: str) -> str:
    """Without a port that says nothing."""
    host, _, port = authority.rpartition(":")
    return host if host and port in ("80", "443") else authority


def _holds_password(value: str) -> bool:
    return any("@" in _authority(word) for word in re.split(r"[\s,|;=]+", value))


def _authority(word: str) -> str:
    """Where `name:password@` would stand; an address that can't be read counts as holding one."""
    try:
        return urlsplit(word if "//" in word else f"//{word}").netloc
    except ValueError:
        return "@"


def _from_files(home: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    for path in (home / ".pip" / "pip.conf", config / "pip" / "pip.conf"):
        yield from _renamed(_ini(_text(path)), _PIP)
    yield from _renamed(_lines(_text(home / ".npmrc")), _NPM)
    yield from ((key, value) for key, value in _lines(_text(config / "go" / "env")).items() if key in _PLACES)
    yield from _uv(_text(config / "uv" / "uv.toml"))


def _renamed(found: Mapping[str, str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((names[key], value) for key, value in found.items() if key in names and value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_FILE_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _ini(text: str) -> dict[str, str]:
    found = configparser.RawConfigParser(strict=False)
    try:
        found.read_string(text)
    except configparser.Error:
        return {}
    return {key: " ".join(value.split()) for key, value in found.items("global")} if found.has_section("global") else {}


def _lines(text: str) -> dict[str, str]:
    """`key=value` lines. A value that names a variable is left to whoever can fill it in."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    found = {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return {key: value for key, value in found.items() if value and "${" not in value}


def _uv(text: str) -> Iterator[tuple[str, str]]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for key, name in _UV.items():
        value = found.get(key)
        words = value if isinstance(value, list) else [value]
        if told := " ".join(str(word).lower() if isinstance(word, bool) else str(word) for word in words if word):
            yield name, told
    indexes = [one for one in found.get("index", []) if isinstance(one, dict)] if "index" in found else []
    for one in indexes:
        if isinstance(one.get("url"), str) and one.get("default") is True:
            yield "UV_DEFAULT_INDEX", one["url"]
