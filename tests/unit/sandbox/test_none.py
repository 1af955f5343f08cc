"""Without walls: what is ended, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.sandbox import none
from codeswarm.sandbox.base import Box
from codeswarm.sandbox.marks import end_marked


async def test_a_number_that_was_once_its_own_is_not_ended_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int | None] = []

    def ended(name: str, group: int | None = None) -> tuple[str, ...]:
        groups.append(group)
        return end_marked(name, group)

    monkeypatch.setattr(none, "end_marked", ended)
    box = Box(f"once-{tmp_path.name}", tmp_path, tmp_path, tmp_path, tmp_path)
    running = await none.NoSandbox().start(box, ["sleep", "60"], {})
    assert await running.end() == await running.end() == ()
    assert groups == [running.process.pid, None], "by then it may be the number of another program of the person's"
