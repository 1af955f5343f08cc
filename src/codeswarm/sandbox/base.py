"""The port of sandboxes: a `Box` says what a run may see, a `Sandbox` builds the walls, `Running` is what is inside.

Paths inside are constant, so that conversations, caches and set-up results fit every attempt of a ticket.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

WORKSPACE = Path("/codeswarm/workspace")
HOME = Path("/codeswarm/home")
RUN = Path("/codeswarm/run")
"""Bundle in, result out."""
LOGIN = Path("/codeswarm/login")
"""The credential file of a CLI, where it is the person's own."""
TMP = Path("/tmp")  # noqa: S108 - the inside of a sandbox, where it is private


@dataclass(frozen=True, slots=True)
class Mount:
    """Something of the host that is visible inside; `target` None: at the same path."""

    source: Path
    target: Path | None = None
    writable: bool = False

    @property
    def inside(self) -> Path:
        return self.target or self.source


@dataclass(frozen=True, slots=True)
class Mask:
    """A folder of the host that is empty inside, wherever the system or a mount would show it.

    A mount of something in it shows that all the same: whoever made it named it.
    """

    folder: Path
    only: tuple[Path, ...] | None = None
    """What of it may be mounted; None: anything."""

    def allows(self, mount: Mount) -> bool:
        source = mount.source.resolve()
        if self.only is None or not source.is_relative_to(self.folder.resolve()):
            return True
        return any(source.is_relative_to(path.resolve()) for path in self.only)


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Where something is mounted that the host does not see: descriptors of this process, which keep it there.

    Descriptors and not a process that waits inside: there is nothing to be killed, and no pid to be taken for another.
    """

    user: int
    mount: int

    @property
    def entering(self) -> tuple[str, ...]:
        """What a command is put behind, to run in there. Its descriptors stay out of the command's own."""
        ours = f"/proc/{os.getpid()}/fd"
        user, mount = f"--user={ours}/{self.user}", f"--mount={ours}/{self.mount}"
        return ("nsenter", user, mount, "--preserve-credentials", "--")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a run may use, with all that it starts; None: no limit."""

    memory_mib: int | None = None
    cpus: float | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class Lack:
    """A wall, or a limit, that can't be had here."""

    what: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Box:
    """What one run may see and do. Folders are the host's; each is writable."""

    name: str
    """Marks every process of the run; unique among live ones."""
    workspace: Path
    home: Path
    run: Path
    tmp: Path
    mounts: tuple[Mount, ...] = ()
    masks: tuple[Mask, ...] = ()
    network: bool = False
    limits: Limits = Limits()
    read_only_workspace: bool = False
    namespaces: Namespaces | None = None
    """Where the workspace is mounted; None: it stands on the host."""


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a box's folders are for whoever runs in it."""

    workspace: Path
    home: Path
    run: Path
    tmp: Path


class Running(Protocol):
    """A process behind walls, with everything that it starts."""

    @property
    def process(self) -> asyncio.subprocess.Process: ...

    async def end(self) -> tuple[str, ...]:
        """Kill whatever is left of it, and wait until it is gone. Idempotent.

        Returns: names of processes that could not be ended; empty is the rule.
        """
        ...

    def exceeded(self) -> tuple[str, ...]:
        """The limits that it ran into, in words: "512 MiB of memory". All of them are known once it is ended."""
        ...


class Sandbox(Protocol):
    """One kind of walls. `codeswarm.testing.sandbox_contract` is its definition."""

    kind: str
    own_network: bool
    """Whether a box without network has a loopback of its own: then what it may reach outside can be limited."""
    promises: str
    """One sentence for `doctor` and `run`: what it keeps apart, and what it can't."""

    def inside(self, box: Box) -> Inside: ...

    def lacks(self, limits: Limits) -> tuple[Lack, ...]:
        """What of its walls and of these limits can't be had on this machine. It may block for a moment."""
        ...

    @property
    def as_agent(self) -> tuple[str, ...]:
        """What a command of ours is put behind, on the host, to be who agents are inside.

        What it takes down of files' owners holds there, too: git believes no index that names another one.
        """
        ...

    async def start(
        self,
        box: Box,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: int | None = None,
        stderr: int | None = None,
    ) -> Running:
        """Start `argv` behind the walls, from the calling thread, with cwd = the workspace.

        `env` is all that is in its environment, beside HOME, TMPDIR and PATH where they are not given.
        Standard input, output and error are pipes unless given. Raises: FileNotFoundError, SandboxUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a kind of sandbox works here; where not, why, and the command that mends it."""

    works: bool
    why: str = ""
    fix: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
