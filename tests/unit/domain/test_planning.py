from __future__ import annotations

from typing import Any

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import ApprovalId, TicketId
from codeswarm.domain.planning.agreements import MOST
from codeswarm.domain.planning.judging import MAX_FEEDBACK
from codeswarm.domain.planning.steps import GROUP, groups_of
from codeswarm.domain.policy import MAX_REJECTIONS
from codeswarm.domain.settings import Bounds, BudgetSettings, Gates, Policy
from codeswarm.domain.states import Purpose, SessionStatus, SuspendReason
from tests.support.sessions import Swarm, settings, spec

Row = dict[str, Any]


def bare(id_: str, *blocked_by: str, **more: Any) -> Row:
    return {"id": id_, "title": f"make {id_}", **({"blocked_by": list(blocked_by)} if blocked_by else {}), **more}


def whole(id_: str, *blocked_by: str, **more: Any) -> Row:
    return bare(id_, *blocked_by, **{"acceptance": [f"{id_} is there"], **more})


def asked(**fields: Any) -> Swarm:
    """A session that waits for its plan, its base being good."""
    return Swarm(settings=settings(**fields), ask="make it")


def answer(swarm: Swarm, *rows: Row, id_: str = "plan") -> list[ev.Event]:
    """One call of a planner, and what it wrote."""
    swarm.begin(id_)
    return swarm.end(id_, tickets=rows)


def told(swarm: Swarm, id_: str = "plan") -> str:
    """What the planner is told of its last answer."""
    return swarm.ticket(id_).feedback[-1].text


# ── the way of a plan ──


def test_a_planner_is_asked_at_once_and_works_while_the_base_is_still_at_its_gate() -> None:
    swarm = Swarm(settings=settings(), base_gate=None, ask="make it")
    assert swarm.session.status is SessionStatus.DRAFT
    answer(swarm, whole("a"), whole("b", "a"))
    assert swarm.session.plan is not None
    assert swarm.session.plan.accepted
    assert swarm.claims(roles={"implementer"}) == [], "nothing is built on a base that is not known to be good"
    swarm.gate("green")
    assert swarm.claims(roles={"implementer"}) == ["a"]
    assert swarm.statuses() == {"plan": "complete", "a": "in_progress", "b": "pending"}


def test_a_skeleton_is_expanded_group_by_group_with_blockers_first() -> None:
    swarm = asked()
    names = [f"t{n}" for n in range(GROUP + 2)]
    rows = [bare(name, *names[:n][-1:]) for n, name in enumerate(names)]
    answer(swarm, *reversed(rows))
    assert [phase.name for phase in swarm.ticket("plan").phases] == ["skeleton", "expansion-1", "expansion-2"]
    answer(swarm, *(whole(name) for name in names[:GROUP]))
    assert not swarm.of_kind(ev.PlanProposed)
    answer(swarm, *(whole(name, files=[f"{name}.py"]) for name in names[GROUP:]))
    (proposed,) = swarm.of_kind(ev.PlanProposed)
    by_id = {ticket.id: ticket for ticket in proposed.tickets}
    assert by_id[TicketId("t9")].blocked_by == ("t8",), "what an expansion leaves out stays as the skeleton has it"
    assert by_id[TicketId("t9")].files == ("t9.py",)
    assert swarm.session.to_land == GROUP + 2


def test_tickets_given_in_whole_need_no_expansion() -> None:
    swarm = asked()
    answer(swarm, whole("a"), bare("b"))
    assert swarm.ticket("plan").planning.groups == [("b",)]
    answer(swarm, whole("b"))
    assert swarm.session.plan.accepted
    assert groups_of({}) == []


def test_a_planner_that_dies_between_two_steps_is_not_asked_for_the_first_again() -> None:
    swarm = asked()
    answer(swarm, bare("a"), bare("b", "a"))
    swarm.begin("plan")
    swarm.lose("plan")
    assert swarm.ticket("plan").phase.name == "expansion-1"
    answer(swarm, whole("a"), whole("b"))
    assert swarm.session.to_land == 2


def test_planners_are_paid_for_and_never_from_the_cap_of_a_ticket() -> None:
    swarm = asked(budget=BudgetSettings(usd=1.0, per_ticket_usd=0.1))
    assert swarm.claim() == "plan"
    assert swarm.session.spending.reserved_usd == 0.5


def test_a_plan_that_can_not_be_paid_for_suspends_the_session() -> None:
    swarm = asked(budget=BudgetSettings(usd=0.2))
    assert swarm.session.suspend_reason is SuspendReason.BUDGET
    swarm.do(cmd.ResumeSession(by="ada", budget_usd=5.0))
    assert swarm.claim() == "plan"


# ── what can't be used ──


MISTAKES: dict[str, tuple[list[Row], str]] = {
    "a cycle": ([whole("a", "b"), whole("b", "a")], "cycle: a → b → a"),
    "an unknown blocker": ([whole("alpha"), whole("b", "alpa")], "names 'alpa', which is no ticket here"),
    "an id twice": ([whole("a"), whole("a")], "the id is used 2 times"),
    "an unknown key": ([{**whole("a"), "depends": []}], "unknown key 'depends'"),
    "the same title": ([whole("a"), {**whole("b"), "title": "Make A"}], "asks for the same as ticket 'a'"),
    "the same words": (
        [
            whole("a", description="Rows get names, and types."),
            whole("b", description="rows get: names and types"),
        ],
        "asks for the same as ticket 'a'",
    ),
    "nearly the same words about the same files": (
        [
            whole("a", title="Name the rows", description="rows get names and types", files=["rows.py"]),
            whole("b", "a", title="Name rows", description="the rows get names and types", files=["rows.py"]),
        ],
        "asks for the same as ticket 'a'",
    ),
    "too large": ([whole("a", estimate_s=100_000)], "split it"),
    "too much asked": ([whole("a", acceptance=["x"] * 50)], "over 40 points of acceptance"),
    "files side by side": ([whole("a", files=["x.py"]), whole("b", files=["x.py"])], "at the same time"),
    "a planner's own work": ([whole("a", "plan")], "is a planner's work"),
    "its own id": ([whole("plan")], "the id is used 2 times"),
    "nothing at all": ([], "must be a list with at least one ticket"),
    "no object id": ([{"title": "nameless"}], "id: is missing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_with_a_plan_goes_back_to_the_planner(mistake: str) -> None:
    rows, words = MISTAKES[mistake]
    swarm = asked()
    answer(swarm, *rows)
    assert words in told(swarm)
    answer(swarm, whole("good"))
    assert swarm.session.plan.accepted


def test_everything_that_is_wrong_is_told_at_once() -> None:
    swarm = asked()
    answer(swarm, whole("a", "b"), whole("b", "a", "nobody"), whole("c", estimates=1))
    assert all(words in told(swarm) for words in ("cycle", "'nobody'", "'estimates'"))


def test_tickets_in_order_may_touch_the_same_files() -> None:
    swarm = asked()
    answer(swarm, whole("a", files=["x.py"]), whole("b", "a"), whole("c", "b", files=["*.py"]))
    assert swarm.session.plan.accepted


def test_tickets_that_sound_alike_about_different_files_are_no_duplicates() -> None:
    swarm = asked()
    names = [f"part{n}" for n in range(8)]
    answer(swarm, *(whole(n, description=f"port {n} to the new interface and its tests", files=[n]) for n in names))
    assert swarm.session.plan.accepted


def test_an_expansion_is_of_the_tickets_that_were_asked_for() -> None:
    swarm = asked()
    answer(swarm, bare("a"), bare("b"))
    answer(swarm, whole("a"), whole("c"))
    assert "ticket 'c': was not asked for" in told(swarm)
    assert "ticket 'b': is missing" in told(swarm)
    answer(swarm, whole("a"), bare("b"))
    assert "ticket 'b': says neither what" in told(swarm)
    answer(swarm, whole("a"), whole("b"))
    assert swarm.session.plan.accepted


def test_files_that_overlap_between_groups_are_told_of_the_later_one() -> None:
    swarm = asked()
    answer(swarm, whole("a", files=["x.py"]), bare("b"))
    answer(swarm, whole("b", files=["x.py"]))
    assert "same files as ticket 'a'" in told(swarm)
    answer(swarm, whole("b", "a", files=["x.py"]))
    assert swarm.session.plan.accepted


def test_mistakes_are_fed_back_twice_and_then_the_session_waits_for_a_person() -> None:
    swarm = asked()
    for _ in range(MAX_FEEDBACK + 1):
        assert swarm.session.status is SessionStatus.ACTIVE or swarm.session.plan is None
        answer(swarm, whole("a", "nobody"))
    assert swarm.session.suspend_reason is SuspendReason.NO_PLAN
    assert "'nobody'" in swarm.session.detail
    swarm.do(cmd.ResumeSession(by="ada"))
    answer(swarm, whole("a"))
    assert swarm.session.status is SessionStatus.ACTIVE


def test_no_more_feedback_than_the_session_allows() -> None:
    swarm = asked(bounds=Bounds(max_attempts=1))
    answer(swarm, whole("a", "nobody"))
    assert swarm.session.suspend_reason is SuspendReason.NO_PLAN


def test_overlapping_files_alone_fail_no_plan_and_are_noted() -> None:
    swarm = asked()
    for _ in range(MAX_FEEDBACK + 1):
        answer(swarm, whole("a", files=["x.py"]), whole("b", files=["x.py"]))
    assert swarm.session.plan.accepted
    assert "at the same time" in swarm.of_kind(ev.Noted)[-1].what


def test_an_answer_without_tickets_is_none() -> None:
    swarm = asked()
    swarm.begin("plan")
    swarm.end("plan")
    assert '{"tickets"' in told(swarm)


def test_planners_can_not_bring_a_session_beyond_its_bound() -> None:
    swarm = asked(policy=Policy(max_planned=2))
    answer(swarm, whole("a"), whole("b"), whole("c"))
    assert "at most 2 more fit" in told(swarm)


# ── what persons say to it ──


def ask_first(**fields: Any) -> Swarm:
    swarm = asked(policy=Policy(approve_plan=True, **fields))
    answer(swarm, whole("a"), whole("b", "a"))
    return swarm


def test_a_plan_is_shown_before_anything_is_built() -> None:
    swarm = ask_first()
    assert list(swarm.session.open_approvals) == ["a1"]
    assert swarm.claims() == []
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a1"), by="ada"))
    assert swarm.claims() == ["a"]


def test_what_a_person_makes_of_a_plan_is_built_and_the_first_one_stays_in_the_record() -> None:
    swarm = ask_first()
    edited = (spec("a"), spec("c", "a"))
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a1"), by="ada", tickets=edited))
    assert [(plan.plan, plan.by) for plan in swarm.of_kind(ev.PlanProposed)] == [(1, "planner"), (2, "ada")]
    assert swarm.of_kind(ev.PlanAccepted)[-1].plan == 2
    assert set(swarm.session.tickets) == {"plan", "a", "c"}


def test_a_plan_that_a_person_breaks_is_refused_and_can_be_edited_again() -> None:
    swarm = ask_first()
    rejection = swarm.refused(
        cmd.GiveApproval(approval=ApprovalId("a1"), by="ada", tickets=(spec("a", "b"), spec("b", "a")))
    )
    assert "cycle" in rejection.reason
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a1"), by="ada"))
    assert swarm.session.plan.accepted


def test_a_landing_has_no_plan_to_edit() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(approve_landing=True)))
    swarm.phases("a")
    approval = next(iter(swarm.session.open_approvals))
    assert "no plan" in swarm.refused(cmd.GiveApproval(approval=approval, by="ada", tickets=(spec("b"),))).why


def test_a_rejected_plan_goes_back_with_the_reason_three_times() -> None:
    swarm = ask_first()
    for number in range(1, MAX_REJECTIONS + 1):
        swarm.do(cmd.RejectApproval(approval=ApprovalId(f"a{number}"), by="ada", why=f"no {number}"))
        assert swarm.ticket("plan").feedback[-1].text == f"no {number}"
        assert swarm.ticket("plan").phase.name == "skeleton"
        answer(swarm, whole(f"n{number}"))
    swarm.do(cmd.RejectApproval(approval=ApprovalId("a4"), by="ada", why="enough"))
    assert swarm.session.status is SessionStatus.FINALIZED
    assert "enough" in swarm.session.detail


def test_a_cancelled_planning_ends_the_session() -> None:
    swarm = asked()
    swarm.do(cmd.CancelTicket(ticket=TicketId("plan"), by="ada", reason="not now"))
    assert swarm.session.status is SessionStatus.FINALIZED
    assert "not now" in swarm.session.detail


def test_a_planning_on_hold_suspends_and_resume_asks_again() -> None:
    swarm = asked()
    swarm.hold("plan")
    assert swarm.session.suspend_reason is SuspendReason.NO_PLAN
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.claim() == "plan"


def test_a_red_base_ends_the_planner_too() -> None:
    swarm = Swarm(settings=settings(), base_gate=None, ask="make it")
    swarm.begin("plan")
    swarm.gate("red")
    assert swarm.session.status is SessionStatus.FINALIZED
    assert swarm.attempt("plan").status == "cancelled"


def test_only_a_plan_is_over_once_it_is_made() -> None:
    swarm = asked(policy=Policy(plan_only=True), gates=Gates())
    assert not swarm.session.gates
    answer(swarm, whole("a"))
    assert (swarm.session.status, str(swarm.session.outcome)) == (SessionStatus.FINALIZED, "planned")


# ── more work ──


def delegate(swarm: Swarm, text: str = "and more") -> str:
    (asked_for, *_) = swarm.do(cmd.DelegateTask(by="ada", text=text))
    assert isinstance(asked_for, ev.PlanningRequested)
    return asked_for.ticket


def test_delegated_work_comes_on_top_of_the_plan() -> None:
    swarm = Swarm("a", "b")
    id_ = delegate(swarm)
    answer(swarm, whole("c", "a"), id_=id_)
    assert swarm.statuses() == {"a": "ready", "b": "ready", id_: "complete", "c": "pending"}
    swarm.landed("a", "b", "c")
    assert swarm.session.to_land == 3


def test_what_is_delegated_late_wakes_a_session_that_awaits_its_review() -> None:
    swarm = Swarm("a")
    swarm.landed("a")
    assert swarm.session.status is SessionStatus.AWAITING_REVIEW
    id_ = delegate(swarm)
    assert swarm.session.status is SessionStatus.ACTIVE
    answer(swarm, whole("b"), id_=id_)
    swarm.landed("b")


def test_additions_are_asked_about_where_plans_are_and_can_be_sent_back() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(approve_plan=True)))
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a1"), by="ada"))
    id_ = delegate(swarm)
    answer(swarm, whole("b"), id_=id_)
    assert "b" not in swarm.session.tickets
    swarm.do(cmd.RejectApproval(approval=ApprovalId("a2"), by="ada", why="smaller"))
    answer(swarm, whole("c"), id_=id_)
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a3"), by="ada"))
    assert set(swarm.session.tickets) == {"a", id_, "c"}


def test_an_addition_whose_name_was_taken_meanwhile_is_refused_and_can_be_edited() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(approve_plan=True)))
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a1"), by="ada"))
    answer(swarm, whole("b"), id_=delegate(swarm))
    swarm.do(cmd.AddTickets(tickets=(spec("b"),), by="bob"))
    assert "used 2 times" in swarm.refused(cmd.GiveApproval(approval=ApprovalId("a2"), by="ada")).reason
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a2"), by="ada", tickets=(spec("c"),)))
    assert "c" in swarm.session.tickets


def test_nothing_is_delegated_before_there_is_a_plan_nor_without_words() -> None:
    assert "no accepted plan" in swarm_refusal(asked(), "more")
    assert "empty" in swarm_refusal(Swarm("a"), " ")
    nobody = Swarm("a", settings=settings(roles={"implementer": ("command:x",)}))
    assert "role planner" in swarm_refusal(nobody, "more")


def swarm_refusal(swarm: Swarm, text: str) -> str:
    return swarm.refused(cmd.DelegateTask(by="ada", text=text)).reason


def test_a_failed_delegation_is_shown_and_fails_nothing_else() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(max_attempts=1)))
    id_ = delegate(swarm)
    answer(swarm, whole("b", "nobody"), id_=id_)
    assert swarm.ticket(id_).status == "failed"
    swarm.landed("a")


# ── what agents propose ──


def test_what_an_agent_proposes_goes_to_the_planner_who_may_leave_it_out() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.end("a", proposed_tickets=({"title": "clean up"},))
    (asked_for,) = swarm.of_kind(ev.PlanningRequested)
    assert (asked_for.purpose, asked_for.by) == (Purpose.PROPOSALS, "a:1")
    assert asked_for.proposed == ({"title": "clean up"},)
    answer(swarm, id_="proposals")
    assert swarm.statuses() == {"a": "landing", "proposals": "complete"}


def test_without_a_planner_proposals_are_noted_and_not_lost() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(planner=False)))
    swarm.begin("a")
    swarm.end("a", proposed_tickets=({"title": "clean up"},))
    (noted,) = swarm.of_kind(ev.Noted)
    assert "clean up" in noted.what
    assert noted.next_step


def test_a_planner_that_can_not_judge_proposals_holds_nothing_up() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(max_attempts=1)))
    swarm.begin("a")
    swarm.end("a", proposed_tickets=({"title": "clean up"},))
    answer(swarm, whole("b", "nobody"), id_="proposals")
    assert swarm.ticket("proposals").status == "complete"
    assert "goes on without" in swarm.of_kind(ev.Noted)[-1].what


# ── the final answer ──


def test_a_session_planned_from_words_ends_with_an_answer() -> None:
    swarm = asked()
    answer(swarm, whole("a"))
    swarm.landed("a")
    assert swarm.of_kind(ev.PlanningRequested)[-1].purpose is Purpose.ANSWER
    swarm.begin("answer")
    swarm.end("answer", answer="  You have a now.\n")
    assert swarm.session.answer == "You have a now."
    assert swarm.session.review_reason == "unsaved"


def test_an_answer_that_nobody_gives_holds_nothing_up() -> None:
    swarm = asked(bounds=Bounds(max_interruptions=1))
    answer(swarm, whole("a"))
    swarm.landed("a")
    swarm.begin("answer")
    swarm.lose("answer")
    assert swarm.session.answer == ""
    assert swarm.session.review_reason == "unsaved"


def test_tickets_from_a_file_end_without_words() -> None:
    swarm = Swarm("a")
    swarm.landed("a")
    assert swarm.of_kind(ev.PlanningRequested) == []


def test_the_answer_is_asked_for_again_when_more_has_landed_and_never_twice_for_the_same() -> None:
    swarm = asked()
    answer(swarm, whole("a"))
    swarm.landed("a")
    swarm.begin("answer")
    swarm.end("answer", answer="a")
    answer(swarm, whole("b"), id_=delegate(swarm))
    swarm.landed("b")
    swarm.begin("answer-2")
    swarm.end("answer-2", answer="a and b")
    assert swarm.session.answer == "a and b"
    assert swarm.session.status is SessionStatus.AWAITING_REVIEW


# ── interfaces that tickets share ──


def sharing(*ids: str, **fields: Any) -> tuple[Any, ...]:
    return tuple(spec(id_, interfaces=("rows",), **fields) for id_ in ids)


def test_tickets_that_begin_together_and_share_an_interface_wait_for_an_agreement() -> None:
    swarm = Swarm(spec("z"), *(spec(id_, "z", interfaces=("rows", "csv")) for id_ in "ab"), spec("c", "z"))
    (asked_for,) = swarm.of_kind(ev.PlanningRequested)
    assert (asked_for.text, asked_for.about) == ("rows, csv", ("a", "b"))
    assert swarm.ticket("agreement").shown_status == "pending", "it comes just before their wave"
    swarm.landed("z")
    assert swarm.claims(roles={"implementer"}) == ["c"]
    swarm.begin("agreement")
    swarm.end("agreement", answer="Rows are tuples.")
    assert swarm.claims() == ["a", "b"]
    assert swarm.ticket("agreement").planning.result == "Rows are tuples."


def test_tickets_in_order_need_no_agreement() -> None:
    swarm = Swarm(spec("a", interfaces=("rows",)), spec("b", "a", interfaces=("rows",)))
    assert swarm.of_kind(ev.PlanningRequested) == []


def test_without_an_agreement_the_work_goes_on() -> None:
    swarm = Swarm(*sharing("a", "b"), settings=settings(bounds=Bounds(max_attempts=1)))
    swarm.begin("agreement")
    swarm.end("agreement", failure="crashed")
    assert swarm.claims() == ["a", "b"]


def test_without_a_planner_what_is_shared_is_noted() -> None:
    swarm = Swarm(*sharing("a", "b"), settings=settings(policy=Policy(planner=False)))
    assert "rows: a, b" in swarm.of_kind(ev.Noted)[0].what
    assert swarm.claims() == ["a", "b"]


def test_added_tickets_and_planned_ones_are_looked_at_too() -> None:
    swarm = Swarm("a")
    swarm.do(cmd.AddTickets(tickets=sharing("b", "c"), by="ada"))
    assert swarm.statuses() == {"a": "ready", "b": "pending", "c": "pending", "agreement": "ready"}
    planned = asked()
    answer(planned, whole("a", interfaces=["rows"]), whole("b", interfaces=["rows"]))
    assert planned.claim() == "agreement"


def test_an_agreement_takes_no_name_that_a_ticket_bears() -> None:
    swarm = Swarm(*sharing("agreement", "b"))
    assert set(swarm.session.plannings) == {"agreement-2"}


@pytest.mark.parametrize("held", [False, True])
def test_a_cancelled_agreement_can_not_hold_its_tickets_for_ever(held: bool) -> None:
    swarm = Swarm(*sharing("a", "b"))
    if held:
        swarm.hold("agreement")
    swarm.do(cmd.CancelTicket(ticket=TicketId("agreement"), by="ada"))
    assert swarm.claims() == ["a", "b"]


def test_what_goes_beyond_the_agreements_of_one_plan_is_noted() -> None:
    pairs = [(f"a{n}", f"b{n}") for n in range(MOST + 2)]
    swarm = Swarm(*(spec(id_, interfaces=(f"i{n}",)) for n, pair in enumerate(pairs) for id_ in pair))
    assert len(swarm.session.plannings) == MOST
    (noted,) = swarm.of_kind(ev.Noted)
    assert "i20: a20, b20; i21: a21, b21" in noted.what
