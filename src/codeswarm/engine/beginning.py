"""What a session begins from: a commit of the person's repository, and the settings in force there.

Where the commit has no `codeswarm.toml`, and the person has not said either how the project is tested and set up, that
is detected from its files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeswarm.config import Loaded, Source, load
from codeswarm.detection.base import FILE, MAX_FILE_BYTES, Has
from codeswarm.detection.detect import Detected, detect
from codeswarm.engine.project import Base, Project
from codeswarm.engine.trust import settings_digest, trusted_by
from codeswarm.environment import Environment
from codeswarm.git.commit_files import CommitFiles
from codeswarm.host import which

_SEES_ITS_NEIGHBOURS = {"pytest"}
"""Programs that run a project's code among the packages that they are installed with."""
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
    return detect(CommitFiles(project.git, base.commit, MAX_FILE_BYTES), _theirs(project, environment))


def _theirs(project: Project, environment: Environment) -> Has:
    """What there is to test a project with: of a pytest in the environment that Codeswarm is installed in, nothing.

    It would judge the project with packages that it never asked for, and others would not have it. An environment in
    the project's own folder is the project's.
    """
    own = Path(sys.prefix)
    if sys.prefix == sys.base_prefix or (project.checkout and own.is_relative_to(project.checkout)):
        return environment.has

    def has(program: str) -> bool:
        found = which(program, environment.path)
        return found is not None and not (program in _SEES_ITS_NEIGHBOURS and Path(found).parent == own / "bin")

    return has


def _load(project: Project, environment: Environment, base: Base, flags: Mapping[str, Any] | None) -> Loaded:
    text = project.file_at(base.commit, FILE)
    loaded = load(environment, text, flags, trusted=settings_digest(text) in trusted_by(environment))
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
