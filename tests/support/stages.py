"""Streams for adapters under test; their stages are `codeswarm.testing.stage`."""

from __future__ import annotations

import asyncio

from codeswarm.testing.stage import OpenStage, QuietStage

__all__ = ["OpenStage", "QuietStage", "stream_of"]


def stream_of(*chunks: bytes) -> asyncio.StreamReader:
    """A stream that holds these bytes and then ends."""
    stream = asyncio.StreamReader()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    return stream
