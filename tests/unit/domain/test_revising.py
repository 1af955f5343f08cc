"""A plan that grows while it is being built."""

from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, dag
from codeswarm.domain.evolving.graph import enter
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.rejection import Refusal
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Policy
from codeswarm.domain.states import SessionStatus
from codeswarm.domain.ticket import TicketSpec
from tests.support.sessions import Swarm, settings, spec


def add(*tickets: TicketSpec) -> cmd.AddTickets:
    return cmd.AddTickets(tickets=tickets, by="ada")


# ── tickets added to a live session ──


def test_added_tickets_wait_for_old_and_new_ones_and_are_ready_where_they_wait_for_none() -> None:
    swarm = Swarm("a")
    swarm.do(add(spec("b", "a"), spec("c"), spec("d", "b", "c")))
    assert swarm.statuses() == {"a": "ready", "b": "pending", "c": "ready", "d": "pending"}
    assert [swarm.ticket(id_).wave for id_ in "abcd"] == [0, 1, 0, 2]
    assert swarm.claims() == ["a", "c"]


def test_a_blocker_that_has_landed_already_blocks_no_added_ticket() -> None:
    swarm = Swarm("a", "z")
    swarm.landed("a")
    swarm.do(add(spec("b", "a"), spec("c", "a", "z")))
    assert (swarm.ticket("b").open_blockers, swarm.ticket("c").open_blockers) == (0, 1)
    swarm.landed("z")
    assert swarm.ticket("c").shown_status == "ready"


def test_a_blocker_that_is_named_twice_counts_once() -> None:
    swarm = Swarm("a")
    swarm.do(add(spec("b", "a", "a")))
    swarm.landed("a")
    assert swarm.ticket("b").shown_status == "ready"


def test_a_ready_ticket_rises_in_the_queue_when_a_long_road_is_added_behind_it() -> None:
    swarm = Swarm(spec("a", estimate_s=100), spec("b", estimate_s=200))
    swarm.do(add(spec("c", "a", estimate_s=300), spec("d", "c", estimate_s=50)))
    assert swarm.ticket("a").road_s == 450
    assert swarm.claim() == "a"


def test_added_tickets_wake_a_session_that_awaits_its_review() -> None:
    swarm = Swarm("a")
    swarm.landed("a")
    assert swarm.session.status is SessionStatus.AWAITING_REVIEW
    swarm.do(add(spec("b", "a")))
    assert swarm.session.status is SessionStatus.ACTIVE
    swarm.landed("b")


def test_tickets_that_are_added_in_draft_start_with_the_others_once_the_base_is_green() -> None:
    swarm = Swarm("a", base_gate=None)
    swarm.do(add(spec("b")))
    assert swarm.claim(roles={swarm.ticket("b").phase.role}) is None
    swarm.gate("green")
    assert swarm.claims() == ["a", "b"]


@pytest.mark.parametrize(
    ("tickets", "words"),
    [
        ([], "must be a list with at least one ticket"),
        ([spec("a")], "ticket 'a': the id is used 2 times; ids are unique in a session"),
        ([spec("x"), spec("x")], "ticket 'x': the id is used 2 times; ids are unique in a session"),
        ([spec("x", "bb")], "ticket 'x'.blocked_by: names 'bb', which is no ticket here; did you mean 'b'?"),
        ([spec("x", "y"), spec("y", "x")], "tickets wait for each other in a cycle: "),
        ([spec("x", "gone")], "ticket 'x'.blocked_by: names 'gone', which is cancelled: it never lands"),
        ([spec("x", pipeline="singel")], "names the pipeline 'singel', which is not known; did you mean 'single'?"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_a_tickets_file_and_nothing_is_added(
    tickets: list[TicketSpec], words: str
) -> None:
    swarm = Swarm("a", "b", "gone")
    swarm.do(cmd.CancelTicket(ticket=TicketId("gone"), by="ada"))
    refusal = swarm.refused(add(spec("fine"), *tickets) if tickets else add())
    assert words in refusal.reason
    assert refusal.refusal is Refusal.INVALID
    assert set(swarm.statuses()) == {"a", "b", "gone"}


def test_all_mistakes_are_told_at_once() -> None:
    refusal = Swarm("a").refused(add(spec("a"), spec("x", "nobody"), spec("y", pipeline="none-such")))
    assert all(word in refusal.reason for word in ("'a'", "'nobody'", "'none-such'"))


def test_nothing_is_added_to_a_plan_that_nobody_accepted_or_to_a_session_that_is_over() -> None:
    waiting = Swarm("a", settings=settings(policy=Policy(approve_plan=True)))
    assert "not accepted yet" in waiting.refused(add(spec("b"))).reason
    over = Swarm("a")
    over.do(cmd.CancelSession(by="ada"))
    assert over.refused(add(spec("b"))).refusal is Refusal.WRONG_STATE


def test_a_plan_that_grew_ticket_by_ticket_is_the_plan_that_was_given_at_once() -> None:
    ids = [TicketId(f"t{i}") for i in range(60)]
    specs = [
        spec(id_, *(ids[j] for j in {i // 2, i // 3, (i * 7) % i} if j < i) if i else (), estimate_s=1.0 + i % 5)
        for i, id_ in enumerate(ids)
    ]
    at_once, grown = Session(SessionId("s1"), settings=settings()), Session(SessionId("s1"), settings=settings())
    enter(at_once, specs, 1)
    for one in specs:
        enter(grown, [one], 1)
    assert grown == at_once
    blockers = {one.id: one.blocked_by for one in specs}
    roads = dag.tails(blockers, {one.id: one.estimate_s or 0 for one in specs})
    assert {id_: ticket.road_s for id_, ticket in grown.tickets.items()} == roads
