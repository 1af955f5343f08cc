from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.brain import handle
from codeswarm.domain.decide import decide
from codeswarm.domain.ids import SessionId, TicketId, WorkerId
from codeswarm.domain.pipeline import SHIPPED, Phase, Pipeline, Role
from codeswarm.domain.rejection import Refusal as Kind, Rejection
from codeswarm.domain.session import Session
from codeswarm.domain.settings import BudgetSettings, Gates, Policy, Settings
from codeswarm.domain.states import (
    ATTEMPT_MOVES,
    SESSION_MOVES,
    TICKET_MOVES,
    AttemptStatus,
    SessionStatus,
    SuspendReason,
    TicketStatus,
)
from tests.support.sessions import FAST, START_MS, VERIFIERS, Swarm, commit, settings, spec, tree_of

A = TicketId("a")
PAUSE = cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada")


def start(*tickets: str) -> cmd.StartSession:
    base = commit("base")
    return cmd.StartSession(
        session=SessionId("s1"),
        name="",
        goal="g",
        base_branch="main",
        base=base,
        base_tree=tree_of(base),
        settings=settings(),
        tickets=tuple(map(spec, tickets)),
        by="ada",
    )


# ── the machines, as the design draws them ──


def test_the_machines_are_those_of_the_design() -> None:
    s, t, a = SessionStatus, TicketStatus, AttemptStatus
    assert {state for state, moves in SESSION_MOVES.items() if not moves} == {s.FINALIZED, s.CANCELLED}
    assert s.ACTIVE in SESSION_MOVES[s.AWAITING_REVIEW]
    assert s.SUSPENDED in SESSION_MOVES[s.ACTIVE]
    assert t.PENDING not in TICKET_MOVES, "pending is computed, never set"
    assert all(t.PENDING not in moves for moves in TICKET_MOVES.values())
    for state in set(TICKET_MOVES) - {t.COMPLETE, t.CANCELLED, t.ON_HOLD, t.FAILED}:
        assert {t.ON_HOLD, t.CANCELLED} <= TICKET_MOVES[state]
    assert TICKET_MOVES[t.COMPLETE] == {t.READY}
    ends = {a.SUCCEEDED, a.FAILED, a.TIMED_OUT, a.LOST, a.CANCELLED}
    assert {state for state, moves in ATTEMPT_MOVES.items() if not moves} == ends


# ── the start ──


@pytest.mark.parametrize("gates", [Gates(fast=FAST), Gates(waived_by="ada")])
def test_a_draft_begins_nothing_until_it_is_resumed(gates: Gates) -> None:
    """Not even the gate on its base; and where there is none to wait for, not by itself."""
    wanted = start("a", "b").model_copy(update={"draft": True, "settings": settings(gates=gates)})
    session = Session(SessionId("s1"))
    handle(session, wanted, START_MS)
    assert (session.status, set(session.tickets), session.gates) == (SessionStatus.DRAFT, {"a", "b"}, {})
    handle(session, cmd.AddTickets(tickets=(spec("c", "a"),), by="ada"), START_MS)
    claim = cmd.Claim(worker=WorkerId("w"), roles=frozenset(Role))
    assert handle(session, claim, START_MS) == []
    events = handle(session, cmd.ResumeSession(by="ada"), START_MS)
    assert isinstance(events, list)
    begun = "GateRequested" if gates.fast else "SessionActivated"
    assert [event.kind for event in events] == ["SessionResumed", begun]
    assert handle(session, cmd.ResumeSession(by="ada"), START_MS) == []


def test_a_session_starts_in_draft_with_its_plan_and_the_gate_on_its_base() -> None:
    swarm = Swarm("a", base_gate=None)
    assert [event.kind for event in swarm.events] == [
        "SessionStarted",
        "PlanProposed",
        "GateRequested",
        "PlanAccepted",
    ]
    assert (swarm.session.status, swarm.session.started_ms) == ("draft", START_MS)
    assert swarm.claim(roles=VERIFIERS) == "@base-1"


def test_with_the_base_gate_green_the_session_is_active() -> None:
    swarm = Swarm("a")
    assert swarm.session.status is SessionStatus.ACTIVE


def test_with_gates_waived_by_a_person_it_is_active_at_once() -> None:
    swarm = Swarm("a", base_gate=None, settings=settings(gates=Gates(waived_by="ada")))
    assert swarm.session.status is SessionStatus.ACTIVE


def test_a_session_starts_once_and_with_at_least_one_ticket() -> None:
    swarm = Swarm("a")
    assert swarm.refused(start("b")).refusal is Kind.WRONG_STATE
    answer = decide(Session(SessionId("s1")), start(), 0)
    assert isinstance(answer, Rejection)
    assert answer.refusal is Kind.INVALID


def test_a_session_without_a_history_knows_no_other_command() -> None:
    with pytest.raises(LookupError):
        handle(Session(SessionId("s1")), PAUSE, 0)


# ── suspended and resumed ──


@pytest.mark.parametrize("begin", ["draft", "active", "awaiting_review"])
def test_a_session_goes_back_to_where_it_was_suspended_from(begin: str) -> None:
    swarm = Swarm("a", base_gate=None if begin == "draft" else "green")
    if begin == "awaiting_review":
        swarm.landed("a")
    assert swarm.session.status == begin
    swarm.do(PAUSE)
    assert swarm.session.status is SessionStatus.SUSPENDED
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.session.status == begin


def test_pausing_and_resuming_twice_is_no_error() -> None:
    swarm = Swarm("a")
    swarm.do(PAUSE)
    assert swarm.do(PAUSE) == []
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.do(cmd.ResumeSession(by="ada")) == []


def test_resuming_sets_new_caps_and_agents() -> None:
    swarm = Swarm("a", settings=settings(budget=BudgetSettings(usd=1.0, tokens=5)))
    swarm.do(PAUSE)
    swarm.do(cmd.ResumeSession(by="ada", budget_usd=7.0, roles={"reviewer": ("claude",)}))
    budget, roles = swarm.session.settings.budget, swarm.session.settings.roles
    assert (budget.usd, budget.tokens) == (7.0, 5)
    assert roles == {"*": ("command:agent",), "reviewer": ("claude",)}


def test_new_caps_and_agents_count_for_a_session_that_was_never_suspended_too() -> None:
    swarm = Swarm("a")
    (resumed,) = swarm.do(cmd.ResumeSession(by="ada", budget_usd=7.0, roles={"*": ("codex",)}))
    assert isinstance(resumed, ev.SessionResumed)
    assert (swarm.session.status, swarm.session.settings.budget.usd) == ("active", 7.0)
    swarm.claim()
    assert swarm.attempt("a").agent == "codex"


# ── the end ──


def test_cancelling_ends_what_is_under_way_and_keeps_it() -> None:
    swarm = Swarm("a", "b", "c", settings=settings(policy=Policy(approve_landing=True)))
    swarm.phases("a")
    swarm.begin("b")
    swarm.snapshot("b")
    kinds = [event.kind for event in swarm.do(cmd.CancelSession(by="ada", reason="enough"))]
    assert kinds == ["AttemptCancelled", "ApprovalVoided", "SessionCancelled"]
    assert swarm.attempt("b").status is AttemptStatus.CANCELLED
    assert swarm.ticket("b").reference is not None
    assert swarm.session.detail == "enough"


def test_cancelling_abandons_gates_and_the_landing() -> None:
    swarm = Swarm("a")
    swarm.phases("a")
    swarm.merge()
    kinds = [event.kind for event in swarm.do(cmd.CancelSession(by="ada"))]
    assert kinds == ["GateAbandoned", "LandingBounced", "SessionCancelled"]


@pytest.mark.parametrize("end", ["finalized", "cancelled"])
def test_when_it_is_over_nothing_in_it_changes_any_more(end: str) -> None:
    swarm = Swarm("a", base_gate=None)
    if end == "finalized":
        swarm.gate("red")
    else:
        swarm.do(cmd.CancelSession(by="ada"))
    assert swarm.session.status == end
    for command in (
        PAUSE,
        cmd.ResumeSession(by="ada"),
        cmd.CancelSession(by="ada"),
        cmd.Claim(worker="w1", roles=VERIFIERS),
        cmd.SendMessage(by="ada", text="hello"),
        cmd.RequestSave(by="ada"),
        cmd.HoldTicket(ticket=A, by="ada"),
    ):
        assert end in swarm.refused(command).reason
    swarm.do(cmd.Note(subject="branch", what="not moved"))


# ── rest ──


def test_when_nothing_has_landed_and_nothing_can_move_a_person_is_asked() -> None:
    swarm = Swarm("a", "b")
    swarm.hold("a")
    assert swarm.session.status == "active"
    swarm.hold("b")
    assert (swarm.session.status, swarm.session.review_reason) == ("awaiting_review", "nothing_landed")
    assert "2 of 2 tickets did not land" in swarm.session.detail
    swarm.release("b")
    assert swarm.session.status == "active"


# ── words ──


def test_a_message_is_numbered_and_delivered_once_per_ticket() -> None:
    swarm = Swarm("a")
    swarm.do(cmd.SendMessage(by="ada", text="first"))
    swarm.do(cmd.SendMessage(by="ada", text="second", ticket=A))
    swarm.claim()
    deliver = cmd.DeliverMessage(message=2, ticket=A, epoch=1, how="prompt")
    assert [event.kind for event in swarm.do(deliver)] == ["MessageDelivered"]
    assert swarm.do(deliver) == []
    assert swarm.ticket("a").messages_seen == 2
    assert swarm.refused(deliver.model_copy(update={"message": 3})).refusal is Kind.UNKNOWN


def test_a_message_that_nobody_could_read_is_refused() -> None:
    swarm = Swarm("a", "b")
    assert swarm.refused(cmd.SendMessage(by="ada", text="  \n")).refusal is Kind.INVALID
    assert swarm.refused(cmd.SendMessage(by="ada", text="x", ticket=TicketId("z"))).refusal is Kind.UNKNOWN
    swarm.do(cmd.CancelTicket(ticket=A, by="ada"))
    assert swarm.refused(cmd.SendMessage(by="ada", text="x", ticket=A)).refusal is Kind.WRONG_STATE


def test_a_remark_is_kept_and_changes_nothing() -> None:
    swarm = Swarm("a")
    (noted,) = swarm.do(cmd.Note(subject="branch", what="not moved", next_step="git fetch", ticket=A))
    assert isinstance(noted, ev.Noted)
    assert (noted.what, noted.next_step) == ("not moved", "git fetch")


# ── what a value may be ──


@pytest.mark.parametrize("text", ["\ud800", "ok\udfff"])
def test_text_that_is_no_unicode_never_becomes_a_fact(text: str) -> None:
    for make in (
        lambda: cmd.SendMessage(by="ada", text=text),
        lambda: cmd.Note(subject="x", what=text),
        lambda: spec("a", description=text),
    ):
        with pytest.raises(ValueError, match="unicode"):
            make()


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1.0])
def test_money_and_time_are_finite_and_not_negative(number: float) -> None:
    with pytest.raises(ValueError, match=r"finite|greater"):
        BudgetSettings(usd=number)
    with pytest.raises(ValueError, match=r"finite|greater"):
        Policy(approval_timeout_s=number)


def test_every_event_can_be_read_back_from_what_is_written() -> None:
    swarm = Swarm("a")
    swarm.landed("a")
    for event in swarm.events:
        assert ev.parse_event(event.kind, event.model_dump_json()) == event
    with pytest.raises(KeyError):
        ev.parse_event("NeverHeardOf", "{}")


# ── pipelines are data ──


def test_the_shipped_pipelines_are_those_of_the_design() -> None:
    shown = {name: [(p.name, p.role.value) for p in pipeline.phases] for name, pipeline in SHIPPED.items()}
    assert shown == {
        "contract-first": [("contract", "test_writer"), ("implementation", "implementer"), ("review", "reviewer")],
        "plan-code-verify": [("plan", "planner"), ("implementation", "implementer"), ("verify", "verifier")],
        "single": [("implementation", "implementer")],
    }
    assert Settings().default_pipeline == "contract-first"


IMPLEMENT = {"name": "implementation", "role": "implementer"}


@pytest.mark.parametrize(
    ("phases", "what"),
    [
        ([], "nothing would be built"),
        ([{"name": "review", "role": "reviewer"}], "nothing would be built"),
        ([{"name": "review", "role": "reviewer"}, IMPLEMENT], "judges before anything"),
        ([IMPLEMENT, IMPLEMENT], "names a phase twice"),
        ([{**IMPLEMENT, "name": "../../x"}], "start with a letter"),
        ([{**IMPLEMENT, "gate": "fsat"}], "'fast', 'full' or 'contract'"),
        ([{**IMPLEMENT, "role": "wizard"}], "Input should be"),
    ],
)
def test_a_pipeline_that_makes_no_sense_is_refused(phases: list[dict[str, str]], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Pipeline(name="mine", phases=tuple(phases))  # type: ignore[arg-type]


def test_roles_that_write_are_those_that_must_change_something() -> None:
    writing = {role for role in Role if Phase(name="x", role=role).writes}
    assert writing == {Role.TEST_WRITER, Role.IMPLEMENTER, Role.RESOLVER}
