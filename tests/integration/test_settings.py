"""Settings as a person meets them: each does what it says, or it is said that it does nothing."""

from __future__ import annotations

import re
from pathlib import Path

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import Finished, Place
from tests.support.small_swarm import LIBRARY, agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"


def run(place: Place, *words: str, **env: str) -> Finished:
    tickets = place.tickets([ticket("a", pipeline="single")])
    return place.run(
        "run",
        "--tickets",
        str(tickets),
        "--agent",
        agent_of(place),
        "--sandbox",
        KIND,
        "--workers",
        "1",
        *words,
        env=env,
    )


def test_the_base_that_the_file_names_is_begun_from_and_saved_to(tmp_path: Path) -> None:
    config = LIBRARY["codeswarm.toml"] + '[project]\nbase = "dev"\n'
    place = small_place(tmp_path, {**LIBRARY, "codeswarm.toml": config})
    place.git("branch", "dev")
    before = place.git("rev-parse", "main")
    done = run(place, "--save")
    assert (done.code, "on dev at" in done.out) == (0, True), done.err
    assert place.git("rev-parse", "main") == before
    assert "mod_a.py" in place.git("ls-tree", "--name-only", "dev").splitlines()


def test_a_save_beside_the_base_leaves_the_base_alone(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    before = place.git("rev-parse", "main")
    done = run(place, "--save", CODESWARM_POLICY_SAVE_TO="branch")
    assert done.code == 0, done.err
    assert place.git("rev-parse", "main") == before
    (beside,) = place.git("for-each-ref", "--format=%(refname:short)", "refs/heads/codeswarm-*").splitlines()
    assert "mod_a.py" in place.git("ls-tree", "--name-only", beside).splitlines()


def test_without_a_terminal_a_plan_that_waits_for_a_person_is_the_end_of_the_run(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    done = run(place, "--approve", "plan")
    assert done.code == 3
    assert re.search(r"codeswarm approve \w{8}/a1 ", done.out + done.err)
    assert "0 of 1 ticket landed" in done.out
    assert "still at work" not in done.err


def test_a_setting_that_changes_nothing_yet_is_named(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    done = run(place, CODESWARM_FORGE_REPO="owner/name")
    assert done.code in (0, 3), done.err
    assert "forge.repo is set and has no effect in this version" in done.err
