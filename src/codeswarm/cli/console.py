"""The terminal, for whatever is more than plain lines: colours, tables, the live board."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from codeswarm.cli.output import visible


class HarmlessConsole(Console):
    """What agents, repositories and tickets say can't steer the terminal: only rich itself sends control codes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
