"""What of a project's base needs a person's trust, and whether they gave it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from codeswarm.context.trust import TRUSTED, digest_of, of_trust
from codeswarm.detection.base import FILE
from codeswarm.domain.ids import Commit
from codeswarm.engine.project import Project
from codeswarm.environment import Environment
from codeswarm.trusted import Trusted

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What a commit asks trust for."""

    files: tuple[str, ...]
    """Settings for agents: hooks, MCP servers, skills, roles."""
    agents: str
    """Digest of these; empty where there are none."""
    settings: str
    """Digest of the repository's `codeswarm.toml`; empty where there is none."""
    trusts_agents: bool
    trusts_settings: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever starts a session should know."""
        if not self.files or self.trusts_agents:
            return ()
        more = f" and {len(self.files) - MOST_NAMED} more" if len(self.files) > MOST_NAMED else ""
        return (f"not loaded: {', '.join(self.files[:MOST_NAMED])}{more}; codeswarm trust --show",)

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(digest for digest in (self.agents, self.settings) if digest)


def settings_digest(text: bytes | None) -> str:
    """Of a `codeswarm.toml`; never that of anything else."""
    return hashlib.sha256(b"codeswarm.toml\0" + text).hexdigest() if text else ""


def trusted_by(environment: Environment) -> Trusted:
    return Trusted(environment.user_config.with_name("trusted.json"))


def asked_of(project: Project, environment: Environment, commit: Commit) -> Asked:
    """Raises: ConfigError where what the person trusts can't be read."""
    listing = project.listing(commit, TRUSTED)
    trusted = trusted_by(environment)
    agents, settings = digest_of(listing), settings_digest(project.file_at(commit, FILE))
    return Asked(tuple(of_trust(listing)), agents, settings, agents in trusted, settings in trusted)
