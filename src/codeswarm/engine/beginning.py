"""What a session begins from: a commit of the person's repository, and the settings in force there.

Where the commit has no `codeswarm.toml`, and the person has not said either how the project is tested and set up, that
is detected from its files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from codeswarm.config import Loaded, Source, load
from codeswarm.detection.base import FILE, MAX_FILE_BYTES
from codeswarm.detection.detect import Detected, detect
from codeswarm.engine.project import Base, Project
from codeswarm.environment import Environment
from codeswarm.git.commit_files import CommitFiles

_SAID = ("gates.fast", "gates.full", "workspace.setup")
"""Who sets one of these knows how the project is built; what is detected could only contradict it."""


def begin_from(
    project: Project, environment: Environment, wanted: str | None = None, flags: Mapping[str, Any] | None = None
) -> tuple[Base, Loaded]:
    """The base that was asked for, else the one of the settings, else the branch checked out; and its settings.

    Where the settings name another branch, the file that stands on that one counts. Raises: RepositoryUnfit,
    ConfigError.
    """
    base = project.base(wanted)
    loaded = _load(project, environment, base, flags)
    named = loaded.config.project.base
    if wanted is not None or not named or named == base.branch:
        return base, loaded
    base = project.base(named)
    return base, _load(project, environment, base, flags)


def look_at(project: Project, environment: Environment, base: Base) -> Detected:
    """What the files of a commit propose, whatever its `codeswarm.toml` says. Nothing of it is run."""
    return detect(CommitFiles(project.git, base.commit, MAX_FILE_BYTES), environment.has)


def _load(project: Project, environment: Environment, base: Base, flags: Mapping[str, Any] | None) -> Loaded:
    text = project.file_at(base.commit, FILE)
    loaded = load(environment, text, flags)
    if text is not None or any(key in loaded.origins for key in _SAID):
        return loaded
    detected = look_at(project, environment, base)
    return replace(load(environment, None, flags, sources(detected)), detected=detected)


def sources(detected: Detected) -> list[Source]:
    """What was detected as settings, each with the file that it was read from as its origin."""
    found = []
    for value in detected.values:
        section, _, key = value.key.partition(".")
        found.append(Source(f"detected from {value.source}", {section: {key: value.value}}))
    return found
