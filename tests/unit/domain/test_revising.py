"""A plan that grows while it is being built."""

from __future__ import annotations

from typing import Any

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


# ── edited ──


def edit(id_: str, **changes: Any) -> cmd.EditTicket:
    return cmd.EditTicket(ticket=TicketId(id_), changes=changes, by="ada")


def test_an_edit_changes_only_the_keys_that_are_named_and_counts_from_the_next_attempt_on() -> None:
    swarm = Swarm(spec("a", description="old", labels=("x",)), "z")
    swarm.begin("a")
    (edited,) = swarm.do(edit("a", title="new title", description="new"))
    assert edited.changed == ("title", "description")
    assert swarm.attempt("a").live
    now = swarm.ticket("a").spec
    assert (now.title, now.description, now.labels) == ("new title", "new", ("x",))


def test_an_edit_puts_a_ready_ticket_where_it_belongs_in_the_queue() -> None:
    swarm = Swarm("a", "b", "c")
    swarm.do(edit("c", priority=0))
    swarm.do(edit("b", estimate_s=9000))
    swarm.do(edit("a", priority=4))
    assert swarm.claims() == ["c", "b", "a"]


def test_an_edit_that_changes_nothing_is_no_event_and_none_takes_a_key_away() -> None:
    swarm = Swarm(spec("a", gate="check"))
    assert swarm.do(edit("a", title="ticket a")) == []
    swarm.do(edit("a", gate=None))
    assert swarm.ticket("a").spec.gate is None


def test_another_pipeline_before_the_first_attempt_gives_the_ticket_its_phases() -> None:
    swarm = Swarm("a")
    swarm.do(edit("a", pipeline="contract-first"))
    assert [phase.name for phase in swarm.ticket("a").phases] == ["contract", "implementation", "review"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tittle": "x"}, "has the unknown key 'tittle'; did you mean 'title'?"),
        ({"priority": 9}, "ticket 'a'.priority: "),
        ({"title": ""}, "ticket 'a'.title: "),
        ({"id": "b"}, "'id' of a ticket can't be edited"),
        ({"hold": "x"}, "'hold' of a ticket can't be edited"),
        ({"blocked_by": ["a"]}, "in a cycle: a → a"),
        ({"blocked_by": ["z"]}, "tickets wait for each other in a cycle: "),
        ({"blocked_by": ["nobody"]}, "names 'nobody', which is no ticket here"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused_in_the_words_of_a_tickets_file(
    changes: dict[str, Any], words: str
) -> None:
    swarm = Swarm("a", spec("z", "a"))
    assert words in swarm.refused(edit("a", **changes)).reason


def test_what_a_running_attempt_rests_on_can_not_be_edited_under_it() -> None:
    swarm = Swarm("a", "b")
    swarm.begin("a")
    assert "judged by the gate that it began with" in swarm.refused(edit("a", gate="other")).why
    assert "has been begun" in swarm.refused(edit("a", pipeline="contract-first")).reason
    assert "in its middle" in swarm.refused(edit("a", blocked_by=["b"])).why


def test_a_ticket_whose_work_is_done_can_not_be_edited_any_more() -> None:
    swarm = Swarm("a", "z")
    swarm.phases("a")
    assert "about to land" in swarm.refused(edit("a", title="x")).reason
    swarm.do(edit("a", labels=["kept"]))
    swarm.merge(), swarm.gate(), swarm.land()
    assert "is complete" in swarm.refused(edit("a", labels=["late"])).reason


# ── linked ──


def link(id_: str, *blockers: str) -> cmd.LinkTicket:
    return cmd.LinkTicket(ticket=TicketId(id_), blocked_by=blockers, by="ada")


def unlink(id_: str, *blockers: str) -> cmd.UnlinkTicket:
    return cmd.UnlinkTicket(ticket=TicketId(id_), blocked_by=blockers, by="ada")


def test_a_new_edge_takes_a_ready_ticket_out_of_the_queue_and_gives_it_and_those_behind_it_another_wave() -> None:
    swarm = Swarm("a", "b", spec("c", "b"))
    swarm.do(link("b", "a"))
    assert swarm.statuses() == {"a": "ready", "b": "pending", "c": "pending"}
    assert [swarm.ticket(id_).wave for id_ in "abc"] == [0, 1, 2]
    assert swarm.claims() == ["a"]


def test_an_edge_that_is_taken_away_makes_a_ticket_ready_from_then_on() -> None:
    swarm = Swarm("a", spec("b", "a"), spec("c", "b"))
    swarm.later(60)
    swarm.do(unlink("b", "a"))
    assert swarm.ticket("b").ready_ms == swarm.now_ms
    assert [swarm.ticket(id_).wave for id_ in "abc"] == [0, 0, 1]
    assert swarm.ticket("a").road_s == 600


def test_links_are_idempotent_and_a_cycle_is_refused_as_the_cycle() -> None:
    swarm = Swarm("a", spec("b", "a"), spec("c", "b"))
    assert swarm.do(link("b", "a")) == []
    assert "tickets wait for each other in a cycle: " in swarm.refused(link("a", "c")).reason
    assert "does not wait for 'c'" in swarm.refused(unlink("a", "c")).reason


def test_a_running_attempt_can_not_be_made_to_wait_but_for_what_has_landed() -> None:
    swarm = Swarm(spec("done", priority=0), "a", "b")
    swarm.landed("done")
    swarm.begin("a")
    refusal = swarm.refused(link("a", "b"))
    assert "in its middle" in refusal.why
    assert refusal.hint == f"codeswarm ticket hold {swarm.session.id}/a"
    swarm.do(link("a", "done"))
    swarm.hold("a")
    swarm.do(link("a", "b"))
    swarm.release("a")
    assert swarm.ticket("a").shown_status == "pending"


def test_a_ticket_that_waits_to_land_can_not_be_made_to_wait_for_others() -> None:
    swarm = Swarm("a", "b")
    swarm.phases("a")
    assert "about to land" in swarm.refused(link("a", "b")).reason


# ── split ──


def split(id_: str, *parts: dict[str, Any]) -> cmd.SplitTicket:
    return cmd.SplitTicket(ticket=TicketId(id_), parts=parts, by="ada")


def test_what_waited_for_a_split_ticket_waits_for_all_of_its_parts() -> None:
    swarm = Swarm("a", spec("b", "a", priority=1, labels=("x",)), spec("c", "b"), spec("d", "b", "a"))
    swarm.do(split("b", {"id": "b1", "title": "one"}, {"id": "b2", "title": "two", "blocked_by": ["b1"]}))
    assert swarm.statuses() == {
        "a": "ready",
        "b": "cancelled",
        "c": "pending",
        "d": "pending",
        "b1": "pending",
        "b2": "pending",
    }
    assert swarm.ticket("b").reason == "split into b1, b2"
    assert swarm.ticket("c").spec.blocked_by == ("b1", "b2")
    assert swarm.ticket("d").spec.blocked_by == ("b1", "b2", "a")
    one = swarm.ticket("b1").spec
    assert (one.blocked_by, one.priority, one.labels) == (("a",), 1, ("x",))
    assert swarm.session.to_land == 5, "nobody waits for the whole any more"
    swarm.landed("a", "b1", "b2")
    assert swarm.ticket("c").shown_status == "ready"


def test_what_waited_for_a_split_ticket_waits_only_for_the_parts_that_name_it() -> None:
    swarm = Swarm("a", spec("b", "a"), spec("c", "b"), spec("d", "b"), spec("e", "b"))
    one = {"id": "b1", "title": "one", "blocks": ["c", "d"]}
    two = {"id": "b2", "title": "two", "blocks": ["d"]}
    swarm.do(split("b", one, two, {"id": "b3", "title": "three", "blocked_by": ["c"]}))
    waits = {id_: swarm.ticket(id_).spec.blocked_by for id_ in ("c", "d", "e")}
    assert waits == {"c": ("b1",), "d": ("b1", "b2"), "e": ("b1", "b2", "b3")}
    swarm.landed("a", "b1")
    assert swarm.ticket("c").shown_status == "ready"


def test_a_ticket_that_is_being_worked_on_is_split_and_its_attempt_ends_with_its_work_kept() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    taken = swarm.snapshot("a")
    swarm.do(split("a", {"id": "a1", "title": "one"}))
    assert swarm.attempt("a").status == "cancelled"
    assert swarm.attempt("a").snapshot == taken
    assert swarm.claim() == "a1"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "at least one other"),
        ([{"id": "b", "title": "x"}], "a part needs its own id"),
        ([{"id": "a", "title": "x"}], "the id is used 2 times"),
        ([{"title": "x"}], "id: is missing"),
        ([{"id": "x", "title": "x", "blocked_by": ["b"]}], "names 'b', which is no ticket here"),
        ([{"id": "x", "title": "x", "blocked_by": ["c"]}], "in a cycle: "),
        ([{"id": "x", "title": "x", "blocks": ["a"]}], "names 'a', which does not wait for 'b'"),
        ([{"id": "x", "title": "x", "blocks": "c"}], "ticket 'x'.blocks: must be a list of ids"),
        ([{"title": "x", "blocks": ["c"]}], "id: is missing"),
    ],
)
def test_parts_that_make_no_sense_are_refused_and_nothing_changes(parts: list[dict[str, Any]], words: str) -> None:
    swarm = Swarm("a", spec("b", "a"), spec("c", "b"))
    assert words in swarm.refused(split("b", *parts)).reason
    assert set(swarm.statuses()) == {"a", "b", "c"}


# ── held from the start, drafts, sources ──


def test_a_ticket_that_says_so_is_on_hold_from_the_start() -> None:
    swarm = Swarm("a", spec("b", hold="not before the release"))
    assert swarm.claims() == ["a"]
    assert swarm.ticket("b").reason == "not before the release"
    swarm.release("b")
    assert swarm.claims() == ["b"]
