"""What `doctor` says of logins: by what each coding CLI is logged in, for how long, what agents see of it, and the way
that is made for them. No secret is ever told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from codeswarm.agents.login_file import LOGIN_AGAIN, LoginFile, login_file
from codeswarm.cli.checks import Finding
from codeswarm.environment import Login
from codeswarm.vendors import keys_of

BETTER = {
    "claude": "claude setup-token   # then: export CLAUDE_CODE_OAUTH_TOKEN=…, which is made for headless use",
    "codex": "printenv OPENAI_API_KEY | codex login --with-api-key   # or: export OPENAI_API_KEY=…",
    "gemini": "export GEMINI_API_KEY=…",
}
SEEN = ("CLAUDE_CODE_OAUTH_TOKEN",)
"""Variables that agents get as they are; what the others hold is put in outside of the walls."""


def logins(login: Login, kinds: Sequence[str], now: datetime) -> Iterator[Finding]:
    """A line for each of these kinds of agents that is logged in, or was."""
    for kind in kinds:
        names = [*login.of(keys_of(kind))]
        file = login_file(login, kind)
        if names:
            yield _by_variable(kind, names[0])
        elif file is not None:
            yield _by_file(kind, file, now)


def _by_variable(kind: str, name: str) -> Finding:
    seen = "agents can read it" if name in SEEN else "behind walls it is put in outside, and agents can't read it"
    made = " is a token made for headless use, good for a year from its making" if name in SEEN else " is a key"
    return Finding(f"login {kind}", True, f"{name}{made}; {seen}")


def _by_file(kind: str, file: LoginFile, now: datetime) -> Finding:
    """It works, and it is more than an agent needs: so it is told, with what is better, but nothing waits for it."""
    what = f"login {kind}"
    if file.problem:
        return Finding(what, False, f"{file.path} {file.problem}", file.fix, needed=False)
    if file.key:
        detail = f"{file.path}: an API key; behind walls it is put in outside, and agents can't read it"
        return Finding(what, True, detail)
    detail = f"{file.path}: {_plan(file)}, {_expiry(file, now)}"
    if file.expired(_ms(now)):
        return Finding(what, False, detail, f"{LOGIN_AGAIN[kind]}   # or: {BETTER[kind]}", needed=False)
    detail += "; its agents can read and change this file, which logs in as you, and nothing else of your HOME"
    return Finding(what, False, detail, BETTER[kind], needed=False)


def _plan(file: LoginFile) -> str:
    if not file.plan:
        return "plan unknown"
    return f"a {file.plan}" if " " in file.plan else f"the plan {file.plan}"


def _expiry(file: LoginFile, now: datetime) -> str:
    if file.until_ms is None:
        return "no expiry told"
    at = f"{datetime.fromtimestamp(file.until_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    if not file.expired(_ms(now)):
        return f"until {at}" + (", and then the CLI renews it" if file.renews else "")
    return f"expired at {at}" + (", and the CLI may renew it at its next use" if file.renews else "")


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)
