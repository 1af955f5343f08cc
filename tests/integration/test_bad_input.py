"""What a person can get wrong: a clear error in three lines, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import Finished, Place
from tests.support.small_swarm import LIBRARY, agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return small_place(tmp_path)


def run(place: Place, *words: str) -> Finished:
    path = place.tickets([ticket("a", pipeline="single")])
    agent = [] if "--agent" in words else ["--agent", agent_of(place)]
    return place.run("run", "--tickets", str(path), *agent, "--sandbox", KIND, *words)


def assert_three_lines(done: Finished, *words: str, code: int = 2) -> None:
    """What, why, what to do; each word somewhere in it."""
    assert done.code == code, (done.code, done.out, done.err)
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    starts = [
        next((i for i, line in enumerate(lines) if line.startswith(mark)), -1) for mark in ("error:", "why:", "do:")
    ]
    assert -1 < starts[0] < starts[1] < starts[2], done.err
    for word in words:
        assert word in done.err, (word, done.err)


TICKETS_WITH_EVERY_MISTAKE = """
goal: [not, text]
gaol: a typo
tickets:
  - id: Bad Name
    title: x
  - id: a..b
    title: x
  - id: twice
    title: x
    descripton: a typo
    priority: 9
    estimate_s: -1
    deadline: yesterday
  - id: twice
    title: ""
  - title: no id
  - id: c1
    title: x
    blocked_by: [c2, nobody, twise]
  - id: c2
    title: x
    blocked_by: [c3]
  - id: c3
    title: x
    blocked_by: [c1]
    pipeline: contract-frist
    contract: test
  - just text
"""


def test_every_mistake_of_a_tickets_file_is_told_at_once(place: Place) -> None:
    path = place.root / "wrong.yaml"
    path.write_text(TICKETS_WITH_EVERY_MISTAKE)
    done = place.run("run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND)
    assert_three_lines(
        done,
        "unknown key 'gaol'; did you mean 'goal'?",
        "goal: must be text",
        "'Bad Name'", "'a..b'", "must not contain '..'",
        "unknown key 'descripton'; did you mean 'description'?",
        "ticket 'twice'.priority", "ticket 'twice'.estimate_s", "ticket 'twice'.deadline",
        "ticket 'twice': the id is used 2 times",
        "tickets[4].id: is missing",
        "names 'nobody', which is no ticket here",
        "names 'twise', which is no ticket here; did you mean 'twice'?",
        "c1 → c2 → c3 → c1",
        "'contract-frist', which is not known; did you mean 'contract-first'?",
        "ticket 'c3'.contract",
        "tickets[8]: must be a mapping",
    )  # fmt: skip
    assert place.run("--json", "session", "list").json == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tickets: []", ["at least one ticket"]),
        ("", ["mapping"]),
        ("- a list", ["mapping"]),
        ("tickets: {", ["not YAML"]),
        ("tickets:\n  - {id: a, id: b, title: x}", ["stands twice"]),
        ("!!python/object/apply:os.system ['touch evil']", ["not YAML"]),
        ("a: &a [*a]\ntickets: *a", ["tickets"]),
    ],
)
def test_a_tickets_file_that_is_none_is_told_so(place: Place, text: str, words: list[str]) -> None:
    path = place.root / "wrong.yaml"
    path.write_text(text)
    done = place.run("run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND)
    assert_three_lines(done, *words)
    assert not (place.repository / "evil").exists()


def test_tickets_come_from_standard_input_and_from_json_too(place: Place) -> None:
    tickets = {"goal": "", "tickets": [ticket("a", pipeline="single")]}
    words = ["--agent", agent_of(place), "--sandbox", KIND, "--dry-run"]
    done = place.run("--json", "run", "--tickets", "-", *words, stdin=json.dumps(tickets))
    assert done.json["waves"] == [["a"]]
    (place.root / "tickets.json").write_text(json.dumps(tickets))
    done = place.run("--json", "run", "--tickets", str(place.root / "tickets.json"), *words)
    assert (done.code, done.json["critical_path"]) == (0, ["a"])


def test_outside_of_a_repository(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.run("status")
    assert_three_lines(done, "not inside a git repository", "git init")


def test_an_empty_repository(place: Place) -> None:
    empty = place.root / "empty"
    place.git("init", "--quiet", str(empty))
    path = place.tickets([ticket("a")])
    done = place.run("-C", str(empty), "run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND)
    assert_three_lines(done, "no commit yet", "git commit")


def test_a_detached_head(place: Place) -> None:
    place.git("checkout", "--quiet", "--detach")
    assert_three_lines(run(place), "detached", "--base")
    assert run(place, "--base", "main").code == 0


def test_an_unknown_base(place: Place) -> None:
    assert_three_lines(run(place, "--base", "mian"), "no branch 'mian'", "main")


def test_a_bare_repository_can_be_built_in_and_saved_to(place: Place) -> None:
    bare = place.root / "bare.git"
    place.git("clone", "--quiet", "--bare", ".", str(bare))
    path = place.tickets([ticket("a", pipeline="single")])
    words = ["--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, "--save"]
    done = place.run("-C", str(bare), "run", *words)
    assert done.code == 0, done.err + done.out
    assert "mod_a.py" in place.git("--git-dir", str(bare), "ls-tree", "--name-only", "main")


def test_a_shallow_clone_can_be_built_in_and_saved_to(place: Place) -> None:
    place.write({"more.txt": "more\n"})
    place.git("add", "-A")
    place.git("commit", "-q", "-m", "More")
    shallow = place.root / "shallow"
    place.git("clone", "--quiet", "--depth", "1", f"file://{place.repository}", str(shallow))
    path = place.tickets([ticket("a", pipeline="single")])
    words = ["--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, "--save"]
    done = place.run("-C", str(shallow), "run", *words)
    assert done.code == 0, done.err + done.out
    assert (shallow / "mod_a.py").is_file()


def test_a_linked_worktree_shares_the_data_of_its_repository(place: Place) -> None:
    tree = place.root / "tree"
    place.git("worktree", "add", "-q", "-b", "feature", str(tree))
    path = place.tickets([ticket("a", pipeline="single")])
    words = ["--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, "--save"]
    done = place.run("-C", str(tree), "run", *words)
    assert done.code == 0, done.err + done.out
    assert (tree / "mod_a.py").is_file()
    assert place.run("--json", "session", "list").json[0]["base_branch"] == "feature"


def test_a_dirty_checkout_is_allowed_named_and_untouched(place: Place) -> None:
    place.write({"lib.py": "# mine\n", "scratch.txt": "mine, too\n"})
    place.git("add", "lib.py")
    before = place.git("status", "--porcelain=v2"), place.git("stash", "list"), place.git("rev-parse", "HEAD")
    done = run(place)
    assert done.code == 0, done.err
    assert "lib.py" in done.out.splitlines()[0]
    assert "scratch.txt" in done.out.splitlines()[0]
    assert (place.git("status", "--porcelain=v2"), place.git("stash", "list"), place.git("rev-parse", "HEAD")) == before
    saved = place.run("save")
    assert saved.code == 0, "the save touches only mod_a.py, which is not in the way"
    assert (place.repository / "lib.py").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent", "cloude"], ["no agent kind 'cloude'"]),
        (["--agent", "llama"], ["there is no agent kind 'llama'"]),
        (["--agent", "replay:/nowhere"], ["no folder of recordings"]),
        (["--agent", ""], ["is not an agent"]),
        (["--role", "implementer"], ["not KEY=VALUE"]),
        (["--pipeline", "sinlge"], ["no pipeline 'sinlge'"]),
        (["--approve", "everything"], ["policy.approve"]),
        (["--sandbox", "walls"], ["no sandbox 'walls'"]),
        (["--sandbox", "microvm"], ["not part of this version"]),
        (["--workers", "0"], ["workers"]),
        (["--budget-usd", "-1"], ["budget.usd"]),
        (["--name", "Not A Name"], ["can't be a session's name"]),
    ],
)
def test_options_that_make_no_sense(place: Place, words: list[str], told: list[str]) -> None:
    assert_three_lines(run(place, *words), *told)


def test_settings_that_make_no_sense_are_named_with_the_nearest_known_one(place: Place) -> None:
    place.write({"codeswarm.toml": '[gates]\nfasst = "true"\ntimeout_s = "soon"\n[swarn]\nworkers = 2\n'})
    place.git("commit", "-qam", "Settings")
    done = run(place)
    assert_three_lines(done, "gates.fasst", "did you mean 'fast'?", "gates.timeout_s", "swarn", "did you mean 'swarm'?")


def test_a_repository_cant_loosen_anything(place: Place) -> None:
    place.write(
        {
            "codeswarm.toml": LIBRARY["codeswarm.toml"]
            + '[sandbox]\nkind = "none"\n[roles]\nreviewer = ["command:evil"]\n[policy]\nmax_attempts = 50\n'
        }
    )
    place.git("commit", "-qam", "Loosen")
    path = place.tickets([ticket("a", pipeline="single")])
    done = place.run("run", "--tickets", str(path), "--agent", agent_of(place))
    for key in ("sandbox.kind", "roles.reviewer", "policy.max_attempts"):
        assert f"ignored from codeswarm.toml: {key}" in done.err, done.err


def test_a_name_is_used_once(place: Place) -> None:
    assert run(place, "--name", "first").code == 0
    assert_three_lines(run(place, "--name", "first"), "bears the name 'first' already")
    assert place.run("--json", "status", "first").json["session"]["name"] == "first"


def test_a_ledger_of_a_newer_program_is_read_but_not_written(place: Place) -> None:
    assert run(place).code == 0
    db = sqlite3.connect(place.data / "ledger.sqlite3")
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert place.run("--json", "status").json["session"]["landed"] == 1
    assert_three_lines(run(place), "newer codeswarm", "pip install --upgrade")
    assert_three_lines(place.run("save"), "newer codeswarm")


def test_errors_are_json_where_json_was_asked_for(place: Place) -> None:
    done = place.run("--json", "status", "nothing")
    assert done.code == 2
    assert done.json["error"]["do"]
    assert done.json["exit_code"] == 2


def test_an_agent_without_a_login_is_named_with_the_way_to_one(place: Place) -> None:
    path = place.tickets([ticket("a", pipeline="single")])
    done = place.run("run", "--tickets", str(path), "--agent", "claude", "--sandbox", KIND)
    assert_three_lines(done, "claude", "ANTHROPIC_API_KEY")


def test_a_ticket_that_no_worker_may_take_suspends_the_session_and_says_which(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    tickets = place.tickets([ticket("a", pipeline="single"), ticket("b", pipeline="single", requires=["gpu", "big"])])
    done = place.run("--json", "run", "--tickets", str(tickets), "--agent", agent_of(place), "--sandbox", KIND)
    assert done.code == 4
    assert [e["data"]["ticket"] for e in done.lines() if e["kind"] == "TicketLanded"] == ["a"]
    suspended = next(e["data"] for e in done.lines() if e["kind"] == "SessionSuspended")
    assert suspended["reason"] == "missing_worker"
    assert suspended["detail"] == "ticket b requires a worker with big, gpu, and none is here"
    again = place.run("resume")
    assert again.code == 4
    assert "ticket b requires a worker with big, gpu" in again.out + again.err
    place.run("ticket", "cancel", "b")
    assert place.run("resume").code == 0, "what was cancelled is not missed"


def test_without_walls_nothing_runs_unless_a_person_says_so(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "")
    without = {"PATH": f"{Path(sys.executable).parent}:{programs}"}
    words = ["--tickets", str(place.tickets([ticket("a", pipeline="single")])), "--agent", agent_of(place)]
    refused = place.run("run", *words, env=without)
    assert refused.code == 2
    assert "bubblewrap" in refused.err
    assert "do: " in refused.err
    assert not list((tmp_path / "cache").glob("codeswarm/*/attempts/*")), "nothing ran"
    said = place.run("run", *words, "--sandbox", "none", env=without)
    assert said.code == 0, said.err
    assert "no walls" in said.err
