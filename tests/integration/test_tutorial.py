"""The first tutorial is typed as it stands, and what it shows is what is answered."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe

PROBE = probe()
TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/first-ticket.md"
DONE = "― done ―"
MASKS = (
    (r"\d\d:\d\d:\d\d", "TIME"),
    (r"\b[0-9a-f]{7,40}\b", "HASH"),
    (r"\bw\d+-\d+\b", "WORKER"),
    (r"checkpoint/\S+", "CHECKPOINT"),
    (r"\bin \d+ s\b", "in N s"),
    (r"session [a-z0-9]{8}\b", "session ID"),
)
"""What differs from run to run."""


@dataclass
class Typed:
    command: str
    shown: list[str]


def typed() -> list[Typed]:
    """Each command of the page with the lines that are shown below it."""
    found: list[Typed] = []
    for block in re.findall(r"^```console\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        here = False
        for line in block.splitlines():
            if here:
                found[-1].command += f"\n{line}"
                here = line != "EOF"
            elif line.startswith("$ "):
                found.append(Typed(line[2:], []))
                here = line.endswith("<<'EOF'")
            elif line != "…":
                found[-1].shown.append(line)
    return found


def masked(line: str, home: Path) -> str:
    line = line.replace(str(home), "~")
    for pattern, word in MASKS:
        line = re.sub(pattern, word, line)
    return line


@pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
def test_what_the_first_tutorial_types_answers_what_it_shows(tmp_path: Path) -> None:
    commands = typed()
    script = "\n".join(f"{each.command}\necho '{DONE}' $?" for each in commands)
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "USER": "ada",
        **{f"GIT_{who}_{what}": "ada@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    run = ["bash", "-c", f"exec 2>&1\n{script}"]
    told = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False).stdout
    answers = re.split(rf"^{DONE} (\d+)\n", told, flags=re.MULTILINE)
    assert len(commands) > 10
    for each, answer, code in zip(commands, answers[::2], answers[1::2], strict=False):
        assert code == "0", f"{each.command}\n{answer}"
        lines = [masked(line, tmp_path) for line in answer.splitlines()]
        missing = [line for line in each.shown if masked(line, tmp_path) not in lines]
        assert not missing, f"{each.command} did not answer {missing}, but\n{answer}"
    assert len(answers) == 2 * len(commands) + 1, told
