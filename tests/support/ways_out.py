"""Faults that a person brings about, and what the third line of their error offers: made, seen, typed, gone."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import Finished, Place

KIND = "bubblewrap" if probe().works else "none"
SETTINGS = '[gates]\nfast = "true"\n[pipeline]\ndefault = "single"\n'
TICKET = "tickets:\n  - {id: hello, title: Say hello}\n"
GO = "codeswarm run --tickets ../t.yaml"
TRY = f"{GO} --dry-run"


def make_place(root: Path) -> Place:
    """A repository with settings, a tickets file, an agent in the person's own settings, and an editor that obeys."""
    place = Place(root)
    place.begin({"codeswarm.toml": SETTINGS, "README.md": "# It\n"})
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.invalid")):
        place.git("config", "--file", str(root / "home" / ".gitconfig"), key, value)
    (root / "t.yaml").write_text(TICKET)
    program(root / "bin" / "codeswarm", f'exec {shlex.quote(sys.executable)} -m codeswarm.cli "$@"')
    program(root / "bin" / "editor", f'cp {root}/mended "$1"')
    program(root / "agent.sh", agent())
    own = root / "home" / ".config" / "codeswarm" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(
        f'[roles]\n"*" = ["command:{root}/agent.sh"]\n[sandbox]\nkind = "{KIND}"\n[policy]\nmax_attempts = 1\n'
    )
    place.environment["EDITOR"] = "editor"
    return place


def agent() -> str:
    """Fails for the ticket `bad`, else as the example does."""
    text = (Path(__file__).parents[2] / "src/codeswarm/cli/examples/agent.sh").read_text()
    return 'if [ "${CODESWARM_TICKET:-}" = bad ]; then exit 1; fi\n' + text


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def shell(place: Place, line: str, env: Mapping[str, str] = {}) -> Finished:
    """A line typed into a shell, in the repository (or above it, where there is none)."""
    folder = place.repository if place.repository.is_dir() else place.root
    path = f"{place.root}/bin:{place.env()['PATH']}"
    env = place.env({"PATH": path, **env})
    done = subprocess.run(
        [*place.prefix, "bash", "-c", line],
        cwd=folder,
        env=env,
        input="",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def offered(done: Finished) -> str:
    """The command behind `do:`; for what ends a run without an error, the one behind `next:` or `run:`."""
    found = re.findall(
        r"^(?:do|next|\s+run): (.+)$|^  (codeswarm .+   # land without.+|codeswarm ledger .+)$"
        r"|^waits for a person: (\S+ \S+ \S+)",
        done.err + "\n" + done.out,
        re.MULTILINE,
    )
    assert found, (done.out, done.err)
    return next(text for text in found[-1 if done.err.startswith("error:") else 0] if text)


@dataclass(frozen=True)
class Fault:
    """`line` shows the fault, with `code` and `words`; once what is offered was typed, `gone` has `gone_code`."""

    line: str
    words: tuple[str, ...]
    make: Callable[[Place], None] = lambda place: None
    gone: str = ""
    """The same line as before, where it is empty; `-`: what is offered is that line already, typed as it should be."""
    code: int = 2
    fix_code: int = 0
    gone_code: int = 0
    mended: str = ""
    """What the person writes in the editor."""
    env: Mapping[str, str] = field(default_factory=dict)


def check(place: Place, fault: Fault) -> None:
    fault.make(place)
    (place.root / "mended").write_text(fault.mended)
    seen = shell(place, fault.line, fault.env)
    assert seen.code == fault.code, (seen.out, seen.err)
    assert "Traceback" not in seen.err
    assert "no more is known" not in seen.err, "every refusal has a reason"
    for word in fault.words:
        assert word in seen.err + seen.out, (word, seen.err)
    if seen.err.startswith("error:"):
        assert re.findall(r"^(error|why|do): +\S", seen.err, re.MULTILINE) == ["error", "why", "do"]
    command = offered(seen)
    mended = shell(place, command, fault.env)
    assert mended.code == fault.fix_code, (command, mended.out, mended.err)
    if fault.gone != "-":
        after = shell(place, fault.gone or fault.line, fault.env)
        assert after.code == fault.gone_code, (command, after.out, after.err)
        assert seen.err.partition("\n")[0] not in after.err or not seen.err


def write(name: str, text: str) -> Callable[[Place], None]:
    """A file beside the repository."""
    return lambda place: (place.root / name).write_text(text) and None


def commit(name: str, text: str) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        place.write({name: text})
        place.git("add", "--all")
        place.git("commit", "-qm", "Change")

    return make


def git(*words: str) -> Callable[[Place], None]:
    return lambda place: place.git(*words) and None
