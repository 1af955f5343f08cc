from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from rich.text import Text

from codeswarm.cli.output import console, report_error, say, table, visible
from codeswarm.errors import UsageError

HOSTILE = "\x1b[2Jgone \x1b]0;title\x07 \x9b31m \x7f \u202edesrever\r"


@given(st.text())
def test_what_is_made_visible_can_steer_nothing_and_is_left_alone_a_second_time(text: str) -> None:
    seen = visible(text)
    assert all(char.isprintable() or char in "\t\n" or ord(char) > 0x9F for char in seen)
    assert visible(seen) == seen


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text + "\tü→\n") == text + "\tü→\n"


def test_nothing_that_others_wrote_reaches_the_terminal_as_a_control_code(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    table(["ticket", HOSTILE], [["a", HOSTILE]])
    console().print(Text(HOSTILE, style="bold"))
    report_error(UsageError(HOSTILE, HOSTILE, HOSTILE), as_json=False)
    told = capsys.readouterr()
    assert "gone" in told.out
    assert "\\x1b[2J" in told.err
    assert not set(told.out + told.err) & set("\x1b\x07\x9b\x7f\u202e\r")


def test_colours_of_our_own_still_reach_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = console()
    with out.capture() as seen:
        out.print(Text("a\x1b[31mb", style="bold"))
    assert seen.get() == "\x1b[1ma\\x1b[31mb\x1b[0m\n"
