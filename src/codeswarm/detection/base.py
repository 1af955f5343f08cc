"""What detection reads, and what it answers: every value with the file that it came from.

A repository is whatever someone committed: too large, malformed, full of links. `Files` hands out plain files of a
bounded size only, and what can't be read is as if it were not there.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

FILE = "codeswarm.toml"
"""The repository's settings. Where it is committed nothing is detected."""
MAX_FILE_BYTES = 1 << 20
"""A larger file is not read: descriptions of projects are small, and lock files are only looked at for their name."""

Has = Callable[[str], bool]
"""Whether a program is on the person's PATH."""


class Files(Protocol):
    """The plain files of one commit."""

    def names(self, folder: str = "") -> frozenset[str]:
        """The plain files that lie directly in a folder, by their bare names; empty where there is no such folder."""
        ...

    def folders(self) -> frozenset[str]:
        """The folders at the top."""
        ...

    def paths(self) -> frozenset[str]:
        """Every plain file, by its path; of a very large repository, those that are listed first."""
        ...

    def text(self, path: str) -> str | None:
        """A file's content; None where it is none, is no text, or is larger than `MAX_FILE_BYTES`."""
        ...


class Within:
    """The files of a folder, as if they were all that there is; what git ignores above it is ignored in it, too."""

    def __init__(self, files: Files, folder: str) -> None:
        self._files = files
        self._folder = folder

    def names(self, folder: str = "") -> frozenset[str]:
        return self._files.names(self._path(folder))

    def folders(self) -> frozenset[str]:
        return frozenset(path.partition("/")[0] for path in self.paths() if "/" in path)

    def paths(self) -> frozenset[str]:
        prefix = self._path("") + "/"
        return frozenset(path.removeprefix(prefix) for path in self._files.paths() if path.startswith(prefix))

    def text(self, path: str) -> str | None:
        own = self._files.text(self._path(path))
        if path != ".gitignore":
            return own
        return "\n".join(text for text in (self._files.text(path), own) if text)

    def _path(self, path: str) -> str:
        return f"{self._folder}/{path}" if path else self._folder


@dataclass(frozen=True, slots=True)
class Proposed:
    """A setting that is proposed, and why."""

    key: str
    """As in `codeswarm.toml`: `gates.fast`."""
    value: str | list[str]
    source: str
    """The file that it was read from."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one kind of project asks for."""

    kind: str
    values: tuple[Proposed, ...]
    notes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Programs that its commands call."""
    in_ci: tuple[str, ...] = ()
    """Words that a CI file has where it runs these tests."""
    usual: str = ""
    """A command that would do as a gate, where no tests were found."""
    faint: bool = False
    """Found by a sign that projects of other kinds have, too."""

    def value(self, key: str) -> str | list[str] | None:
        return next((found.value for found in self.values if found.key == key), None)

    @property
    def gate(self) -> str | None:
        found = self.value("gates.fast")
        return found if isinstance(found, str) else None


def network_setup(command: str, inputs: Iterable[str], source: str, why: str) -> tuple[Proposed, ...]:
    """A set-up that fetches what the project depends on: gates have no network."""
    return (
        Proposed("workspace.setup", command, source, why),
        Proposed("workspace.setup_inputs", list(dict.fromkeys(inputs)), source, "its outcome depends on these"),
        Proposed("workspace.setup_network", ["@registries"], source, "it fetches packages"),
    )


def toml(files: Files, name: str) -> dict[str, Any]:
    text = files.text(name)
    try:
        return tomllib.loads(text) if text else {}
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def json_object(files: Files, name: str) -> dict[str, Any]:
    text = files.text(name)
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def table(value: Any, *path: str) -> dict[str, Any]:
    """The table at a path, or an empty one: nobody has promised that a table is one."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
