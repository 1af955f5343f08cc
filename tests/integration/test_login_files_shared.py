"""Many real CLIs at once by one login file: it stays valid, and whatever else is in the HOME is not touched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from codeswarm.agents.login_file import login_file
from codeswarm.environment import Environment
from codeswarm.sandbox.base import Box, Mount, Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap, probe
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.model_server import ModelServer, Say
from codeswarm.worker.shared_file import beside, mounts
from tests.integration.test_login_files import everything
from tests.support.account_hosts import (
    LONG_AGO_MS,
    YEAR_2100_MS,
    AccountHosts,
    account_hosts,
    claude_login,
    needs_openssl,
)
from tests.support.real_clis import claude, needs_claude

PROBE = probe()
pytestmark = [needs_claude, needs_openssl]
walls = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
MANY = 8
FLAGS = ("-p", "hi", "--model", "sonnet", "--setting-sources", "", "--strict-mcp-config")
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "IS_SANDBOX": "1",
}


def log_in(home: Path, expires_ms: int) -> Path:
    file = home / ".claude" / ".credentials.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(claude_login(expires_ms=expires_ms)))
    for name in (".claude.json", ".claude/settings.json", ".claude/CLAUDE.md", ".netrc"):
        (home / name).write_text("{}")
    return file


async def speak(sandbox: Sandbox, file: Path, folder: Path, name: str, env: Mapping[str, str]) -> tuple[int, str]:
    """One CLI, as an attempt has it: a HOME of its own, and the shared file."""
    program = claude()
    assert program is not None
    places = [folder / name / part for part in ("workspace", "home", "run", "tmp")]
    for place in places:
        place.mkdir(parents=True)
    inside = file
    shown: tuple[Mount, ...] = ()
    stays = contextlib.ExitStack()
    if sandbox.kind != "none":
        shown = mounts(file, stays.enter_context(beside(file, folder / "logins")))
        inside = shown[-1].inside
    certificates = Mount(Path(env["SSL_CERT_FILE"]))
    shown = (Mount(program), certificates, *shown)
    box = Box(f"login-{os.getpid()}-{name}", *places, mounts=shown, network=True)
    told = {**QUIET, **env, "CLAUDE_SECURESTORAGE_CONFIG_DIR": str(inside.parent), "PATH": "/usr/bin:/bin"}
    running = await sandbox.start(box, [str(program), *FLAGS], told)
    try:
        out, _ = await running.process.communicate()
    finally:
        await running.end()
        stays.close()
    return running.process.returncode or 0, out.decode().strip()


async def together(sandbox: Sandbox, many: int, file: Path, folder: Path) -> tuple[list[tuple[int, str]], AccountHosts]:
    async with ModelServer(lambda _: Say("Done.")) as server, account_hosts(server, folder / "tls") as world:
        said = await asyncio.gather(
            *(speak(sandbox, file, folder / "attempts", f"{one}", world.environment) for one in range(many))
        )
    return said, world


@walls
@pytest.mark.parametrize("expires_ms", [YEAR_2100_MS, LONG_AGO_MS], ids=["good", "to be renewed"])
async def test_eight_at_once_leave_the_login_valid_and_the_rest_as_it_was(tmp_path: Path, expires_ms: int) -> None:
    home = tmp_path / "home"
    file = log_in(home, expires_ms)
    before = everything(home)
    said, world = await together(Bubblewrap(), MANY, file, tmp_path)
    after, name = everything(home), ".claude/.credentials.json"
    assert said == [(0, "Done.")] * MANY, world.asked
    assert (world.renewed, world.reused) == (int(expires_ms == LONG_AGO_MS), []), "whoever is second takes what is new"
    assert {**after, name: ""} == {**before, name: ""}
    assert (after[name] == before[name]) is (expires_ms == YEAR_2100_MS)
    login = login_file(Environment({"HOME": str(home)}).login, "claude")
    assert login is not None
    assert (login.problem, login.expired(LONG_AGO_MS), login.plan) == ("", False, "max")
    left = {path.name for path in (tmp_path / "attempts" / "logins").glob("*/**/*")}
    assert not [path for path in left if "lock" in path or "tmp" in path], "no lock and no token stays behind"


async def test_without_walls_the_file_is_used_where_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = log_in(home, LONG_AGO_MS)
    before = everything(home)
    said, world = await together(NoSandbox(), 2, file, tmp_path)
    after, name = everything(home), ".claude/.credentials.json"
    assert said == [(0, "Done.")] * 2
    assert (world.renewed, world.reused) == (1, [])
    assert {**after, name: ""} == {**before, name: ""}
    assert after[name] != before[name]
