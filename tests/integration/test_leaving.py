"""Disk used, a bug report, completion by the shell, and going away again: nothing that was not saved is lost."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codeswarm.environment import Environment
from codeswarm.home import find_home
from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import Place
from tests.support.small_swarm import agent_of, small_place, ticket
from tests.support.terminal import Terminal

KIND = "bubblewrap" if probe().works else "none"
KEY = "sk-ant-api03-thisisaveryrealkey0000"


def begin(root: Path) -> Place:
    """One ticket landed and not saved; a secret in every place that a report could take one from."""
    place = small_place(root)
    place.environment |= {"SOME_API_KEY": "plain-words-secret", "CODESWARM_SWARM_WORKERS": "2"}
    path = place.tickets([{**ticket("a", pipeline="single"), "title": "Call grace@navy.example"}])
    agent = agent_of(place)
    done = place.run(
        "run", "--tickets", str(path), "--agent", agent, "--sandbox", KIND, "--name", "harbour", "--no-gate"
    )
    assert done.code == 0, done.err
    (place.data / "logs" / "w1.log").write_text(f"key {KEY}\nplain-words-secret\n{place.root}/home/x\n")
    return place


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """For tests that change nothing."""
    return begin(tmp_path_factory.mktemp("looked-at"))


@pytest.fixture
def place(looked_at: Place, tmp_path: Path) -> Place:
    """A copy that a test may take apart. Its cache is its own, too: the data directory's path names that."""
    shutil.copytree(looked_at.root, tmp_path / "copy", symlinks=True)
    place = Place(tmp_path / "copy", dict(looked_at.environment))
    (old,) = (place.root / "cache" / "codeswarm").iterdir()
    old.rename(find_home(place.repository, Environment(place.env())).workspaces)
    return place


def test_du_tells_what_uses_the_disk_and_which_session(looked_at: Place) -> None:
    found = looked_at.run("--json", "du").json
    parts = {(part["what"], part["session"]) for part in found["parts"]}
    (session,) = {row["id"] for row in looked_at.run("--json", "session", "list").json}
    assert {("store (git)", ""), ("ledger", ""), ("transcripts", session)} <= parts
    assert found["bytes"] == sum(part["bytes"] for part in found["parts"]) > 10_000
    assert "harbour (awaiting_review)" in looked_at.run("du").out


def test_du_works_where_nothing_is_yet(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    assert place.run("--json", "du").json["bytes"] == 0


def test_a_bug_report_shows_what_it_holds_and_holds_no_secret(looked_at: Place) -> None:
    path = looked_at.root / "report.txt"
    done = looked_at.run("bug-report", "--yes", "--output", str(path))
    assert done.code == 0, done.err
    text = path.read_text()
    for part in ("## versions", "## doctor", "swarm.workers = 2   (environment)", '"kind": "TicketLanded"', "w1.log"):
        assert part in text
        assert part.removeprefix("## ") in done.out
    for secret in (KEY, "plain-words-secret", "grace", str(looked_at.root), "Call"):
        assert secret not in text
    again = looked_at.run("bug-report", "--yes", "--output", str(path))
    assert (again.code, path.read_text()) == (2, text), "a file that is there is never written over"


def test_a_bug_report_names_no_gate_no_host_and_no_session(looked_at: Place) -> None:
    """Commands hold logins, hosts tell who one works for, and a session bears the name that a person gave it."""
    (looked_at.root / "home" / ".config" / "codeswarm").mkdir(parents=True, exist_ok=True)
    own = looked_at.root / "home" / ".config" / "codeswarm" / "config.toml"
    own.write_text(
        '[gates]\nfast = "curl -u joe:pw9 https://ci.corp-internal.test/x"\n'
        '[roles]\nreviewer = ["command:./contoso --key k"]\n[pipeline]\ndefault = "single"\n'
    )
    env = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9/v1", "HTTPS_PROXY": "http://llm-gw.corp-internal.test:8080"}
    done = looked_at.run("bug-report", "--yes", "--output", str(looked_at.root / "names.txt"), env=env)
    own.unlink()
    assert done.code == 0, done.err
    for private in ("joe", "pw9", "corp-internal", "contoso", "harbour", "curl"):
        assert private not in done.out, private
    for kept in ("gates.fast = ", 'pipeline.default = "single"', '"reserve_tokens": 100000', '"name": "fast"'):
        assert kept in done.out, kept


def test_a_bug_report_can_be_made_where_everything_is_broken(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "home").mkdir()
    done = place.run("bug-report", "--yes", "--output", "report.txt")
    assert done.code == 0, done.err
    assert "can't be told" in (tmp_path / "report.txt").read_text()


# ── uninstall ────────────────────────────────────────────────────────────────────────────────────────────────


def test_uninstall_saves_unlanded_work_as_a_bundle_first_and_leaves_nothing_else(place: Place) -> None:
    branch = place.git("for-each-ref", "--format=%(refname:short)", "refs/heads/codeswarm")
    tip = place.git("rev-parse", branch)
    done = place.run("uninstall", "--yes")
    assert done.code == 0, done.err
    assert not place.data.exists()
    assert not list((place.root / "cache" / "codeswarm").glob("*"))
    assert place.git("branch", "--list", "codeswarm/*") == ""
    (command,) = re.findall(r"git fetch \S+ '\S+'", done.out)
    place.git("gc", "--prune=now", "--quiet")
    subprocess.run(["bash", "-c", command], cwd=place.repository, env=place.env(), check=True, capture_output=True)
    rescued = place.git("for-each-ref", "--format=%(objectname)", "refs/rescued").split()
    assert tip in rescued, "what had landed, and was not saved"
    assert "mod_a.py" in place.git("ls-tree", "--name-only", tip)
    assert "nothing of this repository is kept here" in place.run("uninstall").out


def test_uninstall_leaves_what_was_saved(place: Place) -> None:
    assert place.run("save").code == 0
    found = place.run("--json", "uninstall", "--yes").json
    assert found["done"]
    assert not place.data.exists()
    assert (place.repository / "mod_a.py").is_file()
    assert place.git("tag", "--list", "checkpoint/*") != "", "saved states are the person's"


def test_uninstall_asks_and_without_anyone_to_ask_removes_nothing(place: Place) -> None:
    done = place.run("uninstall")
    assert (done.code, place.data.is_dir()) == (2, True)
    assert "do: codeswarm uninstall --yes" in done.err
    with Terminal(place, "uninstall") as terminal:
        terminal.until("remove all this? yes / no")
        terminal.type("no\n")
        assert terminal.end() == 0
    assert place.data.is_dir()


def test_uninstall_leaves_a_branch_that_is_checked_out_and_lists_it_not(place: Place) -> None:
    branch = place.git("for-each-ref", "--format=%(refname:short)", "refs/heads/codeswarm")
    place.git("switch", "-q", branch)
    assert branch not in place.run("uninstall", "--dry-run").out
    assert place.run("uninstall", "--yes").code == 0
    assert place.git("branch", "--show-current") == branch


def test_uninstall_keeps_a_bundle_path_that_is_taken(place: Place) -> None:
    taken = place.root / "mine.bundle"
    taken.write_text("mine")
    done = place.run("uninstall", "--yes", "--bundle", str(taken))
    assert (done.code, taken.read_text(), place.data.is_dir()) == (2, "mine", True)


# ── completion ───────────────────────────────────────────────────────────────────────────────────────────────


def completed(place: Place, line: str) -> list[str]:
    """What bash offers behind a line, by the very function that is installed for it."""
    script = place.root / "completion.bash"
    if not script.exists():
        shown = place.run("--show-completion", "bash")
        assert shown.code == 0, shown.err
        script.write_text(shown.out)
        program = place.root / "bin" / "codeswarm"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m codeswarm.cli "$@"\n')
        program.chmod(0o755)
    words = line.split(" ")
    quoted = " ".join(map(shlex.quote, words))
    ask = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        '_codeswarm_completion codeswarm; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = place.env({"PATH": f"{place.root}/bin:{place.env()['PATH']}"})
    done = subprocess.run(
        ["bash", "-c", ask], cwd=place.repository, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_bash_completes_verbs_sessions_tickets_agents_and_pipelines(looked_at: Place) -> None:
    (session,) = {row["id"] for row in looked_at.run("--json", "session", "list").json}
    assert "init" in completed(looked_at, "codeswarm in")
    assert completed(looked_at, "codeswarm status harb") == ["harbour"]
    assert completed(looked_at, f"codeswarm save {session[:3]}") == [session]
    assert completed(looked_at, "codeswarm ticket show ") == ["a"]
    assert {"claude", "command:"} <= set(completed(looked_at, "codeswarm run --agent c"))
    assert completed(looked_at, "codeswarm run --pipeline si") == ["single"]
    assert completed(looked_at, "codeswarm run --base ma") == ["main"]


def test_completion_is_silent_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    assert completed(place, "codeswarm status ") == []
