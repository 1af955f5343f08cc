from __future__ import annotations

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import WorkerId
from codeswarm.domain.settings import Bounds
from codeswarm.domain.states import SuspendReason
from codeswarm.domain.supervision import meltdown
from tests.support.sessions import Swarm, settings

BOUNDS = Bounds(max_restarts=3, restart_window_s=60, backoff_base_s=0, max_attempts=99, max_interruptions=99)
DIED = cmd.ReportRestart(worker=WorkerId("w1"), reason="slot 1: OSError")


def swarm() -> Swarm:
    return Swarm("a", settings=settings(bounds=BOUNDS))


def test_as_many_deaths_as_are_allowed_within_the_window_are_borne() -> None:
    one = swarm()
    for _ in range(3):
        one.do(DIED)
    assert one.session.status == "active"
    assert meltdown(one.session, one.now_ms) is None


def test_one_more_within_the_window_suspends_the_session_and_says_what_died_last() -> None:
    one = swarm()
    for _ in range(3):
        one.do(DIED)
        one.later(19)
    one.do(DIED)
    assert one.session.suspend_reason is SuspendReason.MELTDOWN
    assert one.session.detail == "4 agents or slots died within 60 s; the last: slot 1: OSError"


def test_deaths_that_are_spread_over_time_are_borne_for_ever() -> None:
    one = swarm()
    for _ in range(50):
        one.do(DIED)
        one.later(20)
    assert one.session.status == "active"
    assert len(one.session.restarts) <= 4, "what is out of the window is forgotten"


def test_a_death_at_the_very_edge_of_the_window_is_out_of_it() -> None:
    one = swarm()
    for _ in range(3):
        one.do(DIED)
    one.later(60)
    one.do(DIED)
    assert one.session.status == "active"


def test_crashed_hung_and_lost_attempts_count_with_slots_and_others_do_not() -> None:
    one = swarm()
    one.phase("a", failure="crashed")
    one.phase("a", failure="hung")
    one.begin("a")
    one.lose("a")
    for harmless in ("try_later", "refused", "timed_out"):
        one.later(0.5)
        one.phase("a", failure=harmless)
    one.phase("a", gates="red")
    assert one.session.status == "active"
    one.do(DIED)
    assert one.session.suspend_reason is SuspendReason.MELTDOWN


def test_a_session_that_was_resumed_begins_to_count_anew() -> None:
    one = swarm()
    for _ in range(4):
        one.do(DIED)
    one.do(cmd.ResumeSession(by="ada"))
    assert one.session.status == "active"
    for _ in range(3):
        one.do(DIED)
    assert one.session.status == "active"


def test_deaths_while_suspended_do_not_suspend_again() -> None:
    one = swarm()
    one.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    for _ in range(5):
        one.do(DIED)
    assert one.session.suspend_reason is SuspendReason.PAUSED


def test_a_clock_that_is_put_back_brings_no_old_deaths_into_the_window() -> None:
    one = swarm()
    for _ in range(3):
        one.later(19)
        one.do(DIED)
    one.later(-300)
    one.do(DIED)
    assert one.session.status == "active"
    assert len(one.session.restarts) == 1, "what is yet to come by the new clock is forgotten"
