"""Where a worker keeps things: one folder of the cache per project, disposable but for what no ref holds yet.

../logins/DIGEST/                        locks of CLIs that share one login file, and nothing of that itself: beside the
                                         projects' folders, for a login is all projects'

attempts/SESSION.SUBJECT.EPOCH[.gate]/   files/ (a checkout) or upper/ · work/ · mount/ (an overlay) · run/ · tmp/
                                         meta/ (ours alone)
homes/SESSION.TICKET@ROLE/               a HOME that lasts as long as its ticket
setup/KEY/                               what a set-up command made, by the hash of what it depends on
lower/SESSION.COMMIT/                    checkouts under overlays, which nobody writes
outbox/                                  completions on their way to the router
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeswarm.process import run_sync

ATTEMPTS, HOMES, SETUP, LOWER, OUTBOX = "attempts", "homes", "setup", "lower", "outbox"
LOGINS = "logins"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one attempt or gate run."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def session(self) -> str:
        return self.name.partition(".")[0]

    @property
    def files(self) -> Path:
        """The workspace, where it is a checkout."""
        return self.root / "files"

    @property
    def mount(self) -> Path:
        """Below it the workspace is mounted, where it is an overlay. The host never sees it there."""
        return self.root / "mount"

    @property
    def upper(self) -> Path:
        """What an attempt changed, where its workspace is an overlay."""
        return self.root / "upper"

    @property
    def lower(self) -> str:
        """The name of the checkout under its overlay; empty where it has none."""
        path = self.meta / "lower"
        return path.read_text() if path.is_file() else ""

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def meta(self) -> Path:
        """No sandbox of an agent or a gate sees it."""
        return self.root / "meta"

    @property
    def held(self) -> Path:
        """A lock file: whoever is at work in this folder, or clears it up, holds it for as long as it lives."""
        return self.meta / "held"

    @property
    def manifest(self) -> Path:
        return self.meta / "manifest"

    def create(self) -> None:
        for folder in (self.files, self.run, self.tmp, self.meta):
            folder.mkdir(parents=True)

    def create_overlay(self, lower: str) -> None:
        for folder in (self.meta, self.run, self.tmp, self.mount, self.upper, self.root / "work"):
            folder.mkdir(parents=True)
        (self.meta / "lower").write_text(lower)

    def remember(self, **facts: Any) -> None:
        """Write down what a later process needs to know of this folder, over what was known."""
        known = self.facts() | facts
        temporary = self.meta / "facts.new"
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(self.meta / "facts.json")

    def facts(self) -> dict[str, Any]:
        path = self.meta / "facts.json"
        if not path.is_file():
            return {}
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of one project."""

    root: Path

    def attempt(self, session: str, subject: str, epoch: int, suffix: str = "") -> Place:
        name = ".".join(part for part in (session, subject.replace("@", "gate-"), str(epoch), suffix) if part)
        return Place(self.root / ATTEMPTS / name)

    def home(self, session: str, ticket: str, role: str) -> Path:
        """Of each role's own: what an agent leaves there (a CLI's settings, its rules) the next one of the role obeys,
        and whoever judges its work must not.
        """
        return self.root / HOMES / f"{session}.{ticket}@{role}"

    @property
    def logins(self) -> Path:
        return self.root.parent / LOGINS

    @property
    def setup(self) -> Path:
        return self.root / SETUP

    @property
    def lower(self) -> Path:
        return self.root / LOWER

    @property
    def outbox(self) -> Path:
        return self.root / OUTBOX


def remove(root: Path) -> None:
    """Remove a folder, whatever permissions an agent left in it, and however deep it is. Raises: OSError."""
    env = {"PATH": os.defpath, "LC_ALL": "C"}
    done = run_sync(["rm", "-rf", "--", str(root)], cwd=Path("/"), env=env)
    if done.returncode != 0:
        run_sync(["chmod", "-R", "u+rwx", "--", str(root)], cwd=Path("/"), env=env)
        done = run_sync(["rm", "-rf", "--", str(root)], cwd=Path("/"), env=env)
    if done.returncode != 0:
        raise OSError(errno.EACCES, done.stderr.decode(errors="replace").strip()[-500:], str(root))
