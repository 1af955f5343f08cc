"""`doctor` on set-ups that are broken for real: its line says what is wrong, and the command below it mends that.

The command is typed exactly as it is printed; where it has a place for what only the person knows (a key, an address, a
backup) that is put in. npm is the real one, with a prefix and a registry of its own that brings the CLIs which are here
anyway. What would change the machine (`apt-get`, `timedatectl`) is a stand-in that does what the real one does, to a
folder that stands for the machine; the kernel's settings and mounts are real ones, of namespaces of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import real_clis
from tests.support.registries_and_models import RIGHT
from tests.support.set_ups import (
    GOOD,
    KEYS,
    OLD,
    PACKAGES,
    PROGRAMS,
    Broken,
    SetUp,
    a_script,
    apt_brings,
    check,
    in_namespaces,
    installed,
    made,
    named,
    not_installed,
    old_from_npm,
    stands_before,
    variable,
    without_cli,
)
from tests.support.small_disk import SmallDisk, small_disks, why_impossible
from tests.support.ways_out import GO, KIND, shell

LIMITED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""For root, too, rights are what they are for everyone."""
TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def set_up(tmp_path: Path) -> Iterator[SetUp]:
    with made(tmp_path) as fresh:
        yield fresh


# ── coding CLIs ──────────────────────────────────────────────────────────────────────────────────────────────

npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm: apt-get install npm")


INSTALLED = [
    *(("missing", kind) for kind in KEYS),
    *(("a script that is old", kind) for kind in KEYS),
    ("old, by npm", "codex"),
    ("broken", "claude"),
]


@npm
@pytest.mark.parametrize(("how", "kind"), INSTALLED)
def test_a_coding_cli_that_is_not_there_or_no_good_is_installed_by_npm(how: str, kind: str, set_up: SetUp) -> None:
    if PACKAGES[kind] not in PROGRAMS:
        pytest.skip(f"no {kind} here that could be installed")
    install = f"npm install -g {PACKAGES[kind]}"
    broken = {
        "missing": Broken(f"agent {kind}", "is not installed", install, without_cli(kind)),
        "a script that is old": Broken(
            f"agent {kind}", "too old", f"{install}@latest", a_script(kind, f"echo '{OLD[kind]}'")
        ),
        "old, by npm": Broken(f"agent {kind}", "too old", f"{install}@latest", old_from_npm(kind)),
        "broken": Broken(f"agent {kind}", "does not run", f"{install}@latest", a_script(kind, "exec /nowhere/cli")),
    }
    check(set_up, broken[how])


def node_18(set_up: SetUp) -> None:
    folder = installed(set_up, "node")
    (folder / "node").write_text("#!/bin/sh\necho v18.19.0\n")
    (folder / "node").chmod(0o755)
    apt_brings(set_up, "nodejs npm", f"ln -sf {shutil.which('node')} {folder}/node")


CLIS = {
    "node is missing": Broken(
        "agent gemini",
        "needs node, which is not",
        "install -y nodejs npm",
        named("gemini", not_installed("node", "nodejs")),
    ),
    "node is too old": Broken(
        "agent gemini", "needs node 20 or newer", "install -y nodejs npm", named("gemini", node_18)
    ),
    "an ACP bridge is missing": Broken(
        "agent acp:codex-acp",
        "no codex-acp on the PATH",
        "npm install -g @agentclientprotocol/codex-acp",
        named("acp:codex-acp"),
    ),
}  # fmt: skip


@real_clis.needs_from_npm("codex-acp")
@pytest.mark.parametrize("name", CLIS)
def test_what_a_coding_cli_needs(name: str, set_up: SetUp) -> None:
    check(set_up, CLIS[name])


# ── keys, addresses, models ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_is_missing_is_asked_for(kind: str, set_up: SetUp) -> None:
    make = named(kind, variable(KEYS[kind], None))
    check(set_up, Broken(f"agent {kind}", "no login", f"export {KEYS[kind]}=…", make, {"…": RIGHT}))


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_is_wrong_is_found_out_without_a_token(kind: str, set_up: SetUp) -> None:
    make = named(kind, variable(KEYS[kind], "sk-mistyped"))
    broken = Broken(f"endpoint {kind}", "refuses the key", f"export {KEYS[kind]}=…", make, {"…": RIGHT}, begins=True)
    check(set_up, broken)
    assert all(asked.startswith("GET ") for asked in set_up.vendor.asked)


ENDPOINTS = {
    "nobody at the address": Broken(
        "endpoint claude",
        "can't be reached",
        "export ANTHROPIC_BASE_URL=…",
        named("claude", variable("ANTHROPIC_BASE_URL", NOBODY)),
        {"…": "VENDOR"},
        begins=True,
    ),
    "no address": Broken(
        "endpoint gemini",
        "no address",
        "export GOOGLE_GEMINI_BASE_URL=…",
        named("gemini", variable("GOOGLE_GEMINI_BASE_URL", "gemini.example")),
        {"…": "VENDOR"},
        begins=True,
    ),
    "no model at the address": Broken(
        "endpoint claude",
        "no model does: HTTP 404",
        "export ANTHROPIC_BASE_URL=…",
        named("claude", variable("ANTHROPIC_BASE_URL", "VENDOR/elsewhere/v1/v1")),
        {"…": "VENDOR"},
        begins=True,
    ),
    "an address without its version": Broken(
        "endpoint codex",
        "but at http://",
        "export OPENAI_BASE_URL=http://",
        named("codex", variable("OPENAI_BASE_URL", "VENDOR")),
        begins=True,
    ),
    "an address with a version too many": Broken(
        "endpoint claude",
        "but at http://",
        "export ANTHROPIC_BASE_URL=http://",
        named("claude", variable("ANTHROPIC_BASE_URL", "VENDOR/v1")),
        begins=True,
    ),
    "a model that nobody has": Broken(
        "model claude:claude-opus-9",
        "has no model claude-opus-9; it has claude-opus-4-5-20251101",
        "sed -i",
        named("claude:claude-opus-9"),
        gone=True,
        begins=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_endpoint(name: str, set_up: SetUp) -> None:
    broken = ENDPOINTS[name]
    fill = {mark: value.replace("VENDOR", set_up.vendor.url) for mark, value in broken.fill.items()}
    check(set_up, Broken(**{**vars(broken), "fill": fill}))


def test_a_model_that_the_repository_names_is_mended_there_and_committed(set_up: SetUp) -> None:
    named("claude")(set_up)
    own = set_up.root / "home" / ".config" / "codeswarm" / "config.toml"
    own.write_text(f'[sandbox]\nkind = "{KIND}"\n')
    settings = (set_up.place.repository / "codeswarm.toml").read_text()
    set_up.place.write({"codeswarm.toml": settings + "[roles]\nimplementer = ['codex:gpt-5.6', \"claude:opus\"]\n"})
    set_up.place.git("commit", "-qam", "Agents")
    set_up.program("codex", f"echo '{GOOD['codex']}'")
    broken = Broken("model codex:gpt-5.6", "has no model", "sed -i", lambda _: None, gone=True, begins=True)
    check(set_up, broken)
    assert set_up.place.git("status", "--porcelain") == ""
    assert "'codex:gpt-5.5', \"claude:opus\"" in set_up.place.git("show", "HEAD:codeswarm.toml")


def test_who_is_offline_has_done_nothing_wrong(set_up: SetUp) -> None:
    """Nothing is asked of the real vendors here: the proxy that leads to them is not there."""
    named("claude", variable("ANTHROPIC_BASE_URL", None), variable("HTTPS_PROXY", NOBODY))(set_up)
    done = shell(set_up.place, "codeswarm doctor")
    assert done.code == 0, done.out
    assert "--  endpoint claude: https://api.anthropic.com can't be reached" in done.out


def test_a_token_of_an_account_is_not_sent_by_us(set_up: SetUp) -> None:
    named("claude", variable("ANTHROPIC_API_KEY", None), variable("CLAUDE_CODE_OAUTH_TOKEN", "sk-mistyped"))(set_up)
    done = shell(set_up.place, "codeswarm doctor")
    assert done.code == 0, done.out
    assert f"ok  endpoint claude: {set_up.vendor.url} answers" in done.out


@real_clis.needs_claude
def test_a_token_that_was_refused_while_an_agent_worked_is_told_until_there_is_another(set_up: SetUp) -> None:
    """Only its CLI can try it: what that met is remembered, and status sends people here."""

    def make(set_up: SetUp) -> None:
        claude = real_clis.claude()
        assert claude is not None
        named("claude", variable("ANTHROPIC_API_KEY", None), variable(TOKEN, "sk-of-yesterday"))(set_up)
        set_up.program("claude", f'exec {claude} "$@"')
        done = shell(set_up.place, GO)
        assert done.code == 4, (done.out, done.err)
        assert "codeswarm doctor" in done.out

    broken = Broken("parked claude", "was refused", f"export {TOKEN}=…", make, {"…": RIGHT}, gone=True, begins=True)
    check(set_up, broken)


LOGIN = '{"claudeAiOauth": {"accessToken": "sk-ant-oat01-x", "expiresAt": %d, "subscriptionType": "max"}}'


def expired(set_up: SetUp) -> None:
    """A login of the CLI's own that nobody can renew. The real `claude auth login` asks its vendor, this one nobody."""
    file = set_up.root / "home" / ".claude" / ".credentials.json"
    named("claude", variable("ANTHROPIC_API_KEY", None))(set_up)
    file.parent.mkdir()
    file.write_text(LOGIN % 1_600_000_000_000)
    fresh = set_up.root / "fresh"
    fresh.write_text(LOGIN % 33_000_000_000_000)
    set_up.program("claude", f'[ "$*" = "auth login" ] && exec cp {fresh} {file}\necho "{GOOD["claude"]}"')


def test_a_login_of_the_cli_s_own_that_has_expired_is_made_anew(set_up: SetUp) -> None:
    check(set_up, Broken("agent claude", "has expired", "claude auth login", expired))


def test_a_clock_that_is_wrong_is_seen_by_that_of_an_endpoint(set_up: SetUp) -> None:
    def make(set_up: SetUp) -> None:
        named("claude")(set_up)
        set_up.vendor.clock = set_up.root / "right"
        set_up.program("sudo", 'exec "$@"')
        set_up.program("timedatectl", f'[ "$*" = "set-ntp true" ] && touch {set_up.vendor.clock}')

    check(set_up, Broken("clock", "120 minutes ahead", "timedatectl", make, code=0, gone=True, begins=True))


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────

walls = pytest.mark.skipif(KIND == "none", reason="bubblewrap does not work here")
OLD_GIT = f'[ "$1" = --version ] && echo git version 2.30.2 || exec {shutil.which("git")} "$@"'
OLD_WALLS = "echo 'bwrap: Unknown option --disable-userns' >&2; exit 1"

MACHINE = {
    "git is missing": Broken(
        "git", "git is not installed", "install -y git", named("claude", not_installed("git", "git"))
    ),
    "git is too old": Broken("git", "too old", "install -y git", named("claude", stands_before("git", "git", OLD_GIT))),
    "bubblewrap is missing": Broken(
        "sandbox", "not installed", "install -y bubblewrap", named("claude", not_installed("bwrap", "bubblewrap"))
    ),
    "bubblewrap is too old": Broken(
        "sandbox",
        "Unknown option",
        "install -y bubblewrap",
        named("claude", stands_before("bwrap", "bubblewrap", OLD_WALLS)),
    ),
    "bubblewrap is broken": Broken(
        "sandbox", "bubblewrap", "bubblewrap", named("claude", stands_before("bwrap", "bubblewrap", "exit 127"))
    ),
    "no user namespaces": Broken(
        "sandbox",
        "max_*_namespaces",
        "tee /proc/sys/user/max_user_namespaces",
        named("claude", in_namespaces("echo 0 > /proc/sys/user/max_user_namespaces")),
    ),
}  # fmt: skip


@walls
@pytest.mark.parametrize("name", MACHINE)
def test_the_machine(name: str, set_up: SetUp) -> None:
    if name == "no user namespaces" and (why := why_impossible()):
        pytest.skip(why)
    check(set_up, MACHINE[name])


SEAL = "for at in /sys/fs/cgroup/* /sys/fs/cgroup; do ! mountpoint -q $at || mount -o remount,bind,ro $at; done"


@walls
def test_control_groups_that_can_only_be_read_are_told_as_what_could_not_be_enforced(set_up: SetUp) -> None:
    named("claude")(set_up)
    if why := why_impossible():
        pytest.skip(why)
    in_namespaces("true")(set_up)
    if "ok  limits" not in shell(set_up.place, "codeswarm doctor").out:
        pytest.skip("no limits can be had here, by control groups that are mounted")
    make = in_namespaces(SEAL)
    check(set_up, Broken("limits", "4096 processes can't be had", "mount -o remount", make, code=0, begins=True))


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────


def begun(set_up: SetUp) -> None:
    """One session, whose ticket has landed."""
    set_up.agent(f"command:{set_up.root}/agent.sh")
    done = shell(set_up.place, GO)
    assert done.code == 0, done.err


def damaged(set_up: SetUp) -> None:
    begun(set_up)
    assert shell(set_up.place, f"codeswarm ledger backup {set_up.root}/kept").code == 0
    ledger = set_up.place.data / "ledger.sqlite3"
    whole = bytearray(ledger.read_bytes())
    whole[8192:16384] = b"\xff" * 8192
    ledger.write_bytes(whole)


def without_rights(name: str, mode: int) -> Callable[[SetUp], None]:
    def make(set_up: SetUp) -> None:
        begun(set_up)
        (set_up.place.data / name).chmod(mode)
        set_up.place.prefix = LIMITED

    return make


def without_home(set_up: SetUp) -> None:
    """As services have it. Settings and caches of whoever runs this are not touched."""
    keeps = {"XDG_CONFIG_HOME": f"{set_up.root}/home/.config", "CODESWARM_WORKSPACES": f"{set_up.root}/cache"}
    set_up.environment.update(keeps)
    set_up.place.prefix = ["env", "--unset=HOME"]


def home_that_is_gone(set_up: SetUp) -> None:
    own = set_up.root / "home"
    set_up.environment.update({"XDG_CONFIG_HOME": f"{own}/.config", "HOME": f"{own}/gone"})


PLACES = {
    "the data can't be written": Broken(
        "disk", "can't be written", "chmod -R u+rwX", without_rights(".", 0o500), begins=True
    ),
    "the ledger can't be written": Broken(
        "ledger", "can't be written", "chmod u+rw", without_rights("ledger.sqlite3", 0o400)
    ),
    "HOME is missing": Broken(
        "home",
        "HOME is not set",
        "export HOME=~",
        named("claude", without_home),
        code=0 if os.geteuid() == 0 else 2,
        gone=True,
        begins=True,
    ),
    "HOME is not there": Broken(
        "home", "is not there", "mkdir -p", named("claude", home_that_is_gone), code=0, gone=True, begins=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_a_place(name: str, set_up: SetUp) -> None:
    check(set_up, PLACES[name])


HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_who_holds_the_ledger_is_named_and_ended(set_up: SetUp) -> None:
    def make(set_up: SetUp) -> None:
        begun(set_up)
        argv = [sys.executable, "-c", HOLD, str(set_up.place.data / "ledger.sqlite3")]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        set_up.stack.enter_context(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"

    check(set_up, Broken("ledger", "keeps everyone else from it", "kill ", make, begins=True))


def test_a_ledger_that_is_damaged_is_restored(set_up: SetUp) -> None:
    fill = {"BACKUP": f"{set_up.root}/kept"}
    check(set_up, Broken("ledger", "damaged", "codeswarm ledger restore BACKUP", damaged, fill, begins=True))


@pytest.fixture
def small_cache(set_up: SetUp) -> Iterator[tuple[SetUp, SmallDisk]]:
    """The cache is a disk of its own with room enough, just so; its settings name no agent."""
    if why := why_impossible():
        pytest.skip(why)
    with small_disks(set_up.place.repository, (set_up.root / "cache", 240 << 20)) as (prefix, (disk,)):
        set_up.place.prefix = prefix
        yield set_up, disk


def test_a_disk_that_is_full_of_what_nobody_needs_is_cleaned_up(small_cache: tuple[SetUp, SmallDisk]) -> None:
    set_up, disk = small_cache

    def fill(set_up: SetUp) -> None:
        begun(set_up)
        (project,) = (disk.here / "codeswarm").iterdir()
        left = project / "homes" / "gone.hello"
        left.mkdir(parents=True)
        (left / "core").write_bytes(bytes(60 << 20))

    check(set_up, Broken("disk", "MiB free at", "codeswarm gc", fill, begins=True))


def test_of_a_disk_that_is_full_of_other_things_another_is_used(small_cache: tuple[SetUp, SmallDisk]) -> None:
    set_up, disk = small_cache

    def fill(set_up: SetUp) -> None:
        named("claude")(set_up)
        (disk.here / "mine").write_bytes(bytes(60 << 20))

    check(set_up, Broken("disk", "MiB free at", "export CODESWARM_WORKSPACES=", fill, begins=True))
