from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev, landing
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.settings import Bounds, Gates, Policy
from codeswarm.domain.states import SessionStatus, SuspendReason
from tests.support.sessions import FAST, FULL, VERIFIERS, Swarm, commit, settings, spec, waiver

BOTH = Gates(fast=FAST, full=FULL)
SAVE = cmd.RequestSave(by="ada")
NAME = "checkpoint/2026-11-20-1"


def landed(*tickets: str, ids: tuple[str, ...] = ("a",), **fields: object) -> Swarm:
    """A swarm in which `ids` have landed; its full gate is not the fast one."""
    swarm = Swarm(*tickets, settings=settings(**{"gates": BOTH, **fields}))
    swarm.landed(*ids)
    return swarm


# ── the way of a save ──


def test_a_save_is_a_full_gate_an_intent_and_an_outcome() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    (requested,) = swarm.do(cmd.RequestFullGate())
    assert isinstance(requested, ev.GateRequested)
    assert (requested.purpose, requested.commit) == ("full", swarm.session.tip)
    assert swarm.do(cmd.RequestFullGate()) == [], "one full gate at a time"
    assert "no green receipt" in swarm.refused(_intend(swarm)).reason
    swarm.gate()
    (intended,) = swarm.intend()
    assert isinstance(intended, ev.SaveIntended)
    assert (intended.new, intended.into, intended.checkpoint) == (swarm.session.tip, "main", NAME)
    assert intended.receipts == (swarm.session.receipts[swarm.session.tip_tree, "full"].id,)
    (saved,) = swarm.do(cmd.CompleteSave(how="fast_forward"))
    assert isinstance(saved, ev.CheckpointSaved)
    assert (saved.new, swarm.session.saved_tip) == (swarm.session.tip, swarm.session.tip)
    assert swarm.session.checkpoints[NAME].state == "saved"


def test_a_full_gate_that_has_its_receipt_on_the_tip_is_not_asked_for_again() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    swarm.gate()
    assert swarm.do(cmd.RequestFullGate()) == []


def test_a_save_when_nothing_has_landed_is_refused() -> None:
    swarm = Swarm("a")
    assert "nothing has landed" in swarm.refused(SAVE).reason
    assert swarm.refused(cmd.RequestSave(by="ada", to="branch", into="x")).refusal is Kind.WRONG_STATE


def test_there_is_one_save_at_a_time() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    assert "being saved already" in swarm.refused(SAVE).reason


def test_steps_of_a_save_that_nobody_asked_for_are_refused() -> None:
    swarm = landed("a", "b")
    for command in (_intend(swarm), cmd.CompleteSave(how="x"), cmd.RefuseSave(reason="x", detail="y")):
        assert swarm.refused(command).refusal is Kind.WRONG_STATE
    swarm.do(SAVE)
    assert swarm.refused(cmd.CompleteSave(how="x")).refusal is Kind.WRONG_STATE, "before the intent"


def _intend(swarm: Swarm, name: str = NAME) -> cmd.IntendSave:
    return cmd.IntendSave(checkpoint=name, old=swarm.session.base, new=swarm.session.tip)


def test_an_intent_is_of_the_tip_and_under_a_name_of_its_own() -> None:
    swarm = landed("a", "b")
    swarm.saved()
    swarm.do(SAVE)
    assert swarm.refused(_intend(swarm)).refusal is Kind.INVALID
    other = cmd.IntendSave(checkpoint="checkpoint/2", old=None, new=commit("else"))
    assert swarm.refused(other).refusal is Kind.STALE


def test_an_intended_save_is_finished_or_refused_before_another_is_intended() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    swarm.gate()
    swarm.intend()
    assert "finished or refused first" in swarm.refused(_intend(swarm, "checkpoint/2")).reason
    swarm.do(cmd.RefuseSave(reason="dirty", detail="your files"))
    assert swarm.session.checkpoints[NAME].state == "refused"
    swarm.do(SAVE)
    swarm.intend("checkpoint/2")
    swarm.do(cmd.CompleteSave(how="branch"))


# ── the tip stands still ──


def test_landings_wait_while_a_save_is_under_way() -> None:
    swarm = landed("a", "b")
    swarm.phases("b")
    swarm.do(SAVE)
    assert landing.next_to_land(swarm.session) is None
    assert "the tip stands still" in swarm.refused(swarm.merge_of("b")).reason
    swarm.do(cmd.RefuseSave(reason="x", detail="y"))
    swarm.merge()


def test_a_landing_under_way_is_drained_before_the_save_goes_on() -> None:
    swarm = landed("a", "b")
    swarm.phases("b")
    swarm.merge()
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    gates = swarm.claims(roles=VERIFIERS)
    assert [gate.partition("-")[0] for gate in gates] == ["@landing", "@full"]
    swarm.finish_gate(gates[1])
    assert "is under way" in swarm.refused(_intend(swarm)).reason
    swarm.finish_gate(gates[0])
    swarm.land()
    assert "no green receipt" in swarm.refused(_intend(swarm)).reason, "the tip has moved; the gate is due anew"


def test_what_the_base_branch_gained_lands_like_a_ticket_before_the_intent() -> None:
    swarm = landed("a", "b")
    assert "only a save" in swarm.refused(swarm.merge_of(None)).reason
    swarm.do(SAVE)
    merged, requested = swarm.do(swarm.merge_of(None))
    assert isinstance(requested, ev.GateRequested)
    assert requested.purpose == "catch_up"
    swarm.gate()
    caught_up = swarm.land()[0]
    assert isinstance(caught_up, ev.CaughtUp)
    assert isinstance(merged, ev.LandingMerged)
    assert (caught_up.new, swarm.session.tip) == (merged.commit, merged.commit)
    swarm.do(cmd.RequestFullGate())
    swarm.gate()
    swarm.intend()
    assert "the tip stands still" in swarm.refused(swarm.merge_of(None)).reason


def test_a_base_branch_that_conflicts_or_breaks_the_gate_refuses_the_save_and_leaves_the_tip() -> None:
    for breaks in ("conflict", "gate_red"):
        swarm = landed("a", "b")
        tip = swarm.session.tip
        swarm.do(SAVE)
        if breaks == "conflict":
            swarm.do(swarm.merge_of(None, conflicts=("x.py",)))
        else:
            swarm.do(swarm.merge_of(None))
            swarm.gate("red")
        (refused,) = swarm.of_kind(ev.SaveRefused)
        assert (refused.reason, swarm.session.save, swarm.session.tip) == (breaks, None, tip)


def test_a_red_full_gate_refuses_the_save_with_the_reason() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    swarm.gate("red")
    (refused,) = swarm.of_kind(ev.SaveRefused)
    assert refused.reason == "gate_red"
    assert swarm.session.save is None


def test_a_refused_save_names_files_and_commands_and_may_be_asked_for_again() -> None:
    swarm = landed("a")
    swarm.gate()
    swarm.do(SAVE)
    swarm.intend()
    swarm.do(cmd.RefuseSave(reason="files_in_the_way", detail="a.py", files=("a.py",), commands=("git stash",)))
    (refused,) = swarm.of_kind(ev.SaveRefused)
    assert (refused.files, refused.commands, refused.checkpoint) == (("a.py",), ("git stash",), NAME)
    assert (swarm.session.status, swarm.session.save_refused) == ("awaiting_review", "a.py")
    swarm.saved("checkpoint/2")
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "saved")


# ── suspension and cancellation ──


def test_a_suspended_session_gives_no_leases_but_the_gate_that_a_save_waits_for_is_run() -> None:
    swarm = landed("a", "b")
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    assert swarm.claims() == ["@full-3"]
    swarm.finish_gate("@full-3")
    swarm.intend()
    swarm.do(cmd.CompleteSave(how="fast_forward"))
    assert swarm.session.status is SessionStatus.SUSPENDED
    assert swarm.claim() is None


def test_a_save_that_only_was_asked_for_is_given_up_by_cancelling_the_session() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    kinds = [event.kind for event in swarm.do(cmd.CancelSession(by="ada"))]
    assert kinds == ["SaveRefused", "GateAbandoned", "SessionCancelled"]


def test_a_save_that_was_intended_is_finished_before_the_session_can_be_cancelled() -> None:
    swarm = landed("a", "b")
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    swarm.gate()
    swarm.intend()
    assert "being saved just now" in swarm.refused(cmd.CancelSession(by="ada")).reason
    swarm.do(cmd.CompleteSave(how="fast_forward"))
    swarm.do(cmd.CancelSession(by="ada"))


def test_in_draft_there_is_nothing_to_save() -> None:
    swarm = Swarm("a", base_gate=None)
    assert swarm.refused(SAVE).refusal is Kind.WRONG_STATE


# ── saves by policy, and the end ──


def test_when_all_is_landed_the_full_gate_is_asked_for_and_then_a_person() -> None:
    swarm = landed("a")
    assert [gate.purpose for gate in swarm.session.gates.values()] == ["full"]
    swarm.gate()
    assert (swarm.session.status, swarm.session.review_reason) == ("awaiting_review", "unsaved")


def test_a_red_full_gate_at_the_end_waits_for_a_person() -> None:
    swarm = landed("a")
    swarm.gate("red")
    assert (swarm.session.status, swarm.session.review_reason) == ("awaiting_review", "full_gate_red")


def test_a_save_whose_gate_can_never_be_run_is_refused() -> None:
    swarm = landed("a", "b", bounds=Bounds(max_interruptions=3, backoff_base_s=0))
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    swarm.do(SAVE)
    swarm.do(cmd.RequestFullGate())
    for _ in range(3):
        swarm.later(60)
        swarm.gate("unavailable")
    assert (swarm.session.save, swarm.session.gates, swarm.session.status) == (None, {}, "suspended")
    assert "the full gate could not be run 3 times" in swarm.session.save_refused


def test_a_full_gate_that_nobody_waits_for_and_can_not_be_run_waits_for_a_person() -> None:
    bounds = Bounds(max_interruptions=3, backoff_base_s=0)
    swarm = landed("a", policy=Policy(save_at_end=True), bounds=bounds)
    for _ in range(3):
        swarm.later(60)
        swarm.gate("unavailable")
    assert swarm.session.suspend_reason is SuspendReason.GATE_UNAVAILABLE


def test_a_session_that_saves_at_its_end_asks_nobody() -> None:
    swarm = landed("a", policy=Policy(save_at_end=True, save_to="branch"))
    swarm.gate()
    assert swarm.session.save is not None
    assert (swarm.session.save.to, swarm.session.save.into) == ("branch", "codeswarm-s1")
    swarm.intend()
    swarm.do(cmd.CompleteSave(how="branch"))
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "saved")


def test_a_continuous_session_saves_after_each_landing() -> None:
    swarm = landed("a", spec("b"), policy=Policy(continuous=True))
    assert swarm.session.save is not None
    swarm.do(cmd.RequestFullGate())
    swarm.gate()
    swarm.intend("checkpoint/1")
    swarm.do(cmd.CompleteSave(how="fast_forward"))
    assert (swarm.session.save, swarm.session.status) == (None, "active")
    swarm.landed("b")
    assert swarm.session.save is not None
    swarm.do(cmd.RequestFullGate())
    swarm.gate()
    swarm.intend("checkpoint/2")
    swarm.do(cmd.CompleteSave(how="fast_forward"))
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "saved")


def test_a_continuous_save_that_was_refused_is_not_tried_again_by_itself() -> None:
    swarm = landed("a", "b", policy=Policy(continuous=True))
    swarm.do(cmd.RefuseSave(reason="dirty", detail="your files"))
    assert swarm.session.save is None
    swarm.landed("b")
    assert swarm.session.save is None
    swarm.gate()
    assert swarm.session.review_reason == "save_refused"


def test_the_target_ends_the_session_though_tickets_are_left() -> None:
    swarm = landed("a", "b", "c", policy=Policy(target=1, save_at_end=True))
    swarm.gate()
    swarm.intend()
    swarm.do(cmd.CompleteSave(how="fast_forward"))
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "saved")
    assert swarm.session.detail == "the target of 1 landed is reached; 2 more could land"


def test_a_session_that_is_saved_with_tickets_on_hold_is_partial() -> None:
    swarm = Swarm("a", "b", settings=settings(gates=BOTH))
    swarm.hold("b")
    swarm.landed("a")
    swarm.gate()
    swarm.saved()
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "partial")


def test_a_save_in_the_middle_does_not_end_the_session() -> None:
    swarm = landed("a", "b")
    swarm.saved()
    assert swarm.session.status is SessionStatus.ACTIVE
    swarm.landed("b")
    swarm.gate()
    assert swarm.session.review_reason == "unsaved", "what landed since is not saved yet"


def test_a_save_without_any_gate_needs_a_waiver_that_names_a_person() -> None:
    swarm = Swarm("a", settings=settings(gates=Gates(waived_by="ada")))
    swarm.phases("a")
    swarm.merge()
    assert swarm.session.landing is not None
    swarm.land(waivers=(waiver(swarm.session.landing.tree),))
    swarm.do(SAVE)
    assert swarm.refused(_intend(swarm)).refusal is Kind.INVALID
    with_waiver = _intend(swarm).model_copy(update={"waivers": (waiver(swarm.session.tip_tree),)})
    assert [event.kind for event in swarm.do(with_waiver)] == ["ReceiptsRecorded", "SaveIntended"]
