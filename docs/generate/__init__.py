"""The reference, made from the code: commands, settings, events, errors, and the keys of a tickets file.

`make docs-reference` writes the pages; a test holds that writing them again changes nothing. A thing without a
description is an error here (`Undocumented`), and so fails that test: whoever adds a command, a setting, an event or an
error describes it where it stands in the code, and nowhere else. Nothing of this ships with the program.
"""

from __future__ import annotations

from collections.abc import Callable

from generate import commands, configuration, errors, events, tickets

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "configuration.md": configuration.page,
    "errors.md": errors.page,
    "events.md": events.page,
    "tickets.md": tickets.page,
}
"""The name of each page in `docs/reference/`, and what makes it."""
