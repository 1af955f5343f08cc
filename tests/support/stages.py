"""A stage without a process: what an adapter says on it is kept, and a test may speak to the adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from codeswarm.agents.base import Activity


class QuietStage:
    """The part of `codeswarm.agents.base.Stage` that a conversation needs once its program runs."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.stop = asyncio.Event()
        self.said: list[Activity] = []

    async def emit(self, activity: Activity) -> None:
        self.said.append(activity)

    async def await_event(self, kind: str, match: Mapping[str, Any]) -> None:
        """Nothing is waited for."""

    async def start(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is started on this stage")


def stream_of(*chunks: bytes) -> asyncio.StreamReader:
    """A stream that holds these bytes and then ends."""
    stream = asyncio.StreamReader()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    return stream
