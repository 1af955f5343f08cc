from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from codeswarm.agents.base import Activity
from codeswarm.errors import RouterUnreachable
from codeswarm.testing.clock import VirtualClock
from codeswarm.worker import transcript as module
from codeswarm.worker.transcript import SHIP_EVERY_S, Transcript


class Harbour:
    """Where pieces are shipped to; it takes them as the router does."""

    def __init__(self) -> None:
        self.data = b""
        self.asked = 0
        self.away = False
        self.full = False

    async def ship(self, offset: int, data: bytes) -> int:
        self.asked += 1
        if self.away:
            raise RouterUnreachable("the router does not answer", "a test has it so", "codeswarm resume")
        if not self.full:
            assert offset <= len(self.data)
            self.data += data[len(self.data) - offset :]
        return len(self.data)


@pytest.fixture
def harbour() -> Harbour:
    return Harbour()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(start_ms=1000)


def lines(data: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in data.splitlines()]


async def test_each_activity_is_a_line_and_what_it_weighs_is_kept(
    tmp_path: Path, clock: VirtualClock, harbour: Harbour
) -> None:
    transcript = Transcript(tmp_path / "t.jsonl", clock, harbour.ship)
    transcript.write(Activity("assistant", "ü→ \ud800", {"own": 1}, raw='{"type":"assistant"}'))
    await clock.advance(1)
    transcript.write(Activity("usage", data={"cost_usd": 0.5}))
    await transcript.flush()
    first, second = lines(harbour.data)
    assert first == {"at_ms": 1000, "type": "assistant", "text": "ü→ ?", "raw": '{"type":"assistant"}'}
    assert second == {"at_ms": 2000, "type": "usage", "text": "", "data": {"cost_usd": 0.5}}
    digest, size = await transcript.close()
    assert (digest, size) == (hashlib.sha256(harbour.data).hexdigest(), len(harbour.data))


async def test_it_is_shipped_as_it_grows_and_an_absence_of_the_router_loses_nothing(
    tmp_path: Path, clock: VirtualClock, harbour: Harbour
) -> None:
    transcript = Transcript(tmp_path / "t.jsonl", clock, harbour.ship)
    shipping = asyncio.create_task(transcript.keep_shipping())
    transcript.write(Activity("assistant", "one"))
    await clock.advance(SHIP_EVERY_S)
    assert len(lines(harbour.data)) == 1
    harbour.away = True
    transcript.write(Activity("assistant", "two"))
    await clock.advance(10 * SHIP_EVERY_S)
    harbour.away = False
    transcript.write(Activity("assistant", "three"))
    await clock.advance(SHIP_EVERY_S)
    assert [line["text"] for line in lines(harbour.data)] == ["one", "two", "three"]
    shipping.cancel()
    await transcript.close()


async def test_a_harbour_that_takes_nothing_is_asked_again_later_and_not_in_a_loop(
    tmp_path: Path, clock: VirtualClock, harbour: Harbour
) -> None:
    transcript = Transcript(tmp_path / "t.jsonl", clock, harbour.ship)
    transcript.write(Activity("assistant", "one"))
    harbour.full = True
    await transcript.flush()
    assert harbour.asked == 1
    harbour.full = False
    await transcript.flush()
    assert len(lines(harbour.data)) == 1
    await transcript.close()


async def test_nothing_is_kept_beyond_the_cap_and_the_last_line_says_so(
    tmp_path: Path, clock: VirtualClock, harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    transcript = Transcript(tmp_path / "t.jsonl", clock, harbour.ship)
    for number in range(100):
        transcript.write(Activity("assistant", f"line {number}"))
    await transcript.flush()
    assert lines(harbour.data)[-1]["text"] == "[transcript full]"
    assert len(harbour.data) < 1100
    await transcript.close()


async def test_a_long_transcript_is_shipped_in_pieces(tmp_path: Path, clock: VirtualClock, harbour: Harbour) -> None:
    transcript = Transcript(tmp_path / "t.jsonl", clock, harbour.ship)
    transcript.write(Activity("assistant", "x" * (3 * module.CHUNK)))
    await transcript.flush()
    assert harbour.asked == 4
    assert len(lines(harbour.data)) == 1
    await transcript.close()
