"""What a session begins from: a commit of the person's repository, and the settings in force there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeswarm.config import FILE, Loaded, load
from codeswarm.engine.project import Base, Project
from codeswarm.environment import Environment


def begin_from(
    project: Project, environment: Environment, wanted: str | None = None, flags: Mapping[str, Any] | None = None
) -> tuple[Base, Loaded]:
    """The base that was asked for, else the one of the settings, else the branch checked out; and its settings.

    Where the settings name another branch, the file that stands on that one counts. Raises: RepositoryUnfit,
    ConfigError.
    """
    base = project.base(wanted)
    loaded = load(environment, project.file_at(base.commit, FILE), flags)
    named = loaded.config.project.base
    if wanted is not None or not named or named == base.branch:
        return base, loaded
    base = project.base(named)
    return base, load(environment, project.file_at(base.commit, FILE), flags)
