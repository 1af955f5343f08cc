from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from codeswarm.domain.states import Handover
from codeswarm.frames import DONE, ENDED, HELLO, VERDICT, call, receive, send, send_json
from codeswarm.sandbox.base import Running
from codeswarm.testing.clock import VirtualClock
from codeswarm.worker.door import RETURN_S, Door, Left


async def nothing(argv: Sequence[str] | None, env: dict[str, str], terminal: int | None) -> Running:
    raise FileNotFoundError("no such program")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    deep = tmp_path / ("d" * 120)  # longer than the name of a socket may be
    deep.mkdir()
    return deep / "door"


async def test_who_never_comes_has_handed_back_after_a_while(path: Path) -> None:
    clock = VirtualClock()
    door = Door(path, nothing, clock)
    await door.open()
    leaving = asyncio.create_task(door.left())
    await clock.advance(RETURN_S - 1)
    assert not leaving.done()
    await clock.advance(2)
    left = await leaving
    assert left.how is Handover.HAND_BACK
    assert "nobody was there" in left.note
    await door.close()
    assert not path.exists()


async def test_whoever_leaves_a_ticket_at_rest_without_a_word_leaves_it_so(path: Path) -> None:
    clock = VirtualClock()
    door = Door(path, nothing, clock, Handover.LEAVE)
    await door.open()
    reader, writer = await asyncio.open_unix_connection(sock=call(path))
    send_json(writer, HELLO)
    send_json(writer, VERDICT, how="leave")
    assert await receive(reader) == (DONE, b'{"how": "leave"}')
    door.cut_off()
    assert (await door.left()).how is Handover.LEAVE
    writer.close()
    await door.close()


async def test_a_person_leaves_with_a_word_and_is_told_that_it_was_heard(path: Path) -> None:
    door = Door(path, nothing, VirtualClock())
    await door.open()
    assert path.stat().st_mode & 0o077 == 0, "nobody else may come in"
    reader, writer = await asyncio.open_unix_connection(sock=call(path))
    send_json(writer, HELLO)
    send_json(writer, VERDICT, how="complete", note="by hand")
    assert await receive(reader) == (DONE, b'{"how": "complete"}')
    assert await door.left() == Left(Handover.COMPLETE, "by hand")
    writer.close()
    await door.close()


async def test_a_second_person_is_turned_away_and_a_word_that_is_none_hands_back(path: Path) -> None:
    door = Door(path, nothing, VirtualClock())
    await door.open()
    reader, writer = await asyncio.open_unix_connection(sock=call(path))
    send_json(writer, HELLO, argv=["nowhere"])
    frame = await receive(reader)
    assert frame is not None
    assert (frame[0], b"no such program" in frame[1]) == (ENDED, True)
    other, theirs = await asyncio.open_unix_connection(sock=call(path))
    turned_away = await receive(other)
    assert turned_away is not None
    assert b"somebody is in there" in turned_away[1]
    send(writer, VERDICT, b"[" * 5000)
    assert await receive(reader) == (DONE, b'{"how": "hand_back"}')
    assert (await door.left()).how is Handover.HAND_BACK
    for each in (writer, theirs):
        each.close()
    await door.close()
