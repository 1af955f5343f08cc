"""Real CLIs that are logged in by their own credential file alone: shared in place, and nothing else of a HOME."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.login_file import LoginFile, login_file
from codeswarm.environment import Environment
from codeswarm.redaction import forms_of
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer, Request, Say, Shell, conversation
from tests.support import account_hosts
from tests.support.account_hosts import LONG_AGO_MS
from tests.support.real_clis import CLIS, needs_claude, needs_codex, needs_from_npm, path_with_node
from tests.support.runs import SYSTEM_PATH, Place

PROBE = probe()
pytestmark = [pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"), account_hosts.needs_openssl]
PATH = f"{Path(sys.executable).parent}:{path_with_node()}:{SYSTEM_PATH}"
NEEDS_ZSTD = pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd: apt-get install zstd")
CANARY = "canary-Kq7Lw2Zn9Xb4"
OTHERS = "canary-of-what-else-is-in-a-HOME"
EXPLORE = """
cat ~/.claude/settings.json ~/.codex/config.toml ~/.gemini/settings.json {home}/.*/* {home}/.netrc 2>/dev/null
cat /codeswarm/login/* /codeswarm/login/.c* ~/.codex/auth.json ~/.gemini/oauth_creds.json | tee -a /dev/stderr
ls -la /codeswarm/login {home} ~; cat /proc/self/mountinfo
echo 'def one(): return 1' >> lib.py
"""


@dataclass(frozen=True)
class Kind:
    spec: str
    file: str
    login: Callable[[str, int], Mapping[str, Any]]
    beside: str
    """A file of the person's own in the same folder."""
    path: str = PATH


KINDS = {
    "claude": pytest.param(
        Kind("claude:sonnet", ".claude/.credentials.json", account_hosts.claude_login, "settings.json"),
        marks=needs_claude, id="claude",
    ),
    "codex": pytest.param(
        Kind("codex:gpt-5.5", ".codex/auth.json", account_hosts.codex_login, "config.toml"),
        marks=[needs_codex, NEEDS_ZSTD],
        id="codex",
    ),
    "gemini": pytest.param(
        Kind(
            "gemini:2.5-pro", ".gemini/oauth_creds.json", account_hosts.gemini_login, "settings.json",
            f"{CLIS}:{PATH}",
        ),
        marks=needs_from_npm("gemini"), id="gemini",
    ),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin({"lib.py": "", "codeswarm.toml": '[gates]\nfast = "cat lib.py"\n'})
    (tmp_path / "home" / ".netrc").write_text(OTHERS)
    return place


def log_in(place: Place, kind: Kind, expires_ms: int) -> Path:
    file = place.root / "home" / kind.file
    file.parent.mkdir()
    (file.parent / kind.beside).write_text("{}" if kind.beside.endswith("json") else f'# "{OTHERS}"\n')
    file.write_text(json.dumps(kind.login(account_hosts.FIRST, expires_ms)))
    file.chmod(0o600)
    return file


def everything(folder: Path) -> dict[str, str]:
    """Each file below a folder, by its content, its mode and its name."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("kind", KINDS.values())
async def test_a_ticket_lands_by_the_file_alone_which_its_cli_renews(place: Place, tmp_path: Path, kind: Kind) -> None:
    file = log_in(place, kind, LONG_AGO_MS)
    before = everything(place.root / "home")
    heard: list[str] = []

    def script(request: Request) -> object:
        heard.append(request.text)
        if request.is_side_call:
            return Say("ok")
        steps = [Shell(EXPLORE.replace("{home}", str(place.root / "home"))), Say("Done: I looked around.")]
        return conversation(steps)(request)

    tickets = place.tickets([{"id": "one", "title": "Add one", "pipeline": "single"}])
    async with ModelServer(script) as server, account_hosts.account_hosts(server, tmp_path / "tls") as world:
        run = await place.start(
            "run", "--tickets", str(tickets), "--agent", kind.spec, env={**world.environment, "PATH": kind.path}
        )
        code = await run.end()
    kinds = [event["kind"] for event in run.events]
    assert code == 0, (run.error, kinds[-8:], world.asked, [e["data"] for e in run.events if "Fail" in e["kind"]])
    assert (world.renewed, world.reused) == (1, [])
    assert {bearer for bearer in world.bearers if CANARY not in bearer and "eyJ" not in bearer} == set()
    after = everything(place.root / "home")
    name = str(file.relative_to(place.root / "home"))
    assert {**after, name: ""} == {**before, name: ""}, "nothing else of the HOME is touched"
    assert after[name] != before[name]
    login = login_file(Environment({"HOME": str(place.root / "home")}).login, kind.spec.partition(":")[0])
    assert login is not None
    assert (login.problem, login.renews, login.expired(LONG_AGO_MS)) == ("", True, False)
    assert OTHERS not in str(heard), "nothing else of the HOME can be read"
    assert CANARY in str(heard) or "eyJ" in str(heard), "its own login it can"
    told = place.run("logs", "one").out + place.run("timeline").out + place.run("work", "one").out
    assert "‹secret›" in told
    assert CANARY not in told + str(run.events) + str(run.told)
    assert sightings(tmp_path, login) == []


def sightings(folder: Path, login: LoginFile) -> list[str]:
    """Where its secrets stand, but for its own place, what an agent has in its HOME, and objects of git."""
    wanted = [form.encode() for secret in login.secrets for form in forms_of(secret)] + [CANARY.encode()]
    files = [path for path in folder.rglob("*") if path.is_file() and path != login.path]
    files = [path for path in files if not {*path.parts} & {"homes", "objects"}]
    return sorted(str(path) for path in files if any(form in path.read_bytes() for form in wanted))
