"""A terminal of a program: whoever looks at it slowly holds the program up, and not our memory."""

from __future__ import annotations

import asyncio
import os

from codeswarm.worker.pty import Pty


async def test_nothing_more_is_read_while_nobody_takes_what_was_shown() -> None:
    shown, behind = bytearray(), True
    pty = Pty(shown.extend, lambda: behind)
    os.set_blocking(pty.inner, False)
    written = 0
    for _ in range(200):
        try:
            written += os.write(pty.inner, b"y" * 4096)
        except BlockingIOError:
            await asyncio.sleep(0.001)
    assert len(shown) < 1 << 17, "one look's worth, whatever the program says"
    behind = False
    while len(shown) < written:
        await asyncio.sleep(0.001)
    pty.close()
