"""The person's own editor: a text goes in, what they made of it comes out.

It is edited where the data is, and stays there until it was taken: no mistake in it costs what else was written.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codeswarm.cli.again import again, without, words_of
from codeswarm.cli.here import Here
from codeswarm.errors import CodeswarmError, UsageError, disk_full
from codeswarm.process import run_in_foreground

FALLBACKS = ("sensible-editor", "nano", "vi")
MADE_NO_SENSE = 422
"""How the router answers what no change of state would make right: the text has to be mended."""


@dataclass
class Paper:
    """A text that a person edits, as a file, and the command that opens it again and takes it."""

    path: Path
    command: str
    """Without the file."""
    option: str
    """What names the file."""
    ours: bool
    """Whether it was laid out for this alone, and not named by the person."""
    before: str = ""
    """What stood in it when it was laid out."""

    @property
    def again(self) -> str:
        """The command that goes on from what stands in the file."""
        return f"{self.command} {self.option} {shlex.quote(str(self.path))}"

    def read(self) -> str:
        """Raises: UsageError where the file is gone, or nothing stands in it: then there is nothing to go on from."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError as error:
            why = f"{self.path} is not there any more"
            raise UsageError("the text was removed: nothing was taken", why, self.command) from error
        except OSError as error:
            raise UsageError(f"{self.path} can't be read", str(error), self.again) from error
        if text.strip():
            return text
        self.drop()
        raise UsageError("nothing was taken", "the text is empty", self.command)

    def drop(self) -> None:
        """It was taken, or nothing was written into it."""
        if self.ours:
            self.path.unlink(missing_ok=True)

    def keep(self, error: CodeswarmError) -> None:
        """Say in an error where the text is now, and how to go on from it."""
        if not self.path.exists():
            return
        if self.ours and self.path.read_text(encoding="utf-8", errors="replace") == self.before:
            self.drop()
            error.hint = error.hint.replace(self.again, self.command)
            return
        if self.ours:
            kept = f"what you wrote is kept: {self.path}"
            error.why = f"{error.why}\n{kept}" if error.why else kept
        if self.again not in error.hint and error.http_status == MADE_NO_SENSE:
            error.hint = self.again


def command_of(here: Here, option: str = "--from") -> str:
    """What was typed, as it opens an editor whatever file it named."""
    return again(words_of(without(here.typed, option)), "--edit")


def lay_out(here: Here, name: str, text: str, command: str, option: str = "--from") -> Paper:
    """A new file with a text to be edited. Raises: UsageError, DiskFull."""
    folder = here.home.data.edited
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix=f"{name}-", suffix=".yaml", dir=folder, delete=False
        ) as file:
            file.write(text)
    except OSError as error:
        full = disk_full(error)
        raise full or UsageError("the text can't be laid out to be edited", str(error), command) from error
    return Paper(Path(file.name), command, option, ours=True, before=text)


def named(here: Here, name: str, command: str, option: str = "--from") -> Paper:
    """A file that the person names: their own, or one that was kept for them. Raises: UsageError."""
    path = here.directory / name
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{name} can't be read", str(error), f"{command}   # without {option}") from error
    return Paper(path, command, option, ours=path.resolve().parent == here.home.data.edited.resolve())


@contextlib.contextmanager
def edited(here: Here, paper: Paper, *, opened: bool = True) -> Iterator[str]:
    """What the person's editor leaves; once the block has taken it, it is gone, else it is kept and told of.

    `opened`: whether an editor is opened at all, and the file not taken as it stands.
    """
    try:
        if opened:
            open_editor(here, paper)
        yield paper.read()
    except CodeswarmError as error:
        paper.keep(error)
        raise
    paper.drop()


def open_editor(here: Here, paper: Paper) -> None:
    """Have the person edit a file in $VISUAL or $EDITOR.

    Raises: UsageError where there is no editor, or it did not end well.
    """
    argv = _editor(here, paper)
    try:
        with _screen() as screen:
            code = run_in_foreground([*argv, str(paper.path)], here.environment.variables, screen)
    except OSError as error:
        raise _failed(here, f"the editor {argv[0]} can't be run", str(error), paper) from error
    if code:
        raise _failed(here, f"the editor {argv[0]} failed: nothing was taken", _ended(code), paper)


@contextlib.contextmanager
def _screen() -> Iterator[int | None]:
    """Where an editor draws: never into an answer that a program reads. None: where we write, too."""
    if sys.stdout.isatty():
        yield None
        return
    try:
        terminal = os.open("/dev/tty", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # there is none
        yield sys.stderr.fileno()
        return
    try:
        yield terminal
    finally:
        os.close(terminal)


def _editor(here: Here, paper: Paper) -> list[str]:
    if line := here.environment.editor:
        try:
            return shlex.split(line)
        except ValueError as error:
            raise _failed(here, f"the editor {line!r} is no command", str(error), paper) from error
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to edit on",
            "neither $VISUAL nor $EDITOR names an editor that needs none",
            f"{paper.command.removesuffix(' --edit')} {paper.option} FILE",
        )
    found = next((name for name in FALLBACKS if shutil.which(name, path=here.environment.path)), None)
    if found is None:
        raise _failed(here, "there is no editor", "neither $VISUAL nor $EDITOR is set", paper)
    return [found]


def _failed(here: Here, what: str, why: str, paper: Paper) -> UsageError:
    """With another editor it may be better: the same once more, in that."""
    variable = "VISUAL" if here.environment.variables.get("VISUAL") else "EDITOR"
    return UsageError(what, why, f"{variable}=vi {paper.again}")


def _ended(code: int) -> str:
    if code > 0:
        return f"it ended with exit code {code}"
    return f"it was killed by {signal.Signals(-code).name}"
