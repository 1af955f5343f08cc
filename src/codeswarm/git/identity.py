"""Who made a commit, and what it says. Trailers are for people; nothing is ever decided by them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    email: str

    def line(self, at_s: int) -> str:
        """As it stands in a commit: `NAME <EMAIL> SECONDS +0000`."""
        return f"{clean(self.name)} <{clean(self.email)}> {at_s} +0000"


ROUTER = Identity("Codeswarm", "router@codeswarm.invalid")


def agent_identity(agent: str, role: str) -> Identity:
    """Who an agent is in a commit: its spec's kind and model, and its role."""
    kind = agent.partition(":")[0] if agent.startswith(("command:", "replay:", "acp:")) else agent
    slug = re.sub(r"[^a-z0-9]+", "-", f"{kind} {role}".lower()).strip("-")
    return Identity(f"{kind or 'agent'} ({role})", f"{slug}@agents.codeswarm.invalid")


def clean(text: str) -> str:
    return re.sub(r"[<>\x00-\x1f]", " ", text).strip() or "unknown"


@dataclass(frozen=True, slots=True)
class Message:
    """A commit message: a subject, a body, and trailers for people (never evidence)."""

    subject: str
    body: str = ""
    trailers: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        subject = " ".join(self.subject.split())[:200] or "(no subject)"
        trailers = "\n".join(f"{key}: {' '.join(value.split())}" for key, value in self.trailers if value)
        whole = "\n\n".join(part for part in (subject, self.body.strip(), trailers) if part) + "\n"
        return whole.replace("\0", " ")  # git refuses it
