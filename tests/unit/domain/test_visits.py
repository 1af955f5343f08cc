from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.states import Handover, Visit
from tests.support.sessions import Swarm

A = TicketId("a")


def visited(how: Handover | None = None) -> Swarm:
    """A person has been let in; and has left again, if `how` says so."""
    swarm = Swarm("a")
    swarm.begin("a", conversation="c")
    swarm.do(cmd.AttachPerson(ticket=A, by="bob"))
    swarm.do(cmd.BeginVisit(ticket=A, epoch=1, to="conversation"))
    if how is not None:
        swarm.do(cmd.EndVisit(ticket=A, epoch=1, how=how, note="so"))
    return swarm


def test_who_takes_over_an_attempt_and_how_they_leave_is_told() -> None:
    swarm = visited(Handover.HAND_BACK)
    kinds = (ev.AttachRequested, ev.PersonAttached, ev.PersonDetached)
    assert [event.by for kind in kinds for event in swarm.of_kind(kind)] == ["bob"] * 3
    assert swarm.attempt("a").visit is Visit.NONE
    assert swarm.ticket("a").status == "in_progress"


def test_asking_twice_is_asking_once_and_letting_in_too() -> None:
    swarm = visited()
    assert swarm.do(cmd.AttachPerson(ticket=A, by="cyd")) == []
    assert swarm.do(cmd.BeginVisit(ticket=A, epoch=1, to="shell")) == []
    swarm.do(cmd.EndVisit(ticket=A, epoch=1, how=Handover.HAND_BACK))
    assert swarm.do(cmd.EndVisit(ticket=A, epoch=1, how=Handover.DISCARD)) == []


def test_what_is_at_its_gate_or_unknown_can_not_be_taken_over() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.do(cmd.BeginGating(ticket=A, epoch=1, commit=swarm.fresh("work")))
    assert swarm.refused(cmd.AttachPerson(ticket=A, by="bob")).refusal is Kind.WRONG_STATE
    assert swarm.refused(cmd.AttachPerson(ticket=TicketId("z"), by="bob")).refusal is Kind.UNKNOWN


def test_an_agent_that_has_not_begun_is_interrupted_as_soon_as_it_has() -> None:
    swarm = Swarm("a")
    swarm.claim()
    [asked] = swarm.do(cmd.AttachPerson(ticket=A, by="bob"))
    assert (asked.epoch, asked.at_rest) == (1, False)
    assert swarm.attempt("a").visit is Visit.ASKED


def test_what_is_discarded_is_not_gone_on_with() -> None:
    swarm = visited(Handover.DISCARD)
    swarm.snapshot("a")
    swarm.release_lease("a", "discarded")
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.conversation_epoch, ticket.reference) == ("ready", None, None)


def test_what_was_handed_back_and_then_cut_off_is_gone_on_with() -> None:
    swarm = visited(Handover.HAND_BACK)
    kept = swarm.snapshot("a")
    swarm.lose("a")
    assert (swarm.ticket("a").conversation_epoch, swarm.ticket("a").reference) == (1, kept)


def test_a_worker_whose_lease_is_over_lets_nobody_in() -> None:
    swarm = visited()
    swarm.lose("a")
    for late in (cmd.BeginVisit(ticket=A, epoch=1, to="shell"), cmd.EndVisit(ticket=A, epoch=1, how=Handover.COMPLETE)):
        assert swarm.refused(late).refusal is Kind.STALE
