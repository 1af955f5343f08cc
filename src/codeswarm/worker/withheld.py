"""Files that hold a credential stay where they are: what stands in a ref is pushed some day."""

from __future__ import annotations

from pathlib import Path

from codeswarm.git.changes import leave_out, read_changes
from codeswarm.redaction import Secrets

REASON = "a credential of yours stands in it"


def withhold(spool: Path, secrets: Secrets) -> frozenset[bytes]:
    """Take files out of spooled changes in which a known secret stands, be it encoded; their paths.

    Raises: BrokenChanges.
    """
    if not secrets.values:
        return frozenset()
    with spool.open("rb") as file:
        changes = read_changes(file)
        held = frozenset(put.path for put in changes.puts if secrets.stand_in(changes.content(put)))
        if held:
            rest = spool.with_suffix(".rest")
            with rest.open("wb") as target:
                leave_out(file, held, REASON, target)
            rest.replace(spool)
    return held
