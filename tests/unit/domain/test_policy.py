from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.paths import as_text
from codeswarm.domain.policy import matches
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.settings import Policy
from codeswarm.domain.states import SuspendReason, TicketStatus
from tests.support.sessions import Swarm, of_kind, settings

DAY_S = 86_400.0


def swarm_with(*tickets: str, base_gate: str | None = "green", **policy: object) -> Swarm:
    return Swarm(*tickets or ("a",), settings=settings(policy=Policy(**policy)), base_gate=base_gate)


def give(swarm: Swarm, approval: str, by: str = "bob") -> list[ev.Event]:
    return swarm.do(cmd.GiveApproval(approval=approval, by=by))


# ── the plan ──


def test_a_plan_waits_for_its_approval_and_for_the_base_gate_in_either_order() -> None:
    swarm = swarm_with(approve_plan=True)
    assert (swarm.session.status, swarm.session.tickets) == ("draft", {})
    give(swarm, "a1")
    assert (swarm.session.status, swarm.statuses()) == ("active", {"a": "ready"})

    other = swarm_with(approve_plan=True, base_gate=None)
    give(other, "a1")
    assert other.session.status == "draft"
    other.gate()
    assert other.session.status == "active"


def test_a_rejected_plan_ends_the_session_with_the_reason() -> None:
    swarm = swarm_with(approve_plan=True, base_gate=None)
    swarm.do(cmd.RejectApproval(approval="a1", by="bob", why="too many tickets"))
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "failed")
    assert "too many tickets" in swarm.session.detail


def test_a_plan_that_nobody_answers_starts_no_work_and_is_asked_for_again_on_resume() -> None:
    swarm = swarm_with(approve_plan=True, approval_timeout_s=DAY_S)
    swarm.later(DAY_S)
    swarm.do(cmd.ExpireApproval(approval="a1"))
    assert swarm.session.suspend_reason is SuspendReason.APPROVAL_EXPIRED
    assert swarm.session.tickets == {}
    swarm.do(cmd.ResumeSession(by="ada"))
    assert list(swarm.session.open_approvals) == ["a2"]
    give(swarm, "a2")
    assert swarm.session.status == "active"


def test_a_plan_whose_approval_expires_while_suspended_is_asked_for_again_too() -> None:
    swarm = swarm_with(approve_plan=True)
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    swarm.later(DAY_S)
    swarm.do(cmd.ExpireApproval(approval="a1"))
    swarm.do(cmd.ResumeSession(by="ada"))
    assert list(swarm.session.open_approvals) == ["a2"]


# ── landings ──


def test_where_every_landing_is_approved_a_finished_ticket_waits_for_a_person() -> None:
    swarm = swarm_with(approve_landing=True)
    swarm.phases("a")
    ticket = swarm.ticket("a")
    approval = swarm.session.approvals["a1"]  # type: ignore[index]
    assert (ticket.status, ticket.waiting) == ("waiting", "person")
    assert (approval.subject, approval.evidence, approval.ticket) == ("landing", ticket.work, "a")
    give(swarm, "a1")
    assert ticket.status is TicketStatus.LANDING


@pytest.mark.parametrize(
    ("path", "glob", "is_sensitive"),
    [
        (".github/workflows/ci.yml", ".github/**", True),
        (".github", ".github/**", False),
        ("db/migrations/1.sql", "**/migrations/**", True),
        ("migrations/1.sql", "**/migrations/**", True),
        ("src/migrations.py", "**/migrations/**", False),
        ("a/b/secrets.yml", "**/secrets.yml", True),
        ("secrets.yml", "**/secrets.yml", True),
        ("Secrets.yml", "**/secrets.yml", False),
        ("infra/main.tf", "*.tf", True),
        (as_text(b".github/x\xff.yml"), ".github/**", True),
        (as_text(b"infra/x\xff.tf"), "*.tf", True),
        (as_text(b'"q".tf'), "*.tf", True),
        (as_text(b'"q"/secrets.yml'), "**/secrets.yml", True),
        (as_text(b"x/caf\xe9"), "x/caf?", True),
        (as_text(b"src/x\xff.py"), ".github/**", False),
    ],
)
def test_sensitive_globs_name_paths(path: str, glob: str, is_sensitive: bool) -> None:
    assert matches(path, (glob,)) is matches(path, ("no-such-file", glob)) is is_sensitive
    swarm = swarm_with(sensitive=(glob,))
    swarm.phases("a", files=("src/other.py", path))
    assert swarm.ticket("a").status == ("waiting" if is_sensitive else "landing")


def test_the_question_names_the_sensitive_files() -> None:
    swarm = swarm_with(sensitive=(".github/**",))
    swarm.phases("a", files=("src/a.py", ".github/ci.yml"))
    assert swarm.session.approvals["a1"].why == "touches sensitive files: .github/ci.yml"  # type: ignore[index]


def test_a_landing_is_judged_by_all_of_its_files_and_names_as_many_as_an_event_can_hold() -> None:
    many = tuple(f"{number:05}-{'n' * 200}" for number in range(30_000))
    swarm = swarm_with(sensitive=(".github/**",))
    swarm.phases("a")
    swarm.merge()
    swarm.gate()
    asked = swarm.do(cmd.LandMerge(landing=1, files=(*many, ".github/ci.yml")))
    assert of_kind(asked, ev.TicketLanded) == []
    assert swarm.ticket("a").status is TicketStatus.WAITING
    plain = Swarm("a")
    plain.phases("a")
    plain.merge()
    plain.gate()
    (landed,) = of_kind(plain.do(cmd.LandMerge(landing=1, files=many)), ev.TicketLanded)
    assert landed.files == many[: len(landed.files)]
    assert 10_000 < len(landed.files) < 30_000


def test_a_sensitive_file_of_an_attempt_that_was_gone_on_from_asks_too() -> None:
    swarm = swarm_with(sensitive=(".github/**",))
    swarm.phase("a", gates="red", files=(".github/ci.yml",))
    swarm.phase("a", gates="green", files=("src/a.py",))
    assert swarm.ticket("a").status is TicketStatus.WAITING


def test_other_work_goes_on_while_a_person_thinks() -> None:
    swarm = swarm_with("a", "b", approve_landing=True)
    swarm.phases("a")
    assert swarm.claim() == "b"
    assert swarm.session.status == "active"
    swarm.lose("b")
    swarm.phases("b")
    assert (swarm.session.status, swarm.session.review_reason) == ("awaiting_review", "approvals")
    give(swarm, "a1")
    assert swarm.session.status == "active"


# ── what an approval binds to ──


def test_an_approval_binds_to_the_work_and_is_asked_for_again_after_a_bounce() -> None:
    swarm = swarm_with(approve_landing=True)
    swarm.phases("a")
    give(swarm, "a1")
    swarm.merge()
    swarm.gate("red")
    swarm.phases("a")
    assert list(swarm.session.open_approvals) == ["a2"]
    assert swarm.session.approvals["a2"].evidence == swarm.ticket("a").work  # type: ignore[index]


def test_an_approval_outlives_a_hold_after_it_was_given_since_the_work_is_the_same() -> None:
    swarm = swarm_with(approve_landing=True)
    swarm.phases("a")
    give(swarm, "a1")
    swarm.hold("a")
    swarm.release("a")
    assert (swarm.ticket("a").status, list(swarm.session.open_approvals)) == ("landing", [])


def test_an_open_question_is_voided_by_a_hold_and_asked_again_after_it() -> None:
    swarm = swarm_with(approve_landing=True)
    swarm.phases("a")
    kinds = [event.kind for event in swarm.hold("a")]
    assert kinds[:2] == ["ApprovalVoided", "TicketHeld"]
    assert swarm.refused(cmd.GiveApproval(approval="a1", by="bob")).refusal is Kind.WRONG_STATE
    swarm.release("a")
    assert list(swarm.session.open_approvals) == ["a2"]


def test_a_rejected_landing_goes_back_with_the_persons_words() -> None:
    swarm = swarm_with(approve_landing=True)
    swarm.phases("a")
    swarm.do(cmd.RejectApproval(approval="a1", by="bob", why="no tests for the empty case"))
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.phase.name, ticket.failures) == ("ready", "implementation", 0)
    assert (ticket.feedback[0].source, ticket.feedback[0].text) == ("bob", "- no tests for the empty case")


# ── silence is a no ──


def test_a_landing_that_nobody_answers_does_not_land() -> None:
    swarm = swarm_with(approve_landing=True, approval_timeout_s=10)
    swarm.phases("a")
    early = cmd.ExpireApproval(approval="a1")
    assert "has not expired yet" in swarm.refused(early).reason
    swarm.later(10)
    swarm.do(early)
    assert (swarm.ticket("a").status, swarm.session.approvals["a1"].state) == ("on_hold", "expired")  # type: ignore[index]
    late = cmd.GiveApproval(approval="a1", by="bob")
    assert "expired already" in swarm.refused(late).reason
    swarm.release("a")
    assert list(swarm.session.open_approvals) == ["a2"], "released, it is asked for again; it never just lands"


# ── who ──


def test_two_distinct_people_are_two() -> None:
    swarm = swarm_with(approve_landing=True, landing_approvals=2)
    swarm.phases("a")
    assert [event.kind for event in give(swarm, "a1", by="ada")] == ["ApprovalGiven"]
    assert "2 distinct people" in swarm.refused(cmd.GiveApproval(approval="a1", by="ada")).why
    assert swarm.ticket("a").status is TicketStatus.WAITING
    assert [event.kind for event in give(swarm, "a1", by="bob")][:3] == [
        "ApprovalGiven",
        "ApprovalGranted",
        "TicketQueued",
    ]


def test_a_lone_person_may_approve_what_an_agent_asks_for() -> None:
    swarm = swarm_with(approve_landing=True)
    swarm.phases("a")
    give(swarm, "a1", by=swarm.session.by)
    assert swarm.ticket("a").status is TicketStatus.LANDING


def test_one_no_is_enough_after_a_yes() -> None:
    swarm = swarm_with(approve_landing=True, landing_approvals=2)
    swarm.phases("a")
    give(swarm, "a1", by="ada")
    swarm.do(cmd.RejectApproval(approval="a1", by="bob", why="no"))
    assert swarm.ticket("a").status is TicketStatus.READY


def test_an_answer_to_nothing_is_unknown_and_a_second_answer_is_too_late() -> None:
    swarm = swarm_with(approve_landing=True)
    for command in (
        cmd.GiveApproval(approval="a9", by="x"),
        cmd.RejectApproval(approval="a9", by="x", why="y"),
        cmd.ExpireApproval(approval="a9"),
    ):
        assert swarm.refused(command).refusal is Kind.UNKNOWN
    swarm.phases("a")
    give(swarm, "a1")
    for command in (cmd.GiveApproval(approval="a1", by="x"), cmd.RejectApproval(approval="a1", by="x", why="y")):
        assert "granted already" in swarm.refused(command).reason
