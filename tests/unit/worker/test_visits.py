from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.agents.claude.agent import KEPT as OF_CLAUDE
from codeswarm.agents.codex.agent import KEPT as OF_CODEX
from codeswarm.worker.visits import is_kept

NAME = "01a1fcf3-e9e1-72f1-a868-962312af41cc"


@pytest.mark.parametrize(
    ("where", "file"),
    [
        (OF_CLAUDE, f".claude/projects/-codeswarm-workspace/{NAME}.jsonl"),
        (OF_CODEX, f".codex/sessions/2026/11/21/rollout-2026-11-21T07-13-20-{NAME}.jsonl"),
    ],
)
def test_a_conversation_is_there_as_long_as_its_file_is(tmp_path: Path, where: str, file: str) -> None:
    assert not is_kept(tmp_path, where, NAME)
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert is_kept(tmp_path, where, NAME)
    assert not is_kept(tmp_path, where, "*")
    assert not is_kept(tmp_path / "gone", where, NAME)


def test_of_an_agent_that_does_not_tell_where_it_keeps_them_it_is_taken_to_be_there(tmp_path: Path) -> None:
    assert is_kept(tmp_path, "", NAME)
