from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.decide import decide
from codeswarm.domain.rejection import Refusal, Rejection
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Gates, Policy, Until
from codeswarm.domain.states import SessionStatus, SuspendReason
from codeswarm.domain.until import due_ms
from tests.support.kernels import ONE, start_command
from tests.support.sessions import START_MS, Refusal as Refused, Swarm, settings

HOUR_MS = 3600_000
SEVEN = Until(at_ms=START_MS + HOUR_MS, said="07:00")
NINE = Until(at_ms=START_MS + 3 * HOUR_MS, said="09:00")


def until_seven(*tickets: str, base_gate: str | None = "green", **policy: object) -> Swarm:
    chosen = settings(policy=Policy(until=SEVEN, **policy))  # type: ignore[arg-type]
    return Swarm(*tickets or ("a",), settings=chosen, base_gate=base_gate)


def times_up(swarm: Swarm) -> list[ev.Event]:
    swarm.now_ms = max(swarm.now_ms, SEVEN.at_ms)
    return swarm.do(cmd.TimeIsUp())


def test_at_the_time_nothing_new_is_claimed_and_the_session_is_stopped_with_the_reason() -> None:
    swarm = until_seven("a", "b")
    swarm.begin("a")
    (stopped,) = times_up(swarm)
    assert isinstance(stopped, ev.SessionSuspended)
    assert (stopped.reason, stopped.detail) == (SuspendReason.STOPPED, "until 07:00 is over")
    assert swarm.claim() is None
    swarm.end("a", gates="green")
    assert swarm.ticket("a").failures == 0, "who was at work ended its phase"


def test_before_the_time_it_is_refused_and_afterwards_told_once() -> None:
    swarm = until_seven()
    swarm.now_ms = SEVEN.at_ms - 1
    with pytest.raises(Refused, match="time is not over"):
        swarm.do(cmd.TimeIsUp())
    assert len(times_up(swarm)) == 1
    assert times_up(swarm) == []


def test_a_session_without_an_end_is_never_stopped() -> None:
    with pytest.raises(Refused, match="time is not over"):
        Swarm("a").do(cmd.TimeIsUp())


def test_in_draft_it_is_stopped_too_and_at_rest_it_is_left_alone() -> None:
    draft = until_seven(base_gate=None)
    assert [event.kind for event in times_up(draft)] == ["SessionSuspended"]
    done = until_seven()
    done.landed("a")
    assert done.session.status is SessionStatus.AWAITING_REVIEW
    assert due_ms(done.session) is None
    assert times_up(done) == []


def test_a_session_can_begin_only_before_its_time() -> None:
    late = start_command(ONE, "a", settings=settings(policy=Policy(until=SEVEN)))
    refused = decide(Session(ONE), late, SEVEN.at_ms)
    assert isinstance(refused, Rejection)
    assert refused.refusal is Refusal.INVALID
    assert refused.reason.startswith("until 07:00 is over already")
    assert "--until" in refused.hint


def test_resume_without_a_time_does_away_with_it() -> None:
    swarm = until_seven()
    times_up(swarm)
    (resumed,) = swarm.do(cmd.ResumeSession(by="ada"))
    assert isinstance(resumed, ev.SessionResumed)
    assert resumed.until is None
    assert swarm.session.settings.policy.until is None
    assert swarm.claim() == "a"


def test_resume_may_set_a_new_time_in_the_future_alone() -> None:
    swarm = until_seven()
    times_up(swarm)
    with pytest.raises(Refused, match="07:00 is over already"):
        swarm.do(cmd.ResumeSession(by="ada", until=SEVEN))
    swarm.do(cmd.ResumeSession(by="ada", until=NINE))
    assert due_ms(swarm.session) == NINE.at_ms


def test_after_a_crash_the_time_holds_as_long_as_it_lies_ahead() -> None:
    swarm = until_seven()
    assert swarm.do(cmd.ResumeSession(by="ada")) == []
    swarm.do(cmd.ResumeSession(by="ada", budget_usd=7.0))
    assert due_ms(swarm.session) == SEVEN.at_ms, "a new cap says nothing about the time"
    swarm.now_ms = SEVEN.at_ms
    swarm.do(cmd.ResumeSession(by="ada"))
    assert due_ms(swarm.session) is None, "who resumes afterwards wants it to go on"


def test_a_live_session_can_be_given_another_time() -> None:
    swarm = Swarm("a", settings=settings(gates=Gates()))
    swarm.do(cmd.ResumeSession(by="ada", until=NINE))
    assert due_ms(swarm.session) == NINE.at_ms
    assert swarm.session.settings.policy.until == NINE
