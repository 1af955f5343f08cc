from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len

from codeswarm.domain.ids import TicketId
from codeswarm.domain.ticket import TicketSpec
from codeswarm.report.document import Report
from codeswarm.report.text import render
from codeswarm.report.words import AS_IS, Typing
from tests.support.sessions import Swarm
from tests.support.stories import Shown, morning, report_on

SNAPSHOT = Path(__file__).with_name("morning.txt")
"""Made anew, after a change that is meant: write what `text(report_on(morning()))` gives."""


def text(report: Report, width: int = 80, typing: Typing = AS_IS) -> str:
    return "".join(f"{line.plain.rstrip()}\n" for line in render(report, width, typing))


def test_the_morning_page_at_eighty_columns_is_as_it_was() -> None:
    assert text(report_on(morning())) == SNAPSHOT.read_text(encoding="utf-8")


def test_only_commands_are_wider_than_the_terminal_and_no_command_is_broken() -> None:
    hostile = TicketSpec(id=TicketId("wide"), title="数" * 80, description="word " * 400 + "x" * 300)
    for width in (60, 80, 110):
        lines = text(report_on(Swarm(hostile)), width).splitlines()
        wide = [line for line in lines if cell_len(line) > width]
        assert all(line.strip().startswith(("codeswarm ", "git ")) for line in wide)


def test_what_others_wrote_can_t_steer_the_terminal() -> None:
    swarm = Swarm(TicketSpec(id=TicketId("a"), title="clear \x1b[2J it", description="turn \u202e round\rback"))
    swarm.begin("a")
    swarm.end("a", failure="crashed")
    report = report_on(swarm, Shown(files=[("\x1b]0;x\x07.py", None, None)], words="\x1b[31mred\x07"))
    told = text(report)
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(told)
    assert "clear \\x1b[2J it" in told


def test_commands_begin_with_the_options_that_lead_to_this_data() -> None:
    told = text(report_on(morning()), typing=Typing("codeswarm -C /there --data '/a b'", "git -C /there"))
    assert "    codeswarm -C /there --data '/a b' save s1\n" in told
    assert "git -C /there revert --no-edit" in told


def test_the_answer_is_told_where_there_is_one() -> None:
    report = report_on(morning()).model_copy(update={"answer": "It exports rows.\nSee `src/b.py`."})
    assert "THE ANSWER\n  It exports rows.\n  See `src/b.py`.\n" in text(report)
