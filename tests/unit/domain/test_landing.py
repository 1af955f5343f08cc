from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev, gates, landing
from codeswarm.domain.ids import TicketId
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.results import Finding, GateOutcome, GateRun, Usage
from codeswarm.domain.settings import Bounds, BudgetSettings, Gates, Policy
from codeswarm.domain.states import SuspendReason, TicketStatus
from tests.support.sessions import FAST, VERIFIERS, Swarm, commit, gate_run, receipt, settings, spec, tree_of, waiver

A, B = TicketId("a"), TicketId("b")


def queued(*ids: str, **fields: object) -> Swarm:
    """A swarm whose tickets wait for their landing, in that order."""
    swarm = Swarm(*ids, **fields)  # type: ignore[arg-type]
    for id_ in ids:
        swarm.phases(id_)
    return swarm


# ── the way of one landing ──


def test_a_landing_is_merge_gate_receipt_and_then_the_commit_point() -> None:
    swarm = queued("a")
    (merged, requested) = swarm.merge()
    assert isinstance(merged, ev.LandingMerged)
    assert isinstance(requested, ev.GateRequested)
    assert (requested.purpose, requested.commit, requested.tree) == ("landing", merged.commit, merged.tree)
    swarm.gate()
    old = swarm.session.tip
    landed = swarm.land(files=("src/a.py", "src/b.py"))[0]
    assert isinstance(landed, ev.TicketLanded)
    assert (landed.old, landed.new, landed.tree) == (old, merged.commit, merged.tree)
    assert landed.receipts == (swarm.session.receipts[merged.tree, "fast"].id,)
    assert (swarm.session.tip, swarm.session.tip_tree) == (merged.commit, merged.tree)
    assert swarm.ticket("a").files == ("src/a.py", "src/b.py")


def test_nothing_lands_without_a_green_receipt_for_every_command_on_its_very_tree() -> None:
    swarm = Swarm(spec("a", gate="mine"))
    swarm.phases("a")
    swarm.merge()
    assert swarm.session.landing is not None
    land = cmd.LandMerge(landing=1)
    assert "`fast` has no green receipt" in swarm.refused(land).reason
    swarm.claim(roles=VERIFIERS)
    swarm.do(cmd.LoseLease(subject="@landing-2", epoch=1, reason="silent"))
    assert swarm.refused(land).refusal is Kind.WRONG_STATE
    swarm.later(600)
    swarm.gate()
    assert swarm.do(land)


def test_a_receipt_for_another_tree_lands_nothing() -> None:
    swarm = queued("a", "b")
    swarm.merge()
    swarm.gate()
    swarm.land()
    swarm.merge()
    assert swarm.refused(cmd.LandMerge(landing=2)).refusal is Kind.WRONG_STATE


def test_a_tree_that_has_its_receipt_already_is_not_gated_again() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    report, receipts = swarm.report("a")
    swarm.complete("a", report, receipts)
    assert report.work is not None
    same_tree = swarm.merge_of("a").model_copy(update={"tree": report.work.tree})
    assert [event.kind for event in swarm.do(same_tree)] == ["LandingMerged"]
    assert next(event.kind for event in swarm.land()) == "TicketLanded"


def test_landings_go_first_come_first_served_and_one_at_a_time() -> None:
    swarm = queued("b", "a")
    assert landing.next_to_land(swarm.session) is swarm.ticket("b")
    swarm.merge()
    assert landing.next_to_land(swarm.session) is None
    assert "under way" in swarm.refused(swarm.merge_of("a")).reason
    swarm.gate()
    swarm.land()
    assert landing.next_to_land(swarm.session) is swarm.ticket("a")


def test_a_merge_on_an_old_tip_or_of_old_work_is_stale() -> None:
    swarm = queued("a", "b")
    early = swarm.merge_of("b")
    swarm.merge()
    swarm.gate()
    swarm.land()
    assert swarm.refused(early).refusal is Kind.STALE
    assert swarm.refused(swarm.merge_of("b", work=commit("else"))).refusal is Kind.STALE
    assert swarm.refused(swarm.merge_of("a", work=commit("x"))).refusal is Kind.STALE, "it has landed"


def test_the_commit_point_counts_once() -> None:
    swarm = queued("a")
    swarm.merge()
    swarm.gate()
    swarm.land()
    assert swarm.refused(cmd.LandMerge(landing=1)).refusal is Kind.STALE
    assert swarm.refused(cmd.BounceLanding(landing=1, reason="x")).refusal is Kind.STALE


def test_a_landing_frees_the_tickets_behind_it() -> None:
    swarm = Swarm("a", spec("b", "a"))
    swarm.landed("a")
    swarm.later(1)
    assert swarm.statuses()["b"] == "ready"
    assert swarm.claim() == "b"


# ── no gate at all ──


def test_without_any_gate_a_landing_needs_a_waiver_that_names_a_person() -> None:
    swarm = Swarm("a", settings=settings(gates=Gates(waived_by="ada")))
    swarm.phases("a")
    swarm.merge()
    assert swarm.session.landing is not None
    tree = swarm.session.landing.tree
    for waivers in ((), (waiver(tree, by=""),), (waiver(tree_of(commit("other"))),)):
        assert swarm.refused(cmd.LandMerge(landing=1, waivers=waivers)).refusal is Kind.INVALID
    red = receipt(tree, GateRun(name="no-gate", command="", outcome=GateOutcome.RED), by="ada")
    assert swarm.refused(cmd.LandMerge(landing=1, waivers=(red,))).refusal is Kind.INVALID
    recorded, landed = swarm.land(waivers=(waiver(tree),))[:2]
    assert isinstance(recorded, ev.ReceiptsRecorded)
    assert isinstance(landed, ev.TicketLanded)
    assert landed.receipts == (recorded.receipts[0].id,)


def test_waived_project_gates_do_not_waive_the_tickets_own() -> None:
    swarm = Swarm(spec("a", gate="mine"), settings=settings(gates=Gates(fast=FAST, waived_by="ada")))
    swarm.phases("a")
    swarm.merge()
    assert swarm.session.landing is not None
    assert [command.command for command in swarm.session.landing.commands] == ["mine"]


# ── bounces ──


def test_a_red_landing_gate_sends_the_ticket_back_with_the_evidence() -> None:
    swarm = queued("a")
    swarm.merge()
    finding = Finding(file="x.py", text="broken by b")
    swarm.gate("red", tail="1 failed", findings=(finding,))
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.phase.name, ticket.bounces, ticket.failures) == ("ready", "implementation", 1, 0)
    assert ticket.feedback[0].source == "gate"
    assert ticket.feedback[0].findings[0] == finding
    assert "1 failed" in ticket.feedback[0].findings[1].text
    assert swarm.session.landing is None


def test_a_conflict_sends_the_ticket_back_to_begin_with_the_markers() -> None:
    swarm = queued("a")
    swarm.merge(conflicts=("x.py", "y.py"))
    ticket = swarm.ticket("a")
    assert (ticket.conflict, ticket.bounces, ticket.status) == (1, 1, "ready")
    assert (ticket.feedback[0].source, ticket.feedback[0].files) == ("conflict", ("x.py", "y.py"))


def test_bounces_are_bounded() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(max_bounces=3)))
    for number in range(3):
        assert swarm.ticket("a").status is TicketStatus.READY
        swarm.phases("a")
        if number % 2:
            swarm.merge(conflicts=("x",))
        else:
            swarm.merge()
            swarm.gate("red")
    assert swarm.ticket("a").status is TicketStatus.FAILED
    assert "bounced 3 times" in swarm.ticket("a").reason


def who_met(**fields: object) -> Swarm:
    """`a` came back from a conflict with what landed before; `b` has changed a file of `a`'s, too, `c` has not."""
    swarm = Swarm("a", "b", "c", settings=settings(**{"bounds": Bounds(max_attempts=1), **fields}))
    for id_, file in (("a", "hot.py"), ("b", "hot.py"), ("c", "cool.py")):
        swarm.phase(id_, files=(file,), usage=Usage(cost_usd=0.3))
    swarm.merge(conflicts=("hot.py",))
    return swarm


def land_next(swarm: Swarm) -> str | None:
    """Land whatever may land next."""
    ticket = landing.next_to_land(swarm.session)
    if ticket is None:
        return None
    swarm.merge()
    swarm.gate()
    swarm.land(files=ticket.files)
    return ticket.id


def test_who_came_back_from_a_conflict_lands_before_what_touches_its_files() -> None:
    swarm = who_met()
    assert [land_next(swarm), land_next(swarm)] == ["c", None]
    swarm.phase("a", files=("hot.py",))
    assert [land_next(swarm), land_next(swarm)] == ["a", "b"]


def test_who_came_back_from_a_conflict_is_claimed_first_whatever_its_priority() -> None:
    swarm = Swarm(spec("a", priority=4), spec("b", priority=0))
    swarm.begin("b")
    swarm.phase("a")
    swarm.release_lease("b")
    swarm.merge(conflicts=("hot.py",))
    assert swarm.claims() == ["a", "b"]


def test_who_backs_off_is_not_waited_for() -> None:
    swarm = who_met()
    swarm.phase("a", failure="overloaded")
    assert "a" in swarm.session.right_of_way
    assert [land_next(swarm), land_next(swarm)] == ["b", "c"]


def test_who_can_not_be_afforded_is_not_waited_for() -> None:
    swarm = who_met(budget=BudgetSettings(usd=1.0, reserve_usd=0.2))
    assert swarm.claim() is None
    assert [land_next(swarm), land_next(swarm)] == ["b", "c"]
    assert swarm.session.suspend_reason is SuspendReason.BUDGET


def test_who_is_not_wanted_any_more_is_not_waited_for() -> None:
    swarm = who_met(policy=Policy(target=1))
    assert [land_next(swarm), land_next(swarm)] == ["c", "b"]


@pytest.mark.parametrize("end", ["held", "cancelled", "failed"])
def test_the_right_of_way_ends_with_the_ticket(end: str) -> None:
    swarm = who_met()
    if end == "held":
        swarm.hold("a")
    elif end == "cancelled":
        swarm.do(cmd.CancelTicket(ticket=A, by="ada"))
    else:
        swarm.phase("a", gates="red")
    assert not swarm.session.right_of_way
    assert land_next(swarm) == "b"


def test_a_landing_gate_that_could_not_run_is_run_again_and_nobody_is_blamed() -> None:
    swarm = queued("a")
    swarm.merge()
    swarm.gate("unavailable")
    assert (swarm.ticket("a").status, swarm.ticket("a").bounces) == ("landing", 0)
    swarm.later(600)
    swarm.gate()
    swarm.land()


def test_a_ticket_that_is_held_while_it_lands_does_not_land_and_is_not_blamed() -> None:
    swarm = queued("a")
    swarm.merge()
    gate = swarm.claim(roles=VERIFIERS)
    assert gate is not None
    swarm.hold("a")
    assert (swarm.ticket("a").status, swarm.ticket("a").bounces, swarm.session.landing) == ("on_hold", 0, None)
    late = cmd.CompleteGate(gate=gate, epoch=1, runs=(), receipts=())
    assert swarm.refused(late).refusal is Kind.STALE
    swarm.release("a")
    assert swarm.ticket("a").status is TicketStatus.LANDING


def test_nothing_is_landed_while_the_session_is_suspended() -> None:
    swarm = queued("a")
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    assert landing.next_to_land(swarm.session) is None
    swarm.do(cmd.ResumeSession(by="ada"))
    assert landing.next_to_land(swarm.session) is swarm.ticket("a")


def test_a_landing_under_way_when_the_session_is_suspended_waits_for_it_to_go_on() -> None:
    swarm = queued("a")
    swarm.merge()
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    assert swarm.session.landing is not None
    (gate,) = swarm.session.gates.values()
    swarm.do(cmd.ResumeSession(by="ada"))
    leased = swarm.claim("v1", VERIFIERS)
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    assert leased == gate.id
    swarm.finish_gate(gate.id)
    refused = swarm.refused(cmd.LandMerge(landing=1, files=("src/a.py",)))
    assert refused.refusal is Kind.WRONG_STATE
    swarm.do(cmd.ResumeSession(by="ada"))
    swarm.land()


def test_a_receipt_for_what_changed_since_another_base_does_not_count() -> None:
    swarm = queued("a")
    work, tip = swarm.ticket("a").work, swarm.session.tip
    assert work is not None
    told = receipt(tree_of(work), gate_run(FAST, "green"))
    for base, counts in ((commit("older"), False), (tip, True), (None, True)):
        swarm.session.receipts[tree_of(work), FAST.command] = told.model_copy(update={"base": base})
        assert gates.missing(swarm.session, tree_of(work), (FAST,), tip) is not counts
    assert not gates.missing(swarm.session, tree_of(work), (FAST,))


# ── what changes on the tip is what counts ──


def test_a_landing_that_touches_more_than_its_attempts_told_of_waits_for_a_person() -> None:
    swarm = Swarm("a", settings=settings(policy=Policy(sensitive=(".github/**",))))
    swarm.phases("a", files=("src/a.py",))
    assert swarm.ticket("a").status is TicketStatus.LANDING, "nothing sensitive was told of"
    swarm.merge()
    swarm.gate()
    events = swarm.land(files=("src/a.py", ".github/workflows/ci.yml"))
    assert [event.kind for event in events][:3] == ["LandingBounced", "TicketWaiting", "ApprovalRequested"]
    assert (swarm.ticket("a").status, swarm.ticket("a").bounces) == ("waiting", 0)
    swarm.do(cmd.GiveApproval(approval="a1", by="bob"))
    swarm.merge()
    swarm.gate()
    landed = swarm.land(files=("src/a.py", ".github/workflows/ci.yml"))
    assert landed[0].kind == "TicketLanded"


# ── gates in general ──


def test_a_gate_with_a_command_missing_and_nothing_red_has_not_been_run() -> None:
    swarm = Swarm(spec("a", gate="mine"))
    swarm.phases("a")
    swarm.merge()
    swarm.claim(roles=VERIFIERS)
    gate = next(iter(swarm.session.gates.values()))
    run = GateRun(name="fast", command="fast", outcome=GateOutcome.GREEN, exit_code=0)
    kinds = [e.kind for e in swarm.do(cmd.CompleteGate(gate=gate.id, epoch=1, runs=(run,), receipts=()))]
    assert kinds == ["GateLost"]


@pytest.mark.parametrize("outcome", ["green", "red"])
def test_the_end_of_a_gate_told_twice_is_stale(outcome: str) -> None:
    swarm = queued("a")
    swarm.merge()
    gate = swarm.claim(roles=VERIFIERS)
    assert gate is not None
    swarm.finish_gate(gate, outcome)
    assert swarm.refused(cmd.CompleteGate(gate=gate, epoch=1, runs=(), receipts=())).refusal is Kind.STALE
