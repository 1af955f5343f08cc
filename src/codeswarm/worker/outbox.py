"""Completions survive: each is on disk before it is sent, and goes away only when the router has taken it.

A worker that dies with something in its outbox is no loss: whichever worker starts next on this machine sends it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeswarm.redaction import Secrets


@dataclass(frozen=True, slots=True)
class Letter:
    """A request that must arrive: POST `path` with `body`."""

    file: Path
    path: str
    body: dict[str, Any]


def _written_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


class Outbox:
    def __init__(self, folder: Path, secrets: Secrets | None = None) -> None:
        """`secrets`: what no letter may hold."""
        self._secrets = Secrets() if secrets is None else secrets
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, path: str, body: dict[str, Any]) -> Letter:
        """Write a letter down, durably. The same name replaces an earlier one. Raises: OSError."""
        letter = self.unwritten(name, path, body)
        temporary = letter.file.with_suffix(f".{os.getpid()}.new")
        try:
            with temporary.open("w", encoding="utf-8") as handle:
                json.dump({"path": path, "body": letter.body}, handle)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        temporary.replace(letter.file)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return letter

    def unwritten(self, name: str, path: str, body: dict[str, Any]) -> Letter:
        """A letter that is not on disk."""
        return Letter(self._folder / f"{name}.json", path, self._secrets.within(body))

    def letters(self) -> Iterator[Letter]:
        """Everything that waits, oldest first. A letter that can't be read is put aside, not thrown away.

        Other workers may send a letter, too, at the same time: one that has gone meanwhile has arrived.
        """
        for file in sorted(self._folder.glob("*.json"), key=_written_ns):
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
                letter = Letter(file, str(found["path"]), dict(found["body"]))
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, TypeError, RecursionError):
                with contextlib.suppress(FileNotFoundError):
                    file.rename(file.with_suffix(".unreadable"))
                continue
            yield letter

    @staticmethod
    def arrived(letter: Letter) -> None:
        letter.file.unlink(missing_ok=True)

    def refused(self, letter: Letter, why: str) -> None:
        """Put a letter aside that will never be taken, with the reason beside it."""
        with contextlib.suppress(FileNotFoundError):
            letter.file.rename(letter.file.with_suffix(".refused"))
            letter.file.with_suffix(".why").write_text(why + "\n", encoding="utf-8")

    def put_aside(self, file: Path, why: str) -> None:
        """Keep a copy of something that could not be delivered, with the reason beside it."""
        target = self._folder / f"{file.parent.parent.name}.{file.name}"
        target.write_bytes(file.read_bytes())
        target.with_suffix(".why").write_text(why + "\n", encoding="utf-8")
