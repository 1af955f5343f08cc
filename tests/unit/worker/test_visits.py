from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.agents.claude.agent import KEPT as OF_CLAUDE
from codeswarm.agents.codex.agent import KEPT as OF_CODEX
from codeswarm.worker import visits
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


def test_no_link_in_an_agents_home_is_followed_and_nothing_but_a_file_is_a_conversation(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "2026" / "11" / "21"
    elsewhere.mkdir(parents=True)
    (elsewhere / f"{NAME}.jsonl").touch()
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "sessions").symlink_to(tmp_path / "elsewhere")
    assert not is_kept(home, OF_CODEX, NAME)
    (home / ".codex" / "sessions").unlink()
    (home / ".codex" / "sessions" / "2026" / "11" / "21").mkdir(parents=True)
    kept = home / ".codex" / "sessions" / "2026" / "11" / "21" / f"{NAME}.jsonl"
    kept.symlink_to(elsewhere / f"{NAME}.jsonl")
    assert not is_kept(home, OF_CODEX, NAME)
    kept.unlink()
    kept.mkdir()
    assert not is_kept(home, OF_CODEX, NAME)


def test_of_a_home_that_is_full_only_so_much_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "LOOKED_AT_MAX", 12)
    names = [f"conversation-{number:02}" for number in range(30)]
    for name in names:
        (tmp_path / ".claude" / "projects" / name).mkdir(parents=True)
        (tmp_path / ".claude" / "projects" / name / f"{name}.jsonl").touch()
    assert sum(is_kept(tmp_path, OF_CLAUDE, name) for name in names) == 5, "each is a folder and a file, two are above"


def test_of_an_agent_that_does_not_tell_where_it_keeps_them_it_is_taken_to_be_there(tmp_path: Path) -> None:
    assert is_kept(tmp_path, "", NAME)
