"""Set-ups that are broken, for `doctor`: made for real, seen, mended by the very line that it prints, seen again."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import real_clis
from tests.support.registries_and_models import RIGHT, Registry, Vendor, runs, served
from tests.support.runs import SYSTEM_PATH, Finished, Place
from tests.support.small_disk import UNSHARE
from tests.support.ways_out import GO, KIND, make_place, program, shell

KEYS = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
ADDRESSES = {"claude": "ANTHROPIC_BASE_URL", "codex": "OPENAI_BASE_URL", "gemini": "GOOGLE_GEMINI_BASE_URL"}
PACKAGES = {"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex", "gemini": "@google/gemini-cli"}
OLD = {"claude": "1.0.3 (Claude Code)", "codex": "codex-cli 0.42.0", "gemini": "0.9.0"}
HIDDEN = ("claude_agent_sdk", "codex_cli_bin")
"""Python packages that bring CLIs along: who has installed neither is given the others."""


@dataclass
class SetUp:
    """A place whose settings name one agent, with a vendor and a registry of its own, where all is well at first."""

    place: Place
    vendor: Vendor
    stack: ExitStack

    @property
    def root(self) -> Path:
        return self.place.root

    @property
    def environment(self) -> dict[str, str]:
        return self.place.environment

    def agent(self, spec: str) -> None:
        own = self.root / "home" / ".config" / "codeswarm" / "config.toml"
        own.write_text(f'[roles]\n"*" = ["{spec}"]\n[sandbox]\nkind = "{KIND}"\n')

    def program(self, name: str, text: str) -> Path:
        """It stands before all others of its name."""
        program(self.root / "bin" / name, text)
        return self.root / "bin" / name

    def state(self) -> tuple[str, str, int]:
        """What may not be lost: commits, files, and what is remembered."""
        ledger = self.place.data / "ledger.sqlite3"
        events = 0
        if ledger.is_file():
            with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
                (events,) = db.execute("SELECT count(*) FROM events").fetchone()
        return self._git("rev-parse", "HEAD"), self._git("status", "--porcelain"), events

    def _git(self, *words: str) -> str:
        """The machine's own, whatever has become of the one on the PATH."""
        return Place(self.root, {"PATH": SYSTEM_PATH}).git(*words)


@contextmanager
def made(root: Path) -> Iterator[SetUp]:
    place = make_place(root)
    hidden = "".join(f"sys.modules[{name!r}] = None; " for name in HIDDEN)
    begin = f"import sys; {hidden}from codeswarm.cli.main import main; main()"
    program(root / "bin" / "codeswarm", f'exec {shlex.quote(sys.executable)} -c {shlex.quote(begin)} "$@"')
    with ExitStack() as stack:
        vendor = Vendor()
        vendor.url = stack.enter_context(served(vendor))
        registry = stack.enter_context(served(Registry(PROGRAMS)))
        npm = shutil.which("npm")
        node = f":{Path(npm).parent}" if npm else ""
        place.environment |= {
            **dict.fromkeys(KEYS.values(), RIGHT),
            **{ADDRESSES[kind]: f"{vendor.url}/v1" if kind == "codex" else vendor.url for kind in KEYS},
            "PATH": f"{root}/npm/bin:{Path(sys.executable).parent}:{SYSTEM_PATH}{node}",
            "NPM_CONFIG_PREFIX": f"{root}/npm",
            "NPM_CONFIG_REGISTRY": registry,
            "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        }
        yield SetUp(place, vendor, stack)


GOOD = {"claude": "2.1.328 (Claude Code)", "codex": "codex-cli 0.169.0", "gemini": "0.61.0"}


def _programs() -> dict[str, dict[str, str]]:
    """What the registry has: an old version of each CLI that says so, and the real one."""
    found = {"claude": real_clis.claude(), "codex": real_clis.codex(), "gemini": real_clis.from_npm("gemini")}
    newest = {"claude": "2.1.328", "codex": "0.169.0", "gemini": "0.61.0"}
    old = {"claude": "1.0.3", "codex": "0.42.0", "gemini": "0.9.0"}
    packages = {
        PACKAGES[kind]: {old[kind]: f"#!/bin/sh\necho '{OLD[kind]}'\n", newest[kind]: runs(path)}
        for kind, path in found.items()
        if path is not None
    }
    bridges = {name: real_clis.from_npm(name) for name in ("claude-agent-acp", "codex-acp")}
    return packages | {
        f"@agentclientprotocol/{name}": {"0.1.0": runs(path)} for name, path in bridges.items() if path is not None
    }


PROGRAMS = _programs()


@dataclass(frozen=True)
class Broken:
    """One broken set-up, and what is seen of it."""

    line: str
    """What the line of `doctor` is about."""
    says: str
    """A part of what that says."""
    mends: str
    """A part of the command below it."""
    make: Callable[[SetUp], None]
    fill: Mapping[str, str] = field(default_factory=dict)
    """What the person puts in, where only they can know it."""
    code: int = 2
    gone: bool = False
    """The line is not there any more when all is well."""
    begins: bool = False
    """A session begins all the same: it can't be seen beforehand, or does not hinder it."""


def found(done: Finished, line: str) -> tuple[str, str]:
    """The mark and the words of a line of `doctor`, and the command below it."""
    pattern = rf"^(ok|no|--) +{re.escape(line)}: (.*(?:\n {{6}}.*)*)$"
    match = re.search(pattern, done.out, re.MULTILINE)
    if match is None:
        return "", ""
    said, _, command = match[2].partition("\n")
    return f"{match[1]} {said}", command.strip()


def check(set_up: SetUp, broken: Broken) -> None:
    broken.make(set_up)
    before = set_up.state() if not broken.begins else ("", "", 0)
    seen = shell(set_up.place, "codeswarm doctor")
    said, command = found(seen, broken.line)
    assert (seen.code, said[:2]) == (broken.code, "no" if broken.code else "--"), (seen.out, seen.err)
    assert broken.says in said, (said, command)
    assert broken.mends in command, (said, command)
    assert RIGHT not in seen.out, "a key is never shown"
    if not broken.begins:
        _refuses(set_up, command, before)
    for placeholder, value in broken.fill.items():
        assert placeholder in command, command
        command = command.replace(placeholder, value, 1)
    after = shell(set_up.place, f"set -e\n{command}\nset +e\ncodeswarm doctor")
    said, _ = found(after, broken.line)
    assert after.code == 0, (command, after.out, after.err)
    assert said.startswith("ok") or (broken.gone and not said), (command, after.out, after.err)


def _refuses(set_up: SetUp, command: str, before: tuple[str, str, int]) -> None:
    """A run says the same in three lines, begins nothing, and nothing is lost."""
    done = shell(set_up.place, GO)
    assert done.code in (1, 2), (done.out, done.err)
    lines = [line for line in done.err.splitlines() if line.startswith(("error: ", "why: ", "do: "))]
    assert [line.partition(":")[0] for line in lines] == ["error", "why", "do"], (done.code, done.out, done.err)
    assert command.partition("   #")[0] in lines[2], (command, done.err)
    assert "Traceback" not in done.err
    assert set_up.state() == before


# ── ways to break it ─────────────────────────────────────────────────────────────────────────────────────────


def named(spec: str, *more: Callable[[SetUp], None]) -> Callable[[SetUp], None]:
    """The settings name this agent, whose CLI is here; and what else is done."""

    def make(set_up: SetUp) -> None:
        kind = spec.partition(":")[0]
        if kind in GOOD:
            set_up.program(kind, f"echo '{GOOD[kind]}'")
        set_up.agent(spec)
        for act in more:
            act(set_up)

    return make


def without_cli(kind: str) -> Callable[[SetUp], None]:
    return named(kind, lambda set_up: (set_up.root / "bin" / kind).unlink())


def a_script(kind: str, text: str) -> Callable[[SetUp], None]:
    return named(kind, lambda set_up: set_up.program(kind, text) and None)


def old_from_npm(kind: str) -> Callable[[SetUp], None]:
    """By the same real npm that is to bring the newer one."""

    def make(set_up: SetUp) -> None:
        without_cli(kind)(set_up)
        version = next(iter(PROGRAMS[PACKAGES[kind]]))
        done = shell(set_up.place, f"npm install -g {PACKAGES[kind]}@{version}")
        assert done.code == 0, done.err

    return make


def variable(name: str, value: str | None) -> Callable[[SetUp], None]:
    def make(set_up: SetUp) -> None:
        if value is None:
            set_up.environment.pop(name)
        else:
            set_up.environment[name] = value.replace("VENDOR", set_up.vendor.url)

    return make


def installed(set_up: SetUp, *without: str) -> Path:
    """All of the system's programs but for some, in a folder that the PATH ends with."""
    folder = set_up.root / "installed"
    folder.mkdir()
    for path in (path for each in SYSTEM_PATH.split(":") for path in Path(each).iterdir()):
        if path.name not in without and not (folder / path.name).is_symlink():
            (folder / path.name).symlink_to(path)
    set_up.environment["PATH"] = f"{set_up.root}/npm/bin:{folder}"
    return folder


def apt_brings(set_up: SetUp, package: str, act: str) -> None:
    """The real one would change this machine: this one does what that would, to the folder that stands for it."""
    for name in ("apt-get", "sudo"):
        set_up.program(name, 'exec "$@"' if name == "sudo" else f'case "$*" in *" {package}"*) {act};; esac')


def not_installed(name: str, package: str) -> Callable[[SetUp], None]:
    def make(set_up: SetUp) -> None:
        folder = installed(set_up, name)
        apt_brings(set_up, package, f"ln -s {shutil.which(name)} {folder}/{name}")

    return make


def stands_before(name: str, package: str, text: str) -> Callable[[SetUp], None]:
    """One of that name that no package of the system's brought stands before the right one."""

    def make(set_up: SetUp) -> None:
        set_up.program(name, text)
        apt_brings(set_up, package, "true")

    return make


def in_namespaces(script: str, *more: str) -> Callable[[SetUp], None]:
    """Everything is run in namespaces of its own, where we are root: there the real commands mend the real thing."""

    def make(set_up: SetUp) -> None:
        argv = [*UNSHARE, *more, "sh", "-c", f"{script} && echo ready && exec cat"]
        holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdin is not None
        assert holder.stdout is not None
        set_up.stack.callback(holder.stdout.close)
        set_up.stack.callback(holder.wait)
        set_up.stack.callback(holder.stdin.close)
        assert holder.stdout.readline() == b"ready\n"
        enter = ["nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials", "--"]
        set_up.place.prefix = [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(set_up.place.repository)]

    return make
