"""What an agent is at, fused from what it says, runs, writes and waits for. The soak has whole lives of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from codeswarm.agents.base import Activity
from codeswarm.domain.settings import Patience
from codeswarm.domain.states import AgentState as S
from codeswarm.worker.processes import Process, Tree
from codeswarm.worker.rate_limits import LONGEST_S, wait_s
from codeswarm.worker.vitals import LONGEST_NAME, MOST_COMMANDS, Vital, Vitals, in_words

NOW_MS = 1_700_000_000_000
AGENT = Process(12, 11, 10, "claude", "S", 1.0, 0, 1.0)
TEST = Process(13, 12, 10, "pytest", "S", 0.0, 0, 2.0)


class Subject:
    def __init__(self, **patience: float) -> None:
        self.vitals = Vitals(Patience(**patience), 0.0)

    def says(self, at: float, kind: str, text: str = "", **data: Any) -> Vital:
        self.vitals.heard(Activity(kind, text, data), at, NOW_MS)
        return self.vitals.now

    def has(self, at: float, *below: Process, agent: Process | None = AGENT, cpu_s: float = 1.0) -> Vital:
        return self.vitals.look(Tree(at, agent, below, cpu_s=cpu_s), at)


def up() -> Subject:
    subject = Subject()
    subject.vitals.started(1.0)
    subject.says(2.0, "output", "[system init]")
    return subject


def test_it_comes_up_thinks_runs_a_command_and_thinks_again() -> None:
    subject = Subject()
    assert subject.vitals.now.state is S.SPAWNING
    subject.vitals.started(5.0)
    assert subject.has(6.0).state is S.SPAWNING
    assert subject.says(7.0, "reasoning").state is S.THINKING
    running = subject.says(9.0, "command_started", "pytest -q")
    assert (running.state, running.since, running.doing) == (S.RUNNING_COMMAND, 9.0, "pytest -q")
    assert subject.has(400.0, TEST) == running, "as long as it runs it is the same state"
    after = subject.says(500.0, "command_completed")
    assert (after.state, after.since) == (S.THINKING, 500.0)


def test_who_only_ever_says_that_its_provider_lets_it_wait_is_believed_for_so_long_and_no_longer() -> None:
    subject = up()
    at = 2.0
    while subject.says(at, "rate_limit", retry_after_s=3600).state is S.RATE_LIMITED:
        at += 3600
        assert at < 2 * LONGEST_S
    assert at >= LONGEST_S
    assert subject.vitals.left_s < float("inf")


def test_of_commands_without_end_a_bounded_part_is_kept() -> None:
    subject = up()
    for number in range(3 * MOST_COMMANDS):
        running = subject.says(3.0, "command_started", "x" * 10_000, id=f"{number}" * 1000)
    assert len(subject.vitals._commands) == MOST_COMMANDS
    assert len(running.doing) <= LONGEST_NAME
    assert all(len(command.text) <= LONGEST_NAME and len(command.key) < 1000 for command in subject.vitals._commands)


def test_who_says_nothing_is_no_longer_coming_up_a_minute_after_its_process() -> None:
    subject = Subject()
    subject.vitals.started(100.0)
    assert subject.has(159.0).state is S.SPAWNING
    assert subject.has(160.0).state is S.THINKING


def test_a_program_that_never_tells_of_commands_is_known_by_what_it_has_running() -> None:
    subject = up()
    found = subject.has(10.0, TEST)
    assert (found.state, found.doing) == (S.RUNNING_COMMAND, "pytest")
    assert subject.has(20.0).state is S.THINKING


def test_what_stays_in_the_background_is_no_command_of_an_agent_that_tells_of_its_own() -> None:
    subject = up()
    subject.says(3.0, "command_started", "npm run dev &", id="1")
    subject.says(4.0, "command_completed", id="1")
    assert subject.has(10.0, TEST).state is S.THINKING


def test_an_end_that_names_its_command_ends_that_one_and_a_turn_ends_them_all() -> None:
    subject = up()
    subject.says(3.0, "command_started", "first", id="1")
    subject.says(4.0, "command_started", "second", id="2")
    assert subject.says(5.0, "command_completed", id="2").doing == "first"
    subject.says(6.0, "command_started", "third")
    assert subject.says(7.0, "turn").state is S.THINKING


def test_the_end_of_an_edit_is_not_that_of_the_command_beside_it() -> None:
    subject = up()
    subject.says(3.0, "command_started", "pytest", id="1")
    subject.says(3.0, "file_change", "a.py")
    assert subject.says(4.0, "command_completed", id="2").doing == "pytest"
    assert subject.says(5.0, "command_completed").state is S.THINKING


def test_a_persons_answer_is_waited_for_without_end_and_that_time_is_not_its_own() -> None:
    subject = up()
    subject.vitals.asked(10.0)
    found = subject.has(90_000.0)
    assert (found.state, subject.vitals.left_s) == (S.WAITING_PERSON, float("inf"))
    subject.vitals.answered(100_000.0)
    assert subject.vitals.now.state is S.THINKING
    assert subject.vitals.rested_s(100_000.0) == 99_990.0
    assert subject.has(100_000.0 + 1799.0).state is S.THINKING
    assert subject.has(100_000.0 + 1800.0).state is S.STALLED


def test_a_rate_limit_lasts_as_long_as_its_notice_said_or_until_a_word() -> None:
    subject = up()
    found = subject.says(10.0, "rate_limit", retry_delay_ms=3_600_000)
    assert (found.state, found.until_ms) == (S.RATE_LIMITED, NOW_MS + 3_600_000)
    assert subject.has(3600.0).state is S.RATE_LIMITED
    assert subject.has(3611.0).state is S.THINKING
    assert subject.vitals.rested_s(3611.0) == 3600.0
    subject.says(4000.0, "rate_limit", retry_delay_ms=3_600_000)
    assert subject.says(4100.0, "output", "waiting …").state is S.RATE_LIMITED
    assert subject.says(4200.0, "assistant", "on with it").state is S.THINKING
    assert subject.vitals.rested_s(4300.0) == 3800.0


def test_a_notice_of_what_is_left_is_no_rate_limit() -> None:
    notice = {"status": "allowed_warning", "resetsAt": NOW_MS / 1000 + 3600}
    assert up().says(3.0, "rate_limit", rate_limit_info=notice).state is S.THINKING


@pytest.mark.parametrize(
    ("notice", "wait"),
    [
        ({"rate_limit_info": {"status": "rejected", "resetsAt": NOW_MS / 1000 + 60}}, 60.0),
        ({"retry_delay_ms": 1500, "error_status": 429}, 1.5),
        ({"retry_after_s": 20}, 20.0),
        ({"until_ms": NOW_MS + 5000}, 5.0),
        ({"resets_at": NOW_MS / 1000 - 5}, None),
        ({"primary": {"usedPercent": 40, "resetsAt": NOW_MS / 1000 + 60}}, None),
        ({"primary": {"usedPercent": 100, "resetsAt": NOW_MS / 1000 + 60}}, 60.0),
        ({"resetsAt": True}, None),
        ({"resetsAt": "soon"}, None),
        ({"resetsAt": float("inf")}, None),
        ({"resetsAt": float("nan")}, None),
        ({"resetsAt": 1e30}, LONGEST_S),
        ({"status": "rejected"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_from_whatever_a_notice_holds(notice: dict[str, Any], wait: float | None) -> None:
    assert wait_s(notice, NOW_MS) == wait


def test_work_is_a_sign_of_life_but_not_for_ever() -> None:
    subject = up()
    subject.says(10.0, "command_started", "make")
    for at in range(25, 5400, 15):
        assert subject.has(float(at), TEST, cpu_s=float(at)).state is S.RUNNING_COMMAND
    assert subject.has(5410.0, TEST, cpu_s=5410.0) == Vital(
        S.STALLED, 5410.0, "busy, but no word and no changed file for 1 h 30 min"
    )


def test_a_command_that_nothing_runs_of_explains_no_more_than_a_thought() -> None:
    subject = up()
    subject.says(10.0, "command_started", "Task")
    subject.has(20.0)
    assert subject.vitals.left_s == pytest.approx(1790.0)
    subject.has(30.0, TEST)
    assert subject.vitals.left_s == pytest.approx(3600.0), "something new is a sign of life, too"


def test_a_limit_that_is_longer_than_that_for_work_counts_for_work_as_well() -> None:
    subject = Subject(thinking_s=20_000.0)
    subject.vitals.started(1.0)
    subject.says(2.0, "assistant")
    assert subject.has(15_000.0).state is S.THINKING


def test_who_is_stopped_is_stalled_unless_it_is_let_go_on_in_time() -> None:
    subject = up()
    stopped = dataclasses.replace(AGENT, state="T")
    subject.has(10.0, agent=stopped)
    subject.has(300.0, agent=stopped)
    assert subject.has(305.0).state is S.THINKING
    subject.has(310.0, agent=stopped)
    assert subject.has(610.0, agent=stopped).doing == "stopped by a signal for 5 min"


def test_a_word_between_two_stops_tells_that_they_are_two() -> None:
    subject = up()
    stopped = dataclasses.replace(AGENT, state="T")
    subject.has(10.0, agent=stopped)
    subject.says(290.0, "assistant", "where was I")
    assert subject.has(320.0, agent=stopped).state is S.THINKING
    assert subject.has(590.0, agent=stopped).state is S.STALLED


def test_who_has_ended_is_gone_unless_its_adapter_hears_of_it() -> None:
    subject = up()
    subject.has(10.0)
    subject.has(20.0, agent=None)
    assert subject.has(79.0, agent=None).state is S.THINKING
    assert subject.has(80.0, agent=None).state is S.GONE
    heard = up()
    heard.has(10.0)
    heard.has(20.0, agent=None)
    heard.says(21.0, "command_completed")
    assert heard.has(90.0, agent=None).state is S.THINKING, "a program of several processes goes on with the next one"


def test_a_table_that_is_older_than_its_start_does_not_tell_of_its_end() -> None:
    subject = Subject()
    subject.vitals.started(100.0)
    subject.has(95.0, agent=None)
    assert subject.has(100.0, agent=None).state is S.SPAWNING
    assert subject.vitals.look(None, 155.0).state is S.SPAWNING


def test_where_no_process_can_be_seen_words_and_files_alone_count() -> None:
    subject = Subject()
    subject.vitals.started(1.0)
    subject.says(2.0, "command_started", "pytest")
    subject.vitals.changed(1000.0)
    assert subject.vitals.look(None, 4599.0).state is S.RUNNING_COMMAND
    assert subject.vitals.look(None, 4600.0).state is S.STALLED
    assert subject.vitals.evidence(lambda pid: "").cpu_s is None


def test_the_evidence_says_what_was_last_seen() -> None:
    subject = up()
    subject.says(10.0, "command_started", "pytest\x1b[2J -q\nx")
    subject.vitals.changed(20.0)
    subject.has(30.0, TEST, cpu_s=7.0)
    assert subject.has(3700.0, TEST, cpu_s=7.5).state is S.STALLED
    found = subject.vitals.evidence({12: "ep_poll", 13: ""}.__getitem__)
    assert found.model_dump() == {
        "state": "running_command",
        "doing": "pytest\\x1b[2J -q x",
        "last_word": "command_started: pytest\\x1b[2J -q x",
        "word_s": 3690.0,
        "change_s": 3680.0,
        "work_s": 3699.0,
        "cpu_s": 7.5,
        "received": None,
        "processes": ("claude (S, ep_poll)", "pytest (S)"),
    }
    assert in_words(found) == (
        "the last word 1 h 02 min ago (command_started: pytest\\x1b[2J -q x); no file changed for 1 h 01 min; "
        "at work 1 h 02 min ago, 8 s of processor time in all; running: claude (S, ep_poll), pytest (S)"
    )
