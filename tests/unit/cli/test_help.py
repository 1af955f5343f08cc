from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from codeswarm.cli import main


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    group = getattr(command, "commands", None)
    if group is not None:
        for name, below in group.items():
            yield from commands(below, (*words, name))
    else:
        yield words, command


ALL = dict(commands(typer.main.get_command(main.app)))


def test_all_commands_are_looked_at() -> None:
    assert {("run",), ("status",), ("ticket", "list"), ("ledger", "verify")} <= set(ALL)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_the_help_of_a_command_ends_with_an_example_of_itself(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main.app, [*words, "--help"])
    assert shown.exit_code == 0
    assert f"Example: codeswarm {' '.join(words)}" in " ".join(shown.output.split())
