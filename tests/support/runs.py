"""Running `codeswarm` as a person would: a process of its own, with a HOME of its own, seen through its output."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CODESWARM = [sys.executable, "-m", "codeswarm.cli"]
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
WORKERS = "2"
"""Where a test says nothing else: hardly one has work for more at once, and each costs a third of a second to begin."""


@dataclass
class Place:
    """A repository with a HOME, a cache and everything else beside it, so that nothing of the machine's is touched."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)
    """What every command is run through, such as `nsenter` with its options."""

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    def env(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        interpreter = str(Path(sys.executable).parent)
        return {
            "PATH": f"{interpreter}:{SYSTEM_PATH}",
            "HOME": str(self.root / "home"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "CODESWARM_SWARM_WORKERS": WORKERS,
            **self.environment,
            **more,
        }

    # ── the repository ──

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.invalid", *args],
            cwd=self.repository,
            env=self.env(),
            check=True,
            capture_output=True,
        )
        return os.fsdecode(done.stdout).strip()

    def begin(self, files: Mapping[str, str]) -> None:
        """A repository with one commit."""
        (self.root / "home").mkdir(parents=True, exist_ok=True)
        self.repository.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Begin")

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def tickets(self, tickets: list[dict[str, Any]], name: str = "tickets.yaml", goal: str = "") -> Path:
        path = self.root / name
        path.write_text(yaml.safe_dump({"goal": goal, "tickets": tickets}))
        return path

    @property
    def data(self) -> Path:
        return self.repository / ".git" / "codeswarm"

    # ── running ──

    def run(self, *words: str, env: Mapping[str, str] = {}, timeout_s: float = 240, stdin: str = "") -> Finished:
        """A command to its end."""
        done = subprocess.run(
            [*self.prefix, *CODESWARM, *words],
            cwd=self.repository if self.repository.is_dir() else self.root,
            env=self.env(env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    async def start(self, *words: str, env: Mapping[str, str] = {}) -> Started:
        """A command that goes on, with `--json`: its events are read as they come."""
        process = await asyncio.create_subprocess_exec(
            *self.prefix,
            *CODESWARM,
            "--json",
            *words,
            cwd=self.repository,
            env=self.env(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=1 << 26,
        )
        return Started(process)


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


@dataclass
class Started:
    process: asyncio.subprocess.Process
    events: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    told: list[str] = field(default_factory=list)
    """Lines on its standard error."""

    def __post_init__(self) -> None:
        self._news = asyncio.Event()
        self._hearing = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.told.append(line.decode(errors="replace").rstrip())
            self._news.set()

    async def until_told(self, text: str) -> str:
        """The first line of its standard error that holds `text`. Raises: AssertionError where that ends first."""
        self._hearing.add_done_callback(lambda _: self._news.set())
        while not (found := [line for line in self.told if text in line]):
            assert not self._hearing.done(), self.told
            self._news.clear()
            await self._news.wait()
        return found[0]

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.startswith(b"{"):
                event = json.loads(line)
                if "error" in event:
                    self.error = event["error"]
                    continue
                self.events.append(event)
                yield event

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        """The next event of a kind whose data agrees. Raises: AssertionError where the output ends first."""
        async for event in self:
            if event.get("kind") == kind and data.items() <= event["data"].items():
                return event
        last = [event["kind"] for event in self.events[-15:]]
        raise AssertionError(f"{kind} {data} never came; error: {self.error}; last: {last}")

    async def end(self) -> int:
        """Read to the end; the exit code."""
        async for _ in self:
            pass
        await self._hearing
        return await self.process.wait()
