"""What `doctor` tells of models' endpoints: whether they answer, take the key and have the model; and of the clock."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from codeswarm.agents.base import AgentSpec
from codeswarm.agents.endpoints import APIS, Answer, Api, ask, base_of
from codeswarm.cli.agents_here import NamedAgent
from codeswarm.cli.checks import Finding
from codeswarm.cli.here import Here
from codeswarm.clock import SystemClock
from codeswarm.detection.base import FILE
from codeswarm.environment import Login
from codeswarm.packages import as_root

PATIENCE_S = 10.0
"""For all endpoints together."""
CLOCK_OFF_S = 300
_BY_ITSELF = frozenset({"", "default", "best", "opusplan"})
"""What Claude Code makes a model of by itself, beside the families that it knows."""
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class _Question:
    """One endpoint. `wanted`: somebody would be sent there."""

    label: str
    api: Api
    given: Mapping[str, str]
    wanted: bool


def endpoints(here: Here, working: Sequence[str], named: Sequence[NamedAgent]) -> Iterator[Finding]:
    """Of the coding CLIs that work here, and of the APIs that the settings name. All are asked at once."""
    questions = list(_questions(here.environment.login, working, named))
    answers = _in_time({each.label: partial(ask, each.api, each.given) for each in questions})
    for each in questions:
        answer = answers.get(each.label) or Answer(
            base_of(each.api, each.given), silent=f"no answer within {PATIENCE_S:g} s"
        )
        yield _finding(each, answer)
        yield from _models(here, each, answer, named)
    yield from _clock(answers.values())


def _questions(login: Login, working: Sequence[str], named: Sequence[NamedAgent]) -> Iterator[_Question]:
    wanted = {_label(each.spec, login) for each in named if each.first} or {"claude"}
    asked = [*(kind for kind in working if kind in APIS), *sorted(_apis(named, login))]
    for label in asked:
        api = APIS[{"api:anthropic": "claude", "api:openai": "codex"}.get(label, label)]
        yield _Question(label, api, login.keys, label in wanted)


def _apis(named: Sequence[NamedAgent], login: Login) -> set[str]:
    return {_label(each.spec, login) for each in named if each.spec.kind == "api" and each.works}


def _label(spec: AgentSpec, login: Login) -> str:
    from codeswarm.agents.api.agent import wire_of

    return f"api:{wire_of(spec.argument, login)[0]}" if spec.kind == "api" else spec.kind


def _in_time(work: Mapping[str, Callable[[], Answer]]) -> dict[str, Answer]:
    """What has answered in time. A resolver that hangs can't be interrupted: it is left behind."""
    found: dict[str, Answer] = {}

    def do(label: str, act: Callable[[], Answer]) -> None:
        found[label] = act()

    threads = [threading.Thread(target=do, args=each, daemon=True) for each in work.items()]
    for thread in threads:
        thread.start()
    until = SystemClock().monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(until - SystemClock().monotonic(), 0))
    return dict(found)


# ── the address and the key ──────────────────────────────────────────────────────────────────────────────────


def _finding(asked: _Question, answer: Answer) -> Finding:
    """Who is offline is told so, and that is no fault of the set-up; an address of the person's own may be one."""
    what, base, own = f"endpoint {asked.label}", answer.base, bool(asked.given.get(asked.api.vendor.endpoint))
    elsewhere = f"export {asked.api.vendor.endpoint}=…   # where your model answers, in place of {base}"
    if answer.silent:
        detail = f"{base} can't be reached: {answer.silent}"
        return Finding(what, False, detail, _reached(asked, answer, elsewhere if own else ""), asked.wanted and own)
    if answer.refused:
        detail = f"{base} refuses the key in {answer.key}: HTTP {answer.status}: {answer.words}".rstrip(": ")
        return Finding(what, False, detail, f"export {answer.key}=…   # a key that {base} takes", asked.wanted)
    if answer.elsewhere:
        fix = f"export {asked.api.vendor.endpoint}={shlex.quote(answer.elsewhere)}"
        return Finding(what, False, f"no model answers at {base}, but at {answer.elsewhere}", fix, asked.wanted)
    if answer.nothing_there:
        detail = f"{base} answers, but no model does: HTTP {answer.status}"
        return Finding(what, False, detail, elsewhere, asked.wanted and own)
    if answer.status >= 500:
        fix = f"curl -sSI {shlex.quote(base)}   # it may pass by itself"
        return Finding(what, False, f"{base} is in trouble: HTTP {answer.status}", fix, needed=False)
    return Finding(what, True, _well(answer))


def _well(answer: Answer) -> str:
    if answer.status == 200 and answer.key:
        return f"{answer.base} answers, and takes the key in {answer.key}"
    return f"{answer.base} answers" + (
        f"; whether it takes the key in {answer.key} was not to be seen" if answer.key else ""
    )


def _reached(asked: _Question, answer: Answer, elsewhere: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in answer.silent:
        early = "not yet valid" in answer.silent
        return _set_clock() if early else "export SSL_CERT_FILE=…   # with the certificates of your proxy or company"
    return elsewhere or f"curl -sSI {asked.api.vendor.address}   # shows what keeps this machine from it"


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────


def _models(here: Here, asked: _Question, answer: Answer, named: Sequence[NamedAgent]) -> Iterator[Finding]:
    """Models that the settings name and that the endpoint does not have."""
    from codeswarm.domain.rejection import closest

    for each in named:
        model = _model(each.spec, here.environment.login)
        if _label(each.spec, here.environment.login) != asked.label or model is None or answer.has(model):
            continue
        there = sorted(answer.models)
        near = closest(model, there, there[0])
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        detail = f"{answer.base} has no model {model}; it has {', '.join(there[:_SHOWN])}{more}"
        better = str(each.spec).removesuffix(each.spec.argument) + each.spec.argument.replace(_bare(each.spec), near)
        yield Finding(f"model {each.spec}", False, detail, _renamed(here, each, better), each.first)


def _model(spec: AgentSpec, login: Login) -> str | None:
    """The model as its endpoint knows it; None where the CLI decides."""
    from codeswarm.agents.claude.agent import ClaudeAgent
    from codeswarm.agents.gemini import model_of

    if spec.kind == "claude":
        own = _BY_ITSELF | set(ClaudeAgent.can.models)
        return None if spec.argument.removesuffix("[1m]") in own else spec.argument.removesuffix("[1m]")
    if spec.kind == "gemini" and spec.argument:
        return model_of(spec.argument)
    return _bare(spec) or None


def _bare(spec: AgentSpec) -> str:
    """The argument without the API that it begins with."""
    first, _, rest = spec.argument.partition("/")
    return rest if spec.kind == "api" and rest and first in ("anthropic", "openai") else spec.argument


def _renamed(here: Here, agent: NamedAgent, better: str) -> str:
    """Exchanges the name where it stands. Which model it is to be is the person's choice: the nearest is offered."""
    if agent.origin == "environment":
        return f"export CODESWARM_ROLES_{agent.role.upper()}={shlex.quote(json.dumps([better]))}"
    quoted = re.sub(r"([\\.\[\]*^$#])", r"\\\1", str(agent.spec))
    script = rf"s#\([\"']\){quoted}\([\"']\)#\1{better}\2#g"
    checkout = here.home.project.checkout
    file = checkout / FILE if agent.origin == FILE and checkout else Path(agent.origin)
    edit = f"sed -i {shlex.quote(script)} {shlex.quote(str(file))}"
    if agent.origin == FILE:
        edit += f" && git -C {shlex.quote(str(file.parent))} commit -m 'Name a model that is there' {FILE}"
    return f"{edit}   # or another model of these"


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────


def _clock(answers: Iterable[Answer]) -> Iterator[Finding]:
    """A clock that is far off makes certificates invalid, and resets of quotas wrong."""
    told = next((answer for answer in answers if answer.at_s is not None), None)
    if told is None or told.at_s is None:
        return
    ahead_s = SystemClock().now_ms() / 1000 - told.at_s
    if abs(ahead_s) > CLOCK_OFF_S:
        how = f"{abs(ahead_s) / 60:.0f} minutes {'ahead of' if ahead_s > 0 else 'behind'}"
        yield Finding("clock", False, f"this machine's clock is {how} that of {told.base}", _set_clock(), needed=False)


def _set_clock() -> str:
    return as_root("timedatectl set-ntp true")
