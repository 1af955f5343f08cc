"""How a program behind walls gets its way out: a box with a door in it, and the command that opens it from inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from codeswarm.egress.door import INSIDE
from codeswarm.egress.way_out import WayOut, told
from codeswarm.host import bare_interpreter
from codeswarm.sandbox.base import Box, Mount


def through(
    way_out: WayOut, box: Box, argv: Sequence[str], environment: Mapping[str, str]
) -> tuple[Box, Sequence[str], dict[str, str]]:
    """What to start in place of these. Raises: OSError."""
    python, shown = bare_interpreter()
    door = way_out.door()
    mounts = (*box.mounts, *map(Mount, shown), Mount(door.path, INSIDE))
    return dataclasses.replace(box, mounts=mounts), door.relayed(python, argv), told(environment)
