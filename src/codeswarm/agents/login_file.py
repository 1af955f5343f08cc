"""The credential file that a coding CLI has made for itself when its person logged in.

It is read for what `doctor` tells, for the name of the account, and for what must not be written down; never changed,
and never sent anywhere: only the CLI itself renews what is in it. Whatever is no plain file of a login is a problem in
words, with a command that mends it.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Health
from codeswarm.agents.lines import read_json, read_object
from codeswarm.clock import SystemClock
from codeswarm.environment import Environment, Login
from codeswarm.packages import as_root
from codeswarm.redaction import Secrets, secrets_of

MOST_BYTES = 1 << 20
"""A real one has a few thousand."""
LOGIN_AGAIN = {
    "claude": "claude auth login",
    "codex": "codex login",
    "gemini": "gemini   # then /auth, Login with Google",
}
OPENAI_CLAIMS = "https://api.openai.com/auth"
_TOKENS = (
    *("accessToken", "refreshToken", "clientSecret"),
    *("access_token", "refresh_token", "id_token", "OPENAI_API_KEY"),
)
"""What they call that which logs somebody in."""
MOST_SECRETS, LONGEST_SECRET = 16, 1 << 14
"""Agents can write the file. A real one has two or three, of a few thousand bytes, and as many for each MCP server."""
_PLAIN = re.compile(r"[^\w .@+/-]")
LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class LoginFile:
    """What is known of a login without asking its vendor."""

    path: Path
    problem: str = ""
    """Why nobody can log in with it; empty: as far as can be seen here, one can."""
    fix: str = ""
    plan: str = ""
    until_ms: int | None = None
    """When what it logs in with ends; None: not told, or never."""
    renews: bool = False
    """Whether the CLI can renew that by itself."""
    account: str = field(default="", repr=False)
    """What the vendor calls the account, where the file says so."""
    key: str = field(default="", repr=False)
    """Of an API, where it holds no account's tokens but a key."""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def expired(self, now_ms: int) -> bool:
        return self.until_ms is not None and self.until_ms <= now_ms

    @property
    def name(self) -> str:
        """The account's own name where it is known, else the place of the file."""
        return self.account or str(self.path)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a kind's own reader makes of a file's content."""

    secrets: tuple[str, ...] = ()
    tokens: bool = False
    plan: str = ""
    until_ms: int | None = None
    renews: bool = False
    account: str = ""
    key: str = ""


def login_file(login: Login, kind: str) -> LoginFile | None:
    """The login of a CLI's own that agents of a kind use; None: there is none, or the environment goes before it."""
    path = login.files.get(kind)
    if path is None or not os.path.lexists(path):
        return None
    data = _bytes(path)
    if isinstance(data, str):
        return LoginFile(path, data, _mended(path, kind))
    try:
        found = read_json(data.decode())
    except (ValueError, RecursionError):
        return LoginFile(path, "is empty" if not data.strip() else "is damaged: it is no JSON", LOGIN_AGAIN[kind])
    if not isinstance(found, dict):
        return LoginFile(path, "is damaged: it holds no login", LOGIN_AGAIN[kind])
    told = _READERS[kind](found)
    if not (told.tokens or told.key):
        return LoginFile(path, "holds no login", LOGIN_AGAIN[kind], secrets=told.secrets)
    return LoginFile(path, "", "", told.plan, told.until_ms, told.renews, told.account, told.key, told.secrets)


def refused(login: Login, kind: str, name: str) -> Health | None:
    """Why nobody logs in by such a file, as a line of `doctor`; None: there is none, or it looks good."""
    file = login_file(login, kind)
    if file is None:
        return None
    if file.problem:
        return Health(works=False, what=f"{name}: its login {file.path} {file.problem}", fix=file.fix)
    if file.expired(SystemClock().now_ms()) and not file.renews:
        return Health(works=False, what=f"{name}: its login {file.path} has expired", fix=LOGIN_AGAIN[kind])
    return None


def source(login: Login, kind: str, variables: Iterable[str]) -> str:
    """By what it is logged in, to be told; empty: by nothing."""
    file = login_file(login, kind)
    return ", ".join(sorted(variables)) or ("" if file is None else str(file.path))


def secrets_in(login: Login, kind: str) -> tuple[str, ...]:
    """What of it, as it is now, must not be written down."""
    found = login_file(login, kind)
    return () if found is None else found.secrets


def known_secrets(environment: Environment) -> Secrets:
    """All that logs the person in and that an agent may have met before any of us has heard of it: what stands in the
    environment, and in the files of their CLIs as these are now.
    """
    login = environment.login
    in_files = (secret for kind in login.files for secret in secrets_in(login, kind))
    return Secrets([*secrets_of(environment.variables, environment.credentials), *in_files])


def _bytes(path: Path) -> bytes | str:
    """What is in it; else in words why that can't be had. A file of anything's is never waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return (
            "is a symbolic link, which a CLI that renews its login replaces"
            if error.errno == errno.ELOOP
            else (f"can't be read: {os.strerror(error.errno or 0)}")
        )
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "is no file"
        data = os.read(descriptor, MOST_BYTES + 1)
        return data if len(data) <= MOST_BYTES else f"is too large: more than {MOST_BYTES >> 10} KiB"
    except OSError as error:
        return f"can't be read: {os.strerror(error.errno or 0)}"
    finally:
        os.close(descriptor)


def _mended(path: Path, kind: str) -> str:
    """By what a file becomes a plain one that we may read."""
    where = shlex.quote(str(path))
    if path.is_symlink():
        return f'cp --remove-destination "$(readlink -f {where})" {where}'
    if path.is_file() and not os.access(path, os.R_OK):
        return as_root(f'chown "$(id -un)" {where} && chmod 600 {where}')
    return f"mv {where} {where}.old && {LOGIN_AGAIN[kind]}"


# ── what each of them holds ──────────────────────────────────────────────────────────────────────────────────


def _claude(found: Mapping[str, Any]) -> _Told:
    login = _inner(found, "claudeAiOauth")
    return _Told(
        secrets=_secrets(login, *_inner(found, "mcpOAuth").values()),
        tokens=bool(_text(login, "accessToken") or _text(login, "refreshToken")),
        plan=_plain(login.get("subscriptionType")),
        until_ms=_moment(login.get("expiresAt"), 1),
        renews=bool(_text(login, "refreshToken")),
        account=_text(found, "organizationUuid"),
    )


def _codex(found: Mapping[str, Any]) -> _Told:
    tokens = _inner(found, "tokens")
    secrets = _secrets(found, tokens)
    access, claims = _claims(_text(tokens, "access_token")), _inner(_claims(_text(tokens, "id_token")), OPENAI_CLAIMS)
    if not _text(tokens, "access_token") and not _text(tokens, "refresh_token"):
        return _Told(secrets, key=_text(found, "OPENAI_API_KEY"), plan="API key")
    return _Told(
        secrets=secrets,
        tokens=True,
        plan=_plain(claims.get("chatgpt_plan_type")),
        until_ms=_moment(access.get("exp"), 1000),
        renews=bool(_text(tokens, "refresh_token")),
        account=_text(tokens, "account_id") or _text(claims, "chatgpt_account_id"),
    )


def _gemini(found: Mapping[str, Any]) -> _Told:
    return _Told(
        secrets=_secrets(found),
        tokens=bool(_text(found, "access_token") or _text(found, "refresh_token")),
        plan="Google account",
        until_ms=_moment(found.get("expiry_date"), 1),
        renews=bool(_text(found, "refresh_token")),
        account=_text(_claims(_text(found, "id_token")), "sub"),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], _Told]] = {"claude": _claude, "codex": _codex, "gemini": _gemini}


def _claims(token: str) -> Mapping[str, Any]:
    """What a JSON Web Token says of itself, believed by nobody but who reads it to a person."""
    middle = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        text = base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)).decode()
    except ValueError:
        return {}
    return read_object(text) or {}


def _inner(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = found.get(key)
    return inner if isinstance(inner, dict) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _plain(value: object) -> str:
    """A word for a terminal."""
    return _PLAIN.sub("", value)[:LONGEST_NAME] if isinstance(value, str) else ""


def _moment(value: object, unit_ms: int) -> int | None:
    """In milliseconds; what is no moment of a calendar is none."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return int(number * unit_ms) if number is not None and 0 <= number * unit_ms < 2**47 else None


def _secrets(*places: object) -> tuple[str, ...]:
    """The tokens that stand in these parts of a file. Whatever else an agent writes into it counts for nothing."""
    found = (_text(place, name) for place in places if isinstance(place, dict) for name in _TOKENS)
    secrets = dict.fromkeys(secret for secret in found if 0 < len(secret) <= LONGEST_SECRET)
    return tuple(islice(secrets, MOST_SECRETS))
