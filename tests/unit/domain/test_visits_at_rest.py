from __future__ import annotations

from typing import Any

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId, WorkerId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.resting import WISH_MS, wishes
from codeswarm.domain.results import Failure, FailureClass
from codeswarm.domain.settings import Bounds, Policy
from codeswarm.domain.states import Handover, SuspendReason, TicketStatus, Visit
from tests.support.sessions import Swarm, settings, spec

A = TicketId("a")
CLAIM = cmd.Claim(worker=WorkerId("w9"), roles=frozenset(), visits=True)


def asked(swarm: Swarm) -> Swarm:
    swarm.do(cmd.AttachPerson(ticket=A, by="bob"))
    return swarm


def inside(swarm: Swarm) -> Swarm:
    """Bob is in the workspace of ticket a, which has rested."""
    [*_, leased] = [event for event in asked(swarm).do(CLAIM) if isinstance(event, ev.AttemptLeased)]
    key: dict[str, Any] = {"ticket": A, "epoch": leased.epoch}
    swarm.do(cmd.PrepareAttempt(**key, start=swarm.fresh("start")))
    swarm.do(cmd.StartAttempt(**key, sandbox="none", conversation="c", resumed=True))
    swarm.do(cmd.BeginVisit(**key, to="conversation"))
    return swarm


def leave(swarm: Swarm, how: Handover, note: str = "") -> None:
    swarm.do(cmd.EndVisit(ticket=A, epoch=swarm.ticket("a").epoch, how=how, note=note))


def held(**fields: Any) -> Swarm:
    swarm = Swarm("a", settings=settings(**fields))
    swarm.begin("a", conversation="c")
    swarm.snapshot("a")
    swarm.do(cmd.HoldTicket(ticket=A, by="ada", reason="let me see"))
    return swarm


def failed() -> Swarm:
    swarm = Swarm("a", settings=settings(bounds=Bounds(max_attempts=1)))
    swarm.begin("a", conversation="c")
    swarm.end("a", gates="red")
    assert swarm.ticket("a").status == "failed"
    return swarm


def waiting_for_approval() -> Swarm:
    swarm = Swarm("a", settings=settings(policy=Policy(approve_landing=True)))
    swarm.begin("a", conversation="c")
    swarm.end("a")
    assert swarm.ticket("a").waiting == "person"
    return swarm


RESTING = [held, failed, waiting_for_approval]


@pytest.mark.parametrize("rests", RESTING)
@pytest.mark.parametrize("how", [Handover.DISCARD, Handover.LEAVE])
def test_a_visit_that_changes_nothing_leaves_the_ticket_as_it_rested(rests: Any, how: Handover) -> None:
    swarm = rests()
    before = swarm.ticket("a")
    was = (before.status, before.waiting, before.reason, before.phase_index, before.work)
    inside(swarm)
    leave(swarm, how)
    swarm.release_lease("a", "left")
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.waiting, ticket.reason, ticket.phase_index, ticket.work) == was
    assert len(swarm.session.open_approvals) == (ticket.waiting == "person")


def backing_off() -> Swarm:
    """An overloaded provider has named when it is back."""
    swarm = Swarm("a")
    swarm.begin("a", conversation="c")
    until_ms = swarm.now_ms + 200_000
    swarm.end("a", failure=Failure(failure_class=FailureClass.OVERLOADED, message="busy", retry_at_ms=until_ms))
    assert (swarm.ticket("a").status, swarm.ticket("a").not_before_ms) == ("ready", until_ms)
    return swarm


@pytest.mark.parametrize("how", [Handover.DISCARD, Handover.LEAVE])
def test_a_ticket_that_backed_off_is_not_sent_to_an_agent_before_its_time_since_somebody_had_a_look(
    how: Handover,
) -> None:
    swarm = backing_off()
    until_ms = swarm.ticket("a").not_before_ms
    inside(swarm)
    leave(swarm, how)
    swarm.release_lease("a", "left")
    assert (swarm.ticket("a").not_before_ms, swarm.claims()) == (until_ms, [])
    swarm.later(200)
    assert swarm.claims() == ["a"]


def test_nor_is_it_where_the_visit_could_not_be_begun_or_its_worker_died() -> None:
    swarm = backing_off()
    until_ms = swarm.ticket("a").not_before_ms
    inside(swarm)
    swarm.end("a", failure=Failure(failure_class=FailureClass.SETUP_FAILED, message="no network"))
    assert swarm.ticket("a").not_before_ms == until_ms
    inside(swarm)
    swarm.lose("a")
    assert swarm.ticket("a").not_before_ms == until_ms


@pytest.mark.parametrize("rests", RESTING)
def test_so_does_the_death_of_the_worker_and_what_was_done_is_there_for_the_next_visit(rests: Any) -> None:
    swarm = inside(rests())
    status = swarm.attempt("a").rested.status  # type: ignore[union-attr]
    kept, before = swarm.snapshot("a"), swarm.ticket("a").interruptions
    swarm.lose("a")
    assert (swarm.ticket("a").status, swarm.ticket("a").reference) == (status, kept)
    assert swarm.ticket("a").interruptions == before


@pytest.mark.parametrize("rests", RESTING)
def test_what_is_handed_back_goes_on_by_an_agent_with_the_persons_work(rests: Any) -> None:
    swarm = inside(rests())
    leave(swarm, Handover.HAND_BACK, "mind the moon")
    report, _ = swarm.report("a", gates={})
    assert report.work is not None
    swarm.do(cmd.ReleaseLease(subject=A, epoch=2, reason="handed back", report=report))
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.work, ticket.conversation_epoch) == ("ready", report.work.commit, 2)
    assert (ticket.feedback[-1].source, ticket.feedback[-1].text) == ("hand_back", "mind the moon")
    swarm.begin("a")
    swarm.end("a")


@pytest.mark.parametrize("rests", RESTING)
def test_what_is_complete_is_judged_as_an_agents_work_is(rests: Any) -> None:
    swarm = inside(rests())
    leave(swarm, Handover.COMPLETE)
    swarm.end("a", gates="red")
    assert swarm.ticket("a").failures == 1 or swarm.ticket("a").status == "failed"
    swarm = inside(rests())
    leave(swarm, Handover.COMPLETE)
    swarm.end("a")
    assert swarm.ticket("a").status in (TicketStatus.LANDING, TicketStatus.WAITING)


def test_what_a_worker_can_not_open_is_no_fault_of_the_tickets() -> None:
    swarm = inside(failed())
    failure = Failure(failure_class=FailureClass.SETUP_FAILED, message="no network")
    swarm.end("a", failure=failure)
    assert (swarm.ticket("a").status, swarm.of_kind(ev.AttemptFailed)[-1].charged) == ("failed", False)


def test_a_person_is_let_in_while_the_session_is_suspended_and_no_agent_is() -> None:
    swarm = held()
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    inside(swarm)
    assert swarm.session.status == "suspended"
    leave(swarm, Handover.COMPLETE)
    swarm.end("a")
    assert swarm.ticket("a").status == "landing"


def test_only_a_claim_for_visits_is_given_one_and_it_is_given_nothing_else() -> None:
    swarm = Swarm("a", "b")
    assert swarm.do(CLAIM) == [], "nobody waits to be let in"
    swarm.do(cmd.HoldTicket(ticket=A, by="ada"))
    asked(swarm)
    assert swarm.claim() == "b"
    assert [event.ticket for event in swarm.do(CLAIM)] == ["a"]  # type: ignore[attr-defined]


def test_an_agent_that_takes_the_ticket_at_the_same_moment_is_interrupted() -> None:
    swarm = asked(Swarm("a"))
    swarm.begin("a")
    attempt = swarm.attempt("a")
    assert (attempt.rested, attempt.visit, attempt.visitor) == (None, "asked", "bob")
    assert swarm.do(CLAIM) == []


def test_who_has_gone_before_a_worker_came_is_not_waited_for() -> None:
    swarm = asked(held())
    swarm.later(WISH_MS / 1000 + 1)
    assert swarm.do(CLAIM) == []
    assert inside(swarm).attempt("a").visitor == "bob"


def test_an_agent_that_is_leased_after_they_have_gone_is_not_interrupted_for_them() -> None:
    swarm = asked(held())
    swarm.later(WISH_MS / 1000 + 1)
    swarm.do(cmd.ReleaseTicket(ticket=A, by="ada"))
    swarm.begin("a")
    attempt = swarm.attempt("a")
    assert (attempt.rested, attempt.visit, attempt.visitor) == (None, Visit.NONE, "")


def test_a_wish_that_is_over_is_forgotten_with_the_next_one_and_with_the_next_lease() -> None:
    swarm = Swarm("a", "b", "c")
    for ticket in ("a", "b"):
        swarm.do(cmd.HoldTicket(ticket=TicketId(ticket), by="ada"))
        swarm.later(WISH_MS / 1000 + 1)
        swarm.do(cmd.AttachPerson(ticket=TicketId(ticket), by="bob"))
        assert list(swarm.session.visits) == [ticket]
    swarm.later(WISH_MS / 1000 + 1)
    assert wishes(swarm.session, swarm.now_ms) == {}
    assert swarm.claim() == "c"
    assert swarm.session.visits == {}


def test_what_has_landed_is_landing_or_waits_for_another_can_not_be_taken_over() -> None:
    swarm = Swarm("a", spec("b", "a"))
    refused = swarm.refused(cmd.AttachPerson(ticket=TicketId("b"), by="bob"))
    assert (refused.refusal, "waits for a" in refused.reason) == (Kind.WRONG_STATE, True)
    swarm.begin("a")
    swarm.end("a")
    assert "is landing" in swarm.refused(cmd.AttachPerson(ticket=A, by="bob")).reason
    swarm.landed("a")
    assert "has landed" in swarm.refused(cmd.AttachPerson(ticket=A, by="bob")).reason


def test_a_person_in_an_agents_place_takes_no_agents_place() -> None:
    swarm = Swarm("a", "b", settings=settings(role_caps={Role.IMPLEMENTER: 1}))
    swarm.do(cmd.HoldTicket(ticket=A, by="ada"))
    inside(swarm)
    assert swarm.claims() == ["b"]


def test_before_its_base_was_looked_at_nobody_is_let_in_be_the_session_paused_or_not() -> None:
    swarm = Swarm("a", base_gate=None)
    assert swarm.refused(cmd.AttachPerson(ticket=A, by="bob")).refusal == Kind.WRONG_STATE
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    assert "has not begun" in swarm.refused(cmd.AttachPerson(ticket=A, by="bob")).reason
