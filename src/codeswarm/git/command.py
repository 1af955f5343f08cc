"""How git is run: scrubbed, deterministic, and never with anything that an agent could have written.

`Git` is for directories of ours: no user or system configuration, no hooks, no prompts. `UserGit` is for the
person's own repository: their configuration counts there (filters, line endings), their hooks don't run.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Container, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from codeswarm.environment import Environment
from codeswarm.errors import GitError, RepositoryUnfit
from codeswarm.packages import system_package_instead, system_packages
from codeswarm.process import run_for_head, run_sync

MINIMUM = (2, 38)

TRUSTING = "git -c safe.directory=* upload-pack"
"""Reads a repository whoever owns it. The person's own git has said before that they trust it; ours, which reads none
of their configuration, would refuse."""

_FIXED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "protocol.ext.allow=never",
    "protocol.version=2",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.fsync=all",
    "core.fsyncMethod=fsync",
    "core.quotePath=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
)

_FIXED_FOR_USER = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=all",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "protocol.version=2",
)

_SCRUBBED = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "HOME": "/nonexistent",
}


class Git:
    """git on a directory of ours, named explicitly: it never looks around for one."""

    def __init__(
        self,
        git_dir: Path,
        *,
        work_tree: Path | None = None,
        env: Mapping[str, str] = {},
        entering: Sequence[str] = (),
    ) -> None:
        """`entering`: what git is put behind, to run where the paths are that it is given, if not on the host."""
        self.git_dir = git_dir
        self.work_tree = work_tree
        self._entering = entering
        self._env = {"PATH": Environment.read().path, **_SCRUBBED, **env}

    def run(
        self,
        *args: str,
        stdin: bytes | BinaryIO = b"",
        env: Mapping[str, str] = {},
        ok: Container[int] = (0,),
        timeout_s: float = 600,
    ) -> bytes:
        """Run one git command and return its standard output. Raises: GitError for an exit code not in `ok`."""
        return self.run_full(*args, stdin=stdin, env=env, ok=ok, timeout_s=timeout_s).stdout

    def run_full(
        self,
        *args: str,
        stdin: bytes | BinaryIO = b"",
        env: Mapping[str, str] = {},
        ok: Container[int] = (0,),
        timeout_s: float = 600,
    ) -> subprocess.CompletedProcess[bytes]:
        return _run(self._argv(args), self._cwd, {**self._env, **env}, stdin, ok, timeout_s)

    def head(self, *args: str, most: int) -> tuple[bytes, bool]:
        """The first `most` bytes that a command prints, and whether that is all. No more is read. Raises: GitError."""
        return _head(self._argv(args), self._cwd, self._env, most)

    def _argv(self, args: Sequence[str]) -> list[str]:
        argv = [*self._entering, "git", f"--git-dir={self.git_dir}"]
        if self.work_tree is not None:
            argv.append(f"--work-tree={self.work_tree}")
        return [*argv, *_configured(), *args]

    @property
    def _cwd(self) -> Path:
        return Path("/") if self._entering else self.work_tree or self.git_dir

    def line(self, *args: str, ok: Container[int] = (0,)) -> str:
        """The one line that a command prints, without its end."""
        return self.run(*args, ok=ok).decode(errors="surrogateescape").strip("\n")


class UserGit:
    """git in the person's own repository, as they would run it, but without hooks, editors or prompts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(
        self, *args: str, stdin: bytes | BinaryIO = b"", ok: Container[int] = (0,), timeout_s: float = 600
    ) -> bytes:
        """Run one git command there, in a process session of its own. Raises: GitError."""
        return self.run_full(*args, stdin=stdin, ok=ok, timeout_s=timeout_s).stdout

    def run_full(
        self, *args: str, stdin: bytes | BinaryIO = b"", ok: Container[int] = (0,), timeout_s: float = 600
    ) -> subprocess.CompletedProcess[bytes]:
        return _run(_users(args), self.directory, _users_environment(), stdin, ok, timeout_s)

    def head(self, *args: str, most: int) -> tuple[bytes, bool]:
        """The first `most` bytes that a command prints, and whether that is all. No more is read. Raises: GitError."""
        return _head(_users(args), self.directory, _users_environment(), most)

    def line(self, *args: str, ok: Container[int] = (0,)) -> str:
        return self.run(*args, ok=ok).decode(errors="surrogateescape").strip("\n")


def _users(args: Sequence[str]) -> list[str]:
    return ["git", *(word for value in _FIXED_FOR_USER for word in ("-c", value)), *args]


def _users_environment() -> dict[str, str]:
    env = {key: value for key, value in Environment.read().variables.items() if not key.startswith("GIT_")}
    return env | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_EDITOR": "true", "GIT_MERGE_AUTOEDIT": "no"}


def _configured() -> list[str]:
    return [word for value in _FIXED for word in ("-c", value)]


def _run(
    argv: list[str], cwd: Path, env: Mapping[str, str], stdin: bytes | BinaryIO, ok: Container[int], timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    try:
        done = run_sync(argv, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise GitError(_command(argv), -signal.SIGKILL, f"it did not end within {timeout_s:g} s") from error
    if done.returncode not in ok:
        raise GitError(_command(argv), done.returncode, done.stderr.decode(errors="replace"))
    return done


def _head(argv: list[str], cwd: Path, env: Mapping[str, str], most: int) -> tuple[bytes, bool]:
    done = run_for_head(argv, most, cwd=cwd, env=env)
    whole = len(done.stdout) <= most
    if whole and done.returncode != 0:
        raise GitError(_command(argv), done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout[:most], whole


def _command(argv: list[str]) -> str:
    """Which of git's commands it is: the first word that is neither an option nor the value of one."""
    words = iter(argv[argv.index("git") + 1 :])
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return argv[-1]


@cache
def git_version() -> tuple[int, int]:
    """The installed git's version. Raises: RepositoryUnfit where there is none, or one too old."""
    try:
        text = run_sync(
            ["git", "--version"], cwd=Path("/"), env={"PATH": Environment.read().path, "LC_ALL": "C"}
        ).stdout.decode()
    except FileNotFoundError as error:
        raise RepositoryUnfit(
            "git is not installed", "Codeswarm keeps all work in it", system_packages("git")
        ) from error
    found = re.search(r"(\d+)\.(\d+)", text)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        installed = text.strip().removeprefix("git version ")
        older = shutil.which("git", path=Environment.read().path) or "git"
        step = f"{system_package_instead('git', older)}   # {wanted} or newer; else: https://git-scm.com/downloads"
        raise RepositoryUnfit(f"git {installed} is too old", f"merges need git {wanted} or newer", step)
    return version
