from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.executions import MOST_QUESTIONS, MOST_WORDS, Answer, answer, judged, stands_still
from codeswarm.domain.ids import TicketId
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.settings import Policy
from tests.support.sessions import Swarm, of_kind, settings

DAY_S = 86_400.0


def swarm_that_asks(*tickets: str, **policy: object) -> Swarm:
    return Swarm(*tickets or ("a",), settings=settings(policy=Policy(**{"commands": "ask", **policy})))


def question(swarm: Swarm, command: str = "make", call: str = "1", ticket: str = "a") -> cmd.AskPermission:
    epoch = swarm.ticket(ticket).epoch
    return cmd.AskPermission(ticket=TicketId(ticket), epoch=epoch, call=call, command=command, cwd="/w", reason="try")


def asked(swarm: Swarm, *of: str, ticket: str = "a") -> Answer | None:
    """Ask, and read the answer."""
    command = question(swarm, *of, ticket=ticket)
    swarm.do(command)
    return answer(swarm.session, command)


def give(swarm: Swarm, approval: str = "a1") -> None:
    swarm.do(cmd.GiveApproval(approval=approval, by="bob"))


def test_a_question_waits_for_a_person_with_all_that_they_need_to_know() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a", conversation="c")
    assert asked(swarm) is None
    (request,) = swarm.of_kind(ev.ApprovalRequested)
    assert (request.subject, request.ticket, request.epoch) == ("execution", "a", 1)
    assert (request.command, request.cwd) == ("make", "/w")
    assert "command:agent" in request.why and "try" in request.why
    give(swarm)
    assert asked(swarm) == Answer(allowed=True, by="bob")
    assert swarm.ticket("a").status == "in_progress"


def test_a_no_tells_the_agent_why_and_is_none_to_the_ticket() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a")
    asked(swarm)
    swarm.do(cmd.RejectApproval(approval="a1", by="bob", why="not today"))
    assert asked(swarm) == Answer(allowed=False, by="bob", why="not today")
    assert swarm.of_kind(ev.ChangesRequested) == []


def test_silence_is_a_no_and_neither_holds_the_ticket_nor_stops_the_session() -> None:
    swarm = swarm_that_asks(approval_timeout_s=DAY_S)
    swarm.begin("a")
    asked(swarm)
    swarm.later(DAY_S)
    swarm.do(cmd.ExpireApproval(approval="a1"))
    told = asked(swarm)
    assert told is not None
    assert not told.allowed
    assert (swarm.session.status, swarm.ticket("a").status) == ("active", "in_progress")


def test_an_answer_is_used_once_but_told_again_to_whoever_asks_again_for_it() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a")
    asked(swarm)
    give(swarm)
    assert asked(swarm) == asked(swarm) == Answer(allowed=True, by="bob")
    assert len(swarm.of_kind(ev.ApprovalUsed)) == 1
    assert asked(swarm, "make", "2") is None
    assert list(swarm.session.open_approvals) == ["a2"]


def test_another_command_is_another_question() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a")
    asked(swarm, "make", "1")
    asked(swarm, "make install", "2")
    give(swarm, "a1")
    assert asked(swarm, "make install", "2") is None
    assert asked(swarm, "make", "1") is not None


def test_an_attempt_that_goes_on_in_the_conversation_finds_what_was_answered_meanwhile() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a", conversation="c")
    asked(swarm)
    swarm.lose("a")
    assert list(swarm.session.open_approvals) == ["a1"]
    give(swarm)
    swarm.begin("a", conversation="c", resumed=True)
    assert asked(swarm, "make", "other name") == Answer(allowed=True, by="bob")
    assert len(swarm.of_kind(ev.ApprovalRequested)) == 1


def test_an_attempt_that_goes_on_asks_the_question_that_is_still_open() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a", conversation="c")
    asked(swarm)
    swarm.lose("a")
    swarm.begin("a", conversation="c", resumed=True)
    assert asked(swarm, "make", "other name") is None
    assert list(swarm.session.open_approvals) == ["a1"]


def test_an_answer_outlives_even_the_conversation_that_a_kill_has_cut_off() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a", conversation="c")
    asked(swarm)
    swarm.lose("a")
    give(swarm)
    swarm.begin("a", conversation="d")
    assert asked(swarm) == Answer(allowed=True, by="bob")


def test_an_answer_that_nobody_fetched_in_time_is_asked_for_anew() -> None:
    swarm = swarm_that_asks(approval_timeout_s=DAY_S)
    swarm.begin("a", conversation="c")
    asked(swarm)
    swarm.lose("a")
    give(swarm)
    swarm.later(DAY_S)
    swarm.begin("a", conversation="c", resumed=True)
    assert asked(swarm) is None
    assert list(swarm.session.open_approvals) == ["a2"]


def test_whoever_answers_after_the_attempt_has_ended_is_told_so() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a")
    asked(swarm)
    swarm.end("a", failure="crashed")
    refused = swarm.refused(cmd.GiveApproval(approval="a1", by="bob"))
    assert refused.refusal is Kind.WRONG_STATE
    assert "has ended" in refused.why


def test_what_is_over_or_has_not_begun_can_ask_nothing() -> None:
    swarm = swarm_that_asks()
    swarm.claim()
    assert swarm.refused(question(swarm)).refusal is Kind.WRONG_STATE
    swarm.lose("a")
    assert swarm.refused(question(swarm)).refusal is Kind.STALE


def test_a_no_of_the_policy_stands_in_the_timeline_once() -> None:
    swarm = swarm_that_asks(commands_deny=("git push*",))
    swarm.begin("a")
    for call in ("1", "2", "2"):
        told = asked(swarm, "git push origin", call)
        assert told is not None
        assert not told.allowed
    assert [event.by for event in swarm.of_kind(ev.ApprovalRejected)] == ["policy"]
    assert not swarm.session.open_approvals


def test_an_agent_that_asks_without_end_is_told_no_without_end_and_noted_once() -> None:
    swarm = swarm_that_asks()
    swarm.begin("a")
    for number in range(MOST_QUESTIONS + 5):
        told = asked(swarm, f"make {number}", str(number))
        assert (told is None) == (number < MOST_QUESTIONS)
    assert len(swarm.of_kind(ev.ApprovalRejected)) == 1


def test_a_session_stands_still_once_every_agent_waits_for_a_person() -> None:
    swarm = swarm_that_asks("a", "b")
    swarm.begin("a")
    asked(swarm)
    assert not stands_still(swarm.session)
    swarm.begin("b")
    assert not stands_still(swarm.session)
    asked(swarm, "make", "1", ticket="b")
    assert stands_still(swarm.session)
    give(swarm, "a1")
    assert not stands_still(swarm.session)


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("pytest -q", True),
        ("  pytest   -q", True),
        ("rm -rf /", None),
        ("pytest -q; rm -rf /", None),
        ("pytest $(rm -rf /)", None),
        ("pytest `rm x`", None),
        ("pytest > /etc/passwd", None),
        ("pytest\nrm x", None),
        ("make a && make b", True),
        ("make a && make c", None),
        ("git push", False),
        ("pytest && git  push --force", False),
        ("x" * (MOST_WORDS + 1), False),
    ],
)
def test_patterns_that_allow_fit_one_command_and_those_that_deny_any_of_several(
    command: str, allowed: bool | None
) -> None:
    policy = Policy(commands="ask", commands_allow=("pytest*", "make a && make b"), commands_deny=("git push*",))
    found = judged(policy, command)
    assert (None if found is None else found.allowed) == allowed


def test_without_a_policy_everything_is_allowed_and_nothing_is_recorded() -> None:
    swarm = swarm_that_asks(commands="allow")
    swarm.begin("a")
    assert asked(swarm) == Answer(allowed=True, by="policy")
    assert of_kind(swarm.events, ev.ApprovalRequested) == []
