"""The person's own editor: a text goes in, what they made of it comes out."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from codeswarm.cli.here import Here
from codeswarm.errors import UsageError
from codeswarm.process import run_in_foreground

FALLBACKS = ("sensible-editor", "nano", "vi")


def edit(here: Here, text: str, name: str) -> str:
    """Open `text` as a file called `name` in $VISUAL or $EDITOR; what stands in it when the editor ends.

    Raises: UsageError where there is no editor, or it did not end well: then nothing was taken.
    """
    editor = _editor(here)
    with tempfile.TemporaryDirectory(prefix="codeswarm-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        try:
            code = run_in_foreground([*editor, str(path)], here.environment.variables)
        except OSError as error:
            raise UsageError(f"the editor {editor[0]} can't be run", str(error), "EDITOR=vi codeswarm …") from error
        if code:
            raise UsageError(
                f"the editor {editor[0]} ended with {code}: nothing was taken", "", "EDITOR=vi codeswarm …"
            )
        return path.read_text(encoding="utf-8", errors="replace")


def _editor(here: Here) -> list[str]:
    if named := here.environment.editor:
        return shlex.split(named)
    found = next((name for name in FALLBACKS if shutil.which(name, path=here.environment.path)), None)
    if found is None:
        raise UsageError("there is no editor", "neither $VISUAL nor $EDITOR is set", "EDITOR=vi codeswarm …")
    return [found]
