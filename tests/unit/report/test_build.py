from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import ApprovalId, TicketId
from codeswarm.domain.results import Contract, Usage
from codeswarm.domain.settings import BudgetSettings, Gates, Policy
from codeswarm.domain.states import SuspendReason
from codeswarm.report.chart import busy_s
from codeswarm.report.document import Bar, Report, TicketPart
from codeswarm.report.evidence import Nothing
from tests.support.sessions import FAST, Swarm, settings, spec, waiver
from tests.support.stories import Shown, morning, report_on


def part(report: Report, id_: str) -> TicketPart:
    return next(part for part in report.tickets if part.id == id_)


def commands(report: Report) -> list[str]:
    return [command for ask in report.asks for command in ask.commands]


@pytest.fixture(scope="module")
def night() -> Swarm:
    return morning()


@pytest.fixture(scope="module")
def report(night: Swarm) -> Report:
    return report_on(night)


# ── the top ──


def test_the_first_sentence_says_what_landed_what_failed_and_what_waits(report: Report) -> None:
    wanted = "2 of 5 tickets landed, 1 failed, 1 on hold, 1 pending; your branch has not moved: save it, or leave it."
    assert report.headline == wanted
    assert report.counts == {"complete": 2, "failed": 1, "on_hold": 1, "pending": 1}


def test_everything_that_needs_a_person_is_asked_with_commands(report: Report) -> None:
    assert [ask.what for ask in report.asks] == [
        "Save to main",
        "Retry or cancel c, which failed",
        "Release or cancel e, which is on hold",
    ]
    assert "codeswarm save s1" in commands(report)
    assert "codeswarm ticket retry s1/c" in commands(report)
    assert "1 ticket behind it can't start" in report.asks[1].why


def test_what_failed_or_waits_stands_before_what_landed(report: Report) -> None:
    assert [part.id for part in report.tickets] == ["c", "e", "a", "b", "d"]


def test_a_cost_that_some_did_not_tell_is_told_as_the_least_that_it_was(report: Report) -> None:
    assert (report.cost.usd, report.cost.attempts, report.cost.unknown) == (4.0, 11, 3)
    assert "at least $4.00 (3 of 11 attempts did not say); per landed ticket unknown" in report.facts


def test_costs_are_told_by_role_and_agent_the_dearest_first(report: Report) -> None:
    assert [(row.role, row.attempts, row.failed, row.cost.usd) for row in report.costs] == [
        ("implementer", 6, 3, 1.5),
        ("reviewer", 3, 0, 1.5),
        ("test_writer", 2, 0, 1.0),
    ]


# ── a ticket ──


def test_a_ticket_tells_why_it_was_wanted_and_what_its_tests_promise(report: Report) -> None:
    a = part(report, "a")
    assert (a.description, a.acceptance, a.asked_by) == ("Rows need a model.", ("it has fields",), "ada")
    assert a.contract == (("postconditions", ("rows are equal by value",)),)
    assert part(report, "d").blocked_by == ("c", "b")


def test_a_landed_ticket_stands_on_the_receipts_that_it_landed_with(night: Swarm, report: Report) -> None:
    (proof,) = part(report, "a").proofs
    landing = next(x for x in night.session.landings.values() if x.ticket == "a")
    assert (proof.receipt, proof.tree, proof.outcome) == (landing.receipts[0], landing.tree, "green")
    assert proof.genuine is True


def test_findings_are_followed_to_what_became_of_them(report: Report) -> None:
    first, second = part(report, "b").reviews
    assert first.asked_for_changes
    assert first.then == "reworked in attempt 4, approved in attempt 5"
    assert first.findings[0].text == "a name that tells nothing"
    assert (second.asked_for_changes, second.then) == (False, "approved")


def test_a_landed_ticket_says_how_to_undo_it_and_what_builds_on_it(night: Swarm, report: Report) -> None:
    a, b = (night.ticket(id_).landed for id_ in "ab")
    assert a is not None
    assert b is not None
    undo = part(report, "a").undo
    assert undo is not None
    assert undo.commands == (f"git revert --no-edit {a[:12]}",)
    assert undo.dependents == ("b",)
    assert undo.with_dependents == (f"git revert --no-edit {b[:12]} {a[:12]}",), "newest first"
    assert "not on your branch yet" in undo.note
    assert "b changed the same files later" in undo.note


def test_a_failed_ticket_says_why_and_where_its_work_is(report: Report) -> None:
    trouble = part(report, "c").trouble
    assert trouble is not None
    assert "3 attempts failed" in trouble.reason
    assert trouble.tail == "$ fast\nE   assert 1 == 2"
    assert trouble.kept[0] == "refs/heads/session/s1/task/c"
    assert "refs/codeswarm/wip/s1/c/3" in trouble.kept
    assert trouble.commands == ("codeswarm work s1/c", "codeswarm logs s1/c")
    assert part(report, "a").trouble is None


def test_where_no_gate_was_red_the_last_words_of_the_agent_say_why() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.end("a", failure="crashed")
    trouble = part(report_on(swarm, Shown(words="Segmentation fault")), "a").trouble
    assert trouble is not None
    assert trouble.tail == "Segmentation fault\nit was crashed"


def test_a_waived_gate_is_told_by_the_name_of_the_person() -> None:
    swarm = Swarm("a", settings=settings(gates=Gates(fast=FAST, waived_by="ada")), base_gate=None)
    swarm.phases("a")
    swarm.merge()
    assert swarm.session.landing is not None
    swarm.land(waivers=(waiver(swarm.session.landing.tree),))
    (proof,) = part(report_on(swarm), "a").proofs
    assert (proof.outcome, proof.by, proof.command) == ("waived", "ada", "")


def test_what_is_not_in_the_store_any_more_is_said_and_fails_nothing() -> None:
    report = report_on(morning(), Nothing())
    assert part(report, "a").change is None
    assert "the commits of 3 tickets are not in the store any more" in report.cuts
    assert part(report, "a").proofs[0].genuine is None


# ── sessions in every state ──


def saved() -> Swarm:
    swarm = Swarm("a")
    swarm.landed("a")
    swarm.saved()
    return swarm


def test_what_is_saved_is_undone_on_the_branch_that_it_was_saved_to() -> None:
    swarm = saved()
    report = report_on(swarm)
    landed = swarm.ticket("a").landed
    assert landed is not None
    assert report.headline == "1 of 1 ticket landed, and all that landed is saved."
    undo = part(report, "a").undo
    assert undo is not None
    assert undo.note == "on main"
    assert report.undo_all == (f"git revert --no-edit {landed[:12]}",)
    assert report.asks == ()
    assert any(fact.startswith("saved: main at") for fact in report.facts)


def test_a_plan_that_waits_is_all_that_there_is_to_say() -> None:
    report = report_on(Swarm("a", spec("b", "a"), settings=settings(policy=Policy(approve_plan=True))))
    assert report.headline == "The plan of 2 tickets waits for your word; nothing is begun before that."
    assert commands(report) == ["codeswarm approve s1/a1", "codeswarm reject s1/a1 --why TEXT"]
    assert "without an answer by 2023-11-15 22:13 it is a no" in report.asks[0].why


def test_a_plan_that_waits_is_shown_ticket_by_ticket() -> None:
    swarm = Swarm("a", spec("b", "a"), settings=settings(policy=Policy(approve_plan=True)))
    told = [(part.id, part.wave, part.proposed, part.asked_by) for part in report_on(swarm).tickets]
    assert told == [("a", 1, True, "ada"), ("b", 2, True, "ada")]
    swarm.do(cmd.CancelSession(by="ada"))
    assert report_on(swarm).tickets == ()


def test_a_red_base_is_told_with_its_tail() -> None:
    swarm = Swarm("a", base_gate=None)
    swarm.gate({"outcome": "red", "tail": "1 failed"})
    report = report_on(swarm)
    assert report.headline.startswith("Nothing was begun: the gate is red on the base")
    assert [(gate.purpose, gate.state, gate.tail) for gate in report.gates] == [("base", "red", "$ fast\n1 failed")]


def test_a_draft_whose_gate_runs_is_told_as_such() -> None:
    assert report_on(Swarm("a", base_gate=None), live=True).headline == (
        "The plan has 1 ticket; the gate runs on the base."
    )


def test_a_cancelled_session_asks_for_nothing() -> None:
    swarm = morning()
    swarm.do(cmd.CancelSession(by="ada", reason="enough"))
    report = report_on(swarm)
    assert report.headline.startswith("Cancelled (enough): 2 of 5 tickets landed")
    assert report.asks == ()


def test_a_suspended_session_says_why_and_how_it_goes_on() -> None:
    swarm = Swarm("a")
    swarm.do(cmd.SuspendSession(reason=SuspendReason.BUDGET, detail="the budget is spent", by=""))
    report = report_on(swarm)
    assert report.headline == "Suspended (the budget is spent): none of 1 ticket landed, 1 ready."
    assert commands(report) == ["codeswarm resume s1"]
    assert any(note.what == "suspended: the budget is spent" for note in report.notes)


def test_a_session_whose_budget_is_spent_asks_for_as_much_again() -> None:
    budget = BudgetSettings(usd=0.3, reserve_usd=0.5, tokens=1000, reserve_tokens=400)
    assert commands(report_on(Swarm("a", settings=settings(budget=budget)))) == ["codeswarm resume s1 --budget-usd 0.5"]


def test_a_session_that_nobody_hosts_can_be_gone_on_with() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    assert commands(report_on(swarm)) == ["codeswarm resume s1"]
    assert report_on(swarm, live=True).asks == ()
    assert report_on(swarm, live=True).headline == "None of 1 ticket landed, 1 at work; it goes on."


def test_a_refused_save_gives_the_commands_that_clear_the_way() -> None:
    swarm = Swarm("a")
    swarm.landed("a")
    swarm.do(cmd.RequestSave(by="ada"))
    refused = cmd.RefuseSave(
        reason="dirty", detail="a changed file is in the way", files=("x.py",), commands=("git stash",)
    )
    swarm.do(refused)
    report = report_on(swarm)
    assert "the save was refused" in report.headline
    (ask,) = report.asks
    assert ask.why == "a changed file is in the way (x.py)"
    assert ask.commands == ("git stash", "codeswarm save s1")


def test_a_landing_that_waits_for_a_person_shows_its_diff_first() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(approve_landing=True)))
    swarm.phases("a")
    assert commands(report_on(swarm))[0] == "codeswarm diff s1/a"


def test_an_attempt_at_work_is_counted_as_running_and_not_as_unknown() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    cost = report_on(swarm, live=True).cost
    assert (cost.running, cost.unknown, cost.attempts) == (1, 0, 0)


def test_a_lost_attempt_tells_its_reason_and_the_ref_that_keeps_its_files() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.snapshot("a")
    swarm.lose("a", "its worker died")
    (attempt,) = part(report_on(swarm), "a").attempts
    assert (attempt.status, attempt.why, attempt.kept) == ("lost", "its worker died", "refs/codeswarm/wip/s1/a/1")


def test_the_cost_of_a_conversation_that_went_on_is_not_counted_twice() -> None:
    swarm = Swarm("a")
    swarm.begin("a", conversation="talk")
    swarm.end("a", failure="gate_unavailable", usage=Usage(cost_usd=1.0))
    swarm.later(600)
    swarm.begin("a", conversation="talk", resumed=True)
    swarm.end("a", usage=Usage(cost_usd=1.5))
    assert report_on(swarm).cost.usd == 1.5


# ── the time ──


def test_every_attempt_and_gate_is_a_bar_and_every_landing_a_mark(report: Report) -> None:
    attempts = [bar for bar in report.bars if bar.kind == "attempt"]
    assert len(attempts) == 11
    assert sum(bar.outcome == "failed" for bar in attempts) == 3
    assert [bar.outcome for bar in report.bars if bar.kind == "gate"] == ["green"] * 3
    assert [(mark.kind, mark.about) for mark in report.marks] == [("landed", "a"), ("landed", "b")]
    assert all(bar.from_ms <= bar.to_ms <= report.until_ms for bar in report.bars)


def test_the_time_that_anything_ran_is_told_beside_the_whole(report: Report) -> None:
    assert "11 attempts, 1 min 34 s of work, 2 min 34 s in all" in report.facts
    spans = ((0, 10), (5, 8), (9, 20), (30, 31))
    bars = [Bar(kind="gate", about="", label="", outcome="", from_ms=a * 1000, to_ms=b * 1000) for a, b in spans]
    assert busy_s(bars) == 21.0


def test_a_bounced_landing_is_a_mark_and_a_line_of_its_ticket() -> None:
    swarm = Swarm("a", "b")
    swarm.phases("a")
    swarm.phases("b")
    swarm.merge(conflicts=("src/a.py",))
    report = report_on(swarm)
    assert [mark.kind for mark in report.marks] == ["bounced"]
    assert part(report, "a").bounces == ("landing 1: conflict in src/a.py",)


def test_the_log_s_end_is_named(night: Swarm, report: Report) -> None:
    assert (report.ledger_seq, report.ledger_hash) == (len(night.events), "f" * 64)


def test_a_note_and_a_refused_command_are_still_there_in_the_morning() -> None:
    swarm = Swarm("a")
    swarm.do(cmd.Note(subject="walls", what="no overlay here", next_step="codeswarm doctor", ticket=TicketId("a")))
    notes = [(note.about, note.what, note.next_step) for note in report_on(swarm).notes]
    assert ("a", "no overlay here", "codeswarm doctor") in notes


def test_the_same_history_gives_the_same_report(night: Swarm) -> None:
    assert report_on(night) == report_on(night)
    assert Report.model_validate_json(report_on(night).model_dump_json()) == report_on(night)


def test_contracts_and_decisions_of_many_words_are_cut_to_their_share() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first"))
    swarm.begin("a")
    swarm.end("a", contract=Contract(postconditions=tuple(f"{n} " + "x" * 5000 for n in range(100))))
    ((_, sentences),) = part(report_on(swarm), "a").contract
    assert len(sentences) < 100
    assert all(len(sentence) < 1000 for sentence in sentences)
    assert sentences[-1].startswith("and ")


def test_what_people_said_and_did_is_noted_by_name() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(approve_plan=True)))
    swarm.do(cmd.GiveApproval(approval=ApprovalId("a1"), by="ada", note="go on"))
    swarm.do(cmd.SendMessage(by="ada", text="mind the gap"))
    swarm.hold("a")
    swarm.release("a")
    assert [(note.about, note.what) for note in report_on(swarm).notes] == [
        ("plan", "approved by ada: go on"),
        ("all agents", "told by ada: mind the gap"),
        ("a", "put on hold by ada: held by a person"),
        ("a", "released by ada"),
    ]


# ── sessions that were planned from words ──


def planned() -> Swarm:
    """A planner made one ticket of words, which landed; then the planner told what there is."""
    swarm = Swarm(settings=settings(), ask="make it")
    swarm.begin("plan")
    ticket = {"id": "a", "title": "make a", "acceptance": ["a is there"]}
    swarm.end("plan", tickets=(ticket,), usage=Usage(cost_usd=0.25))
    swarm.landed("a")
    return swarm


def test_before_there_is_a_plan_the_report_says_that_it_is_being_made() -> None:
    swarm = Swarm(settings=settings(), ask="make it")
    swarm.begin("plan")
    report = report_on(swarm, live=True)
    assert report.headline == "There is no plan yet; it is being made."
    assert report.tickets == ()
    assert [bar.about for bar in report.bars if bar.kind == "attempt"] == ["plan"]


def test_a_planner_is_paid_for_but_its_work_is_no_ticket_to_land() -> None:
    report = report_on(planned(), live=True)
    assert report.counts == {"complete": 1}
    assert [part.id for part in report.tickets] == ["a"]
    assert report.headline.startswith("1 of 1 ticket landed")
    assert next((row.role, row.cost.usd) for row in report.costs) == ("planner", 0.25)
    assert part(report, "a").asked_by != ""


def test_the_planner_s_last_words_are_the_answer() -> None:
    swarm = planned()
    swarm.begin("answer")
    swarm.end("answer", answer="You have a now.")
    assert report_on(swarm).answer == "You have a now."


def test_tickets_that_came_later_are_told_with_who_asked_for_them() -> None:
    swarm = Swarm("a")
    swarm.do(cmd.AddTickets(tickets=(spec("b", "a"),), by="bob"))
    assert part(report_on(swarm), "b").asked_by == "bob"
    assert part(report_on(swarm), "a").asked_by == "ada"
    assert [note.what for note in report_on(swarm).notes] == ["bob added b"]
