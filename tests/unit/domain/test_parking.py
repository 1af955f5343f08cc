"""Agents that are sent nothing: from when, until when, and who hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import Failure, FailureClass as F
from codeswarm.domain.retry import LONGEST_WAIT_MS
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Bounds, Policy
from codeswarm.domain.states import SuspendReason, TicketStatus
from tests.support.sessions import AGENTS, Swarm, commit, settings, spec, tree_of

ONLY, NEXT = "claude:only", "codex:next"
BOUNDS = Bounds(park_base_s=100, park_max_s=350, backoff_jitter=0, max_interruptions=50)


def alone(*tickets: Any, **fields: Any) -> Swarm:
    """A session whose roles have a single agent."""
    return Swarm(*(tickets or ("a",)), settings=settings(**{"roles": {"*": (ONLY,)}, "bounds": BOUNDS, **fields}))


def spend(swarm: Swarm, id_: str = "a", *, for_s: float | None = None) -> ev.AgentParked:
    """One attempt that meets a spent quota; `for_s`: when its provider says that it is back."""
    swarm.begin(id_)
    at_ms = None if for_s is None else swarm.now_ms + int(for_s * 1000)
    swarm.end(id_, failure=Failure(failure_class=F.QUOTA, message="spent\nfor now", retry_at_ms=at_ms))
    return swarm.of_kind(ev.AgentParked)[-1]


def hear(swarm: Swarm, agent: str = ONLY, why: F = F.AUTH, **fields: Any) -> list[ev.Event]:
    said = {"account": "", "detail": "they say so", "since_ms": swarm.now_ms, "told_by": "s2", **fields}
    return swarm.do(cmd.ParkAgent(agent=agent, why=why, **said))


def waits_s(parked: ev.AgentParked) -> float:
    assert parked.until_ms is not None
    return (parked.until_ms - parked.since_ms) / 1000


# ── until when ──


def test_nothing_is_sent_before_the_reset_and_everything_goes_on_then() -> None:
    swarm = alone("a", "b", spec("c", "a"))
    parked = spend(swarm, for_s=3600)
    assert (parked.agent, parked.why, waits_s(parked)) == (ONLY, F.QUOTA, 3600)
    assert swarm.claims(roles=AGENTS) == []
    assert swarm.statuses() == {"a": "waiting", "b": "waiting", "c": "pending"}
    assert swarm.session.status == "active"
    swarm.later(3599)
    assert swarm.claims(roles=AGENTS) == []
    swarm.later(1)
    assert swarm.statuses() == {"a": "ready", "b": "ready", "c": "pending"}
    assert sorted(swarm.claims(roles=AGENTS)) == ["a", "b"]


def test_its_time_is_kept_even_by_whoever_would_end_it_sooner() -> None:
    swarm = alone()
    spend(swarm, for_s=3600)
    early = swarm.refused(cmd.UnparkAgent(agent=ONLY, account=""))
    assert "its time has not come" in early.why
    assert "--unpark" in early.hint


def test_where_nobody_says_until_when_the_wait_grows_up_to_its_bound() -> None:
    swarm = alone()
    found = []
    for _ in range(4):
        found.append(waits_s(spend(swarm)))
        swarm.later(found[-1])
    assert found == [100, 200, 350, 350]
    assert [event.times for event in swarm.of_kind(ev.AgentParked)] == [1, 2, 3, 4]


def test_a_success_in_between_makes_the_next_wait_a_short_one_again() -> None:
    swarm = alone("a", "b")
    spend(swarm)
    swarm.later(100)
    swarm.phase("a")
    assert waits_s(spend(swarm, "b")) == 100


def test_a_reset_that_was_wrong_does_not_make_it_spin() -> None:
    swarm = alone()
    for _ in range(3):
        parked = spend(swarm, for_s=-5)
        swarm.later(waits_s(parked))
    assert [waits_s(event) for event in swarm.of_kind(ev.AgentParked)] == [100, 200, 350]


def test_a_reset_in_a_century_parks_for_eight_days() -> None:
    swarm = alone()
    parked = spend(swarm, for_s=100 * 365 * 86_400)
    assert waits_s(parked) * 1000 == LONGEST_WAIT_MS


def test_attempts_that_meet_it_together_park_it_once() -> None:
    swarm = alone("a", "b", "c")
    for _ in range(3):
        swarm.claim()
    for id_ in "abc":
        key = {"ticket": TicketId(id_), "epoch": 1}
        swarm.do(cmd.PrepareAttempt(**key, start=commit("start")))
        swarm.do(cmd.StartAttempt(**key, sandbox="none"))
    for id_ in "abc":
        swarm.end(id_, failure=F.QUOTA)
    assert [event.times for event in swarm.of_kind(ev.AgentParked)] == [1]


def test_a_later_reset_counts_more() -> None:
    swarm = alone("a", "b")
    swarm.begin("b") if swarm.claim() is None else swarm.lose("a")
    swarm.begin("a")
    spend(swarm, "b", for_s=60)
    back_ms = swarm.now_ms + 600_000
    swarm.end("a", failure=Failure(failure_class=F.QUOTA, message="spent", retry_at_ms=back_ms))
    assert swarm.of_kind(ev.AgentParked)[-1].until_ms == back_ms
    swarm.later(60)
    assert swarm.claim() is None


def test_quotas_without_end_put_the_ticket_on_hold() -> None:
    swarm = alone(bounds=BOUNDS.model_copy(update={"max_interruptions": 3}))
    for _ in range(3):
        swarm.later(waits_s(spend(swarm)))
    assert swarm.ticket("a").status is TicketStatus.ON_HOLD


# ── what has not begun does not begin ──


def test_a_lease_whose_agent_has_not_begun_is_called_back_and_one_that_runs_is_not() -> None:
    swarm = alone("a", "b", "c")
    swarm.begin("a")
    swarm.claim()
    spent = swarm.ticket("b").live is not None
    assert spent
    swarm.begin("c")
    swarm.end("a", failure=F.QUOTA)
    assert [(event.ticket, event.reason) for event in swarm.of_kind(ev.AttemptCancelled)] == [
        ("b", f"{ONLY} is parked: quota")
    ]
    assert swarm.ticket("c").live is not None
    stale = swarm.refused(cmd.PrepareAttempt(ticket=TicketId("b"), epoch=1, start=commit("late")))
    assert stale.refusal == "stale"


# ── until a person ──


@pytest.mark.parametrize(("failure", "agent"), [("auth", "claude:*"), ("missing", "claude:*"), ("unknown_model", ONLY)])
def test_what_time_does_not_mend_suspends_a_session_that_has_nothing_else_to_do(failure: str, agent: str) -> None:
    swarm = alone("a", "b")
    swarm.phase("a", failure=failure)
    assert swarm.of_kind(ev.AgentParked)[-1].until_ms is None
    assert swarm.of_kind(ev.AgentParked)[-1].agent == agent
    assert swarm.session.status == "active", "nobody has found out yet that nothing else is left"
    assert swarm.claims() == []
    assert swarm.session.suspend_reason is SuspendReason.NO_AGENT
    assert f"{ONLY} ({failure}): it was {failure}" not in swarm.session.detail
    assert ONLY in swarm.session.detail
    assert f"it was {failure}" in swarm.session.detail
    swarm.later(30 * 86_400)
    assert swarm.claims() == []
    swarm.do(cmd.ResumeSession(by="ada"))
    assert [event.by for event in swarm.of_kind(ev.AgentUnparked)] == ["ada"]
    assert sorted(swarm.claims(roles=AGENTS)) == ["a", "b"]


def test_a_session_waits_for_a_quota_rather_than_for_a_person() -> None:
    swarm = alone(roles={"*": (ONLY, NEXT)})
    swarm.phase("a", failure=F.AUTH)
    spend(swarm, for_s=60)
    assert swarm.claim() is None
    assert swarm.session.status == "active"
    swarm.later(60)
    assert swarm.claim() == "a"
    assert swarm.attempt("a").agent == NEXT


def test_who_resumes_may_name_agents_that_nobody_knew_of() -> None:
    swarm = alone()
    spend(swarm, for_s=3600)
    assert swarm.claim() is None
    swarm.do(cmd.ResumeSession(by="ada", roles={"*": (NEXT,)}))
    assert swarm.claim() == "a"
    assert swarm.attempt("a").agent == NEXT
    assert (ONLY, "") in swarm.session.parked, "the quota is still spent"


def test_resume_leaves_quotas_alone_unless_told_otherwise() -> None:
    swarm = alone()
    spend(swarm, for_s=3600)
    assert swarm.claim() is None
    assert swarm.do(cmd.ResumeSession(by="ada")) == []
    assert swarm.claim() is None
    swarm.do(cmd.ResumeSession(by="ada", unpark=True))
    assert swarm.claim() == "a"


def test_a_planner_without_an_agent_does_not_end_the_planning() -> None:
    swarm = Swarm(ask="make it", settings=settings(roles={"*": (ONLY,)}, bounds=BOUNDS))
    plan = next(iter(swarm.session.plannings))
    spend(swarm, plan, for_s=60)
    assert swarm.claim() is None
    assert (swarm.session.status, swarm.ticket(plan).status) == ("draft", "waiting")
    swarm.later(60)
    assert swarm.claim() == plan


def test_a_planner_whose_login_is_refused_is_asked_again_by_resume() -> None:
    swarm = Swarm(ask="make it", settings=settings(roles={"*": (ONLY,)}, bounds=BOUNDS))
    plan = next(iter(swarm.session.plannings))
    swarm.phase(plan, failure=F.AUTH)
    assert swarm.claim() is None
    assert swarm.session.suspend_reason is SuspendReason.NO_AGENT
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.claim() == plan


# ── what others say ──


def test_a_word_from_another_session_counts_and_is_no_news_twice() -> None:
    swarm = alone("a")
    (parked,) = hear(swarm)
    assert isinstance(parked, ev.AgentParked)
    assert parked.told_by == "s2"
    assert hear(swarm) == []
    assert swarm.claim() is None
    swarm.do(cmd.UnparkAgent(agent=ONLY, account="", by="bob", told_by="s2"))
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.claim() == "a"


@pytest.mark.parametrize(
    "said",
    [
        {"agent": "gemini:none-of-ours"},
        {"account": "another", "agent": "codex:*"},
        {"why": F.QUOTA, "until_ms": 5},
    ],
)
def test_what_does_not_concern_a_session_or_is_over_changes_nothing(said: dict[str, Any]) -> None:
    assert hear(alone(), **said) == []


def test_an_agent_that_is_not_parked_may_be_unparked() -> None:
    assert alone().do(cmd.UnparkAgent(agent=ONLY, account="", by="ada")) == []


def test_a_new_session_begins_with_what_others_know() -> None:
    swarm = alone()
    known = cmd.ParkAgent(
        agent="claude:*", account="", why=F.AUTH, detail="no", since_ms=swarm.now_ms, told_by=SessionId("s0")
    )
    other = known.model_copy(update={"agent": "gemini:2"})
    swarm.session, swarm._shadow, swarm.events = Session(SessionId("s1")), Session(SessionId("s1")), []
    base = commit("base")
    swarm.do(
        cmd.StartSession(
            session=SessionId("s1"), name="", goal="g", base_branch="main", base=base, base_tree=tree_of(base),
            settings=settings(roles={"*": (ONLY,)}), tickets=(spec("a"),), by="ada", parked=(known, other),
        )
    )  # fmt: skip
    assert [event.agent for event in swarm.of_kind(ev.AgentParked)] == ["claude:*"]


# ── tickets that wait ──


def test_what_waits_for_an_agent_may_be_held_edited_and_cancelled() -> None:
    swarm = alone("a", "b", "c")
    spend(swarm, for_s=3600)
    swarm.claim()
    swarm.hold("a")
    swarm.do(cmd.EditTicket(ticket=TicketId("b"), changes={"priority": 0}, by="ada"))
    swarm.do(cmd.LinkTicket(ticket=TicketId("b"), blocked_by=("c",), by="ada"))
    swarm.do(cmd.CancelTicket(ticket=TicketId("c"), by="ada"))
    swarm.later(3600)
    assert swarm.statuses() == {"a": "on_hold", "b": "pending", "c": "cancelled"}
    swarm.release("a")
    assert swarm.claim() == "a"


def test_the_wait_does_not_make_a_ticket_forget_how_often_it_was_interrupted() -> None:
    swarm = alone()
    spend(swarm, for_s=60)
    swarm.claim()
    swarm.later(60)
    assert swarm.ticket("a").interruptions == 1


def test_a_session_whose_target_is_reached_does_not_wait_for_agents() -> None:
    swarm = alone("a", "b", policy=Policy(target=1))
    swarm.claim()
    swarm.begin("b")
    swarm.lose("a")
    swarm.end("b")
    spend(swarm, "a", for_s=3600)
    swarm.claim(roles=AGENTS)
    swarm.merge()
    swarm.gate()
    swarm.land()
    assert swarm.session.status == "awaiting_review"
