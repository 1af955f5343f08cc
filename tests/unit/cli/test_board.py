from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from codeswarm.cli.board import LAST_LINES, MARKS, MOST_MOVING, MOST_WAVES, Board
from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import TicketId
from codeswarm.domain.settings import Policy, Until
from codeswarm.domain.states import SuspendReason
from tests.support.sessions import Swarm, settings, spec

WIDTHS = (60, 120)
PAUSE = cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada")
LONG = "a reason that goes on and on, over many words and\nmore than one line, beyond what a terminal shows at once"


def shown(swarm: Swarm, width: int, *records: dict[str, Any], agents: list[dict[str, Any]] | None = None) -> list[str]:
    """The board as it stands on a terminal of a width, line by line."""
    board = Board(Console(file=io.StringIO(), width=width, force_terminal=False))
    board.agents(agents or [])
    for record in records or (noted("hello"),):
        board.event(record, swarm.session)
    board.close()
    page = Console(file=io.StringIO(), width=width, record=True, color_system=None)
    page.print(board.render())
    lines = page.export_text().rstrip("\n").split("\n")
    assert all(cell_len(line) <= width for line in lines), "nothing is wider than the terminal"
    return [line.rstrip() for line in lines]


def noted(what: str) -> dict[str, Any]:
    data = {"subject": "test", "what": what, "next_step": "", "ticket": None}
    return {"seq": 1, "session": "s1", "version": 1, "at_ms": 0, "kind": "Noted", "data": data}


def waves(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("wave ")]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_small_session_takes_a_line_for_itself_for_each_wave_and_for_what_moves(width: int) -> None:
    swarm = Swarm(spec("a"), spec("b"), spec("c", "a"), spec("d", "c"), spec("e", "b"))
    swarm.landed("a")
    swarm.begin("b")
    lines = shown(swarm, width)
    assert lines[0].startswith("s1 active  1/5 landed")
    assert [line.split() for line in waves(lines)] == [
        ["wave", "1", "1/2", "●◐"],
        ["wave", "2", "0/2", "○·"],
        ["wave", "3", "0/1", "·"],
    ]
    (moving,) = [line for line in lines if line.startswith("◐")]
    assert moving.split()[1:4] == ["b", "implementation", "running"]
    assert lines[-1].endswith("hello")
    assert len(lines) == 1 + 3 + 1 + 1


def at_work(ticket: str, epoch: int, state: str, **rest: Any) -> dict[str, Any]:
    vital = {"state": state, "for_s": 720.0, "doing": "", "until_ms": None, **rest}
    return {
        "session": "s1",
        "ticket": ticket,
        "epoch": epoch,
        "worker": "w1",
        "heard_s": 2.0,
        "silent": False,
        "vital": vital,
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_an_agent_that_runs_is_told_with_what_it_is_at(width: int) -> None:
    swarm = Swarm("a", "b", "c")
    swarm.begin("a")
    swarm.begin("b")
    swarm.begin("c")
    agents = [at_work("a", 1, "running_command", doing="pytest -q"), at_work("b", 7, "thinking")]
    rows = [line for line in shown(swarm, width, agents=agents) if line.startswith("◐ ")]
    assert ("running pytest -q 12 min" in rows[0]) is (width == 120)
    assert "running" in rows[1], "the state of another attempt is not its own"
    assert "running" in rows[2]
    assert len(rows) == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_of_two_hundred_tickets_what_moves_is_told_one_by_one_and_the_rest_is_marks(width: int) -> None:
    swarm = Swarm(*(spec(f"ticket-with-a-rather-long-name-{number:03}") for number in range(200)))
    for _ in range(30):
        assert swarm.claim()
    lines = shown(swarm, width)
    moving = [line for line in lines if line.startswith("◐ ")]
    assert len(moving) == MOST_MOVING
    assert all("implem" in line for line in moving), "each tells its phase, on its one line"
    assert any("and 14 more" in line for line in lines)
    marks = "".join(lines).replace("◐ ", "")
    assert sum(marks.count(mark) for mark in "◐○") >= 200 - MOST_MOVING
    assert len(lines) <= 1 + 200 // (width - 20) + 1 + MOST_MOVING + 1 + LAST_LINES


@pytest.mark.parametrize("width", WIDTHS)
def test_of_many_waves_those_are_shown_in_which_something_is_to_do(width: int) -> None:
    chain = [spec("t0"), *(spec(f"t{number}", f"t{number - 1}") for number in range(1, 20))]
    swarm = Swarm(*chain)
    assert [line.split()[1] for line in waves(shown(swarm, width))] == [str(n) for n in range(1, MOST_WAVES + 1)]
    swarm.landed(*(f"t{number}" for number in range(5)))
    assert [line.split()[1] for line in waves(shown(swarm, width))] == [str(n) for n in range(4, 4 + MOST_WAVES)]


@pytest.mark.parametrize("width", WIDTHS)
def test_what_failed_waits_or_is_held_is_told_with_why_each_on_one_line(width: int) -> None:
    careful = settings(policy=Policy(sensitive=("src/a.py",)), bounds={"max_attempts": 1})
    swarm = Swarm("held", "fails", "waits", settings=careful)
    swarm.do(cmd.HoldTicket(ticket=TicketId("held"), by="ada", reason=LONG))
    swarm.phase("fails", failure="crashed")
    swarm.phase("waits")
    assert swarm.statuses() == {"held": "on_hold", "fails": "failed", "waits": "waiting"}
    lines = shown(swarm, width)
    for mark, ticket in (("‖", "held"), ("✗", "fails"), ("?", "waits")):
        (line,) = [line for line in lines if line.split()[:2] == [mark, ticket]]
        assert swarm.ticket(ticket).status in line or "…" in line
    (asked,) = [line for line in lines if f"codeswarm approve {swarm.session.id}/a1" in line]
    assert "(waits)" in asked, "the command is not what is cut off"
    assert len(lines) == 1 + 1 + 3 + 1 + 1


@pytest.mark.parametrize("width", WIDTHS)
def test_texts_of_many_lines_take_one_each_and_only_the_last_few_stay(width: int) -> None:
    swarm = Swarm("a")
    swarm.session.goal = LONG
    lines = shown(swarm, width, *(noted(f"{number} {LONG}") for number in range(20)))
    assert len(lines) == 1 + 1 + LAST_LINES
    assert [line.split()[2] for line in lines[-LAST_LINES:]] == [str(n) for n in range(20 - LAST_LINES, 20)]
    assert all(line.endswith("…") for line in lines[-LAST_LINES:])


def test_every_state_of_a_ticket_has_a_mark_of_its_own_one_cell_wide() -> None:
    marks = [mark for mark, _ in MARKS.values()]
    assert len(set(marks)) == len(marks)
    assert {cell_len(mark) for mark in marks} == {1}


def test_before_the_first_event_it_says_that_it_starts() -> None:
    page = Console(file=io.StringIO(), width=60, record=True)
    page.print(Board(page).render())
    assert page.export_text().strip() == "starting …"


def test_the_time_that_is_left_is_told_while_it_runs() -> None:
    until = Until(at_ms=time.time_ns() // 1_000_000 + 7_799_000, said="07:00")
    swarm = Swarm("a", settings=settings(policy=Policy(until=until)))
    assert "2 h 09 min left" in shown(swarm, 120)[0]
    swarm.do(PAUSE)
    assert "left" not in shown(swarm, 120)[0]


def test_a_board_that_comes_back_is_not_drawn_over_what_was_said_meanwhile() -> None:
    file, swarm = io.StringIO(), Swarm("a")
    board = Board(Console(file=file, width=80, force_terminal=True))
    board.event(noted("before the question"), swarm.session)
    board.close()
    said = len(file.getvalue())
    board.open()
    board.close()
    before_it_is_drawn = file.getvalue()[said:].partition(str(swarm.session.id))[0]
    assert "\x1b[1A" not in before_it_is_drawn, "the cursor goes up over lines that are not the board's"
