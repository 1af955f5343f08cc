"""`--record DIR`: a folder that can be written is made before anything begins, or it is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

from codeswarm.cli.here import Here
from codeswarm.errors import UsageError


def recording_folder(here: Here, wanted: Path | None) -> Path | None:
    """The folder, made and tried: a worker finds out only once an agent is to run, and tries again and again.

    Raises: UsageError.
    """
    if wanted is None:
        return None
    folder = here.directory / wanted
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"nothing can be recorded into {wanted}"
        raise UsageError(what, str(error), "--record recorded   # or another folder that you may write") from error
    return folder
