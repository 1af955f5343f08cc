"""A workspace that its worker left behind is brought home without the credentials that stand in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeswarm.agents.login_file import secrets_in
from codeswarm.environment import Environment
from codeswarm.redaction import forms_of
from tests.support.account_hosts import codex_login
from tests.support.runs import Place

KEY, MADE_THERE = "canary-Vt5Rm8Jc3Qy7", "what-it-was-there-for"
TICKETS = [{"id": "one", "title": "Do it", "pipeline": "single"}]


def place_with(tmp_path: Path, agent: str) -> Place:
    place = Place(tmp_path)
    place.begin({"codeswarm.toml": '[gates]\nfast = "true"\n'})
    (tmp_path / "agent").write_text("#!/bin/sh\n" + agent)
    (tmp_path / "agent").chmod(0o755)
    return place


def run(place: Place, **env: str) -> None:
    agent = f"command:{place.root / 'agent'}"
    done = place.run(
        "run", "--tickets", str(place.tickets(TICKETS)), "--agent", agent, "--sandbox", "none", "--name", "s", env=env
    )
    assert done.code == 0, done.err


def in_the_store(place: Place, secret: str) -> bool:
    """Whether it stands in any object, be it reachable or not."""
    objects = place.git(
        "--git-dir", str(place.data / "store.git"), "cat-file", "--batch-all-objects", "--batch", "--unordered"
    )
    return any(form in objects for form in forms_of(secret))


MADE = {
    "a file": f"echo {MADE_THERE} > new; echo {KEY} > notes",
    "a commit": f"echo {MADE_THERE} > new; git checkout -qb side; echo {KEY} > notes; git add notes; "
    "git -c user.name=a -c user.email=a@b commit -qm x; git rm -q notes; git commit -qm y; git checkout -q -",
}


@pytest.mark.parametrize("made", MADE)
def test_what_a_person_clears_up_brings_no_credential_into_a_ref(tmp_path: Path, made: str) -> None:
    place, key = place_with(tmp_path, MADE[made]), {"ANTHROPIC_API_KEY": KEY}
    run(place, **key)
    (attempt,) = (tmp_path / "cache" / "codeswarm").glob("*/attempts/*")
    facts = attempt / "meta" / "facts.json"
    known = json.loads(facts.read_text())
    assert known.pop("left_out")
    facts.write_text(json.dumps(known))  # as a worker leaves it that dies before it can tell
    for env in (key, {}):  # what is held once stays where it is for those, too, who don't know why
        assert f"stays: {attempt}" in place.run("gc", env=env).out
        assert in_the_store(place, MADE_THERE)
        assert not in_the_store(place, KEY)
    assert f"stays: {attempt}" in place.run("uninstall", "--yes", env=key).out
    assert attempt.is_dir()


COPIES_A_LOGIN = f"""
echo {MADE_THERE} > new
mkdir "{{root}}/died" || exit 0
cp "{{login}}" notes
worker=$PPID
until grep -q codeswarm.worker /proc/$worker/cmdline; do worker=$(cut -d " " -f 4 /proc/$worker/stat); done
kill -KILL $worker
"""


def test_a_login_that_an_agent_copied_before_its_worker_was_killed_reaches_no_ref(tmp_path: Path) -> None:
    login = tmp_path / "home" / ".codex" / "auth.json"
    place = place_with(tmp_path, COPIES_A_LOGIN.format(root=tmp_path, login=login))
    login.parent.mkdir()
    login.write_text(json.dumps(codex_login()))
    run(place)
    assert (tmp_path / "died").is_dir()
    secrets = secrets_in(Environment(place.env()).login, "codex")
    assert len(secrets) == 2
    assert in_the_store(place, MADE_THERE)
    assert not [secret for secret in secrets if in_the_store(place, secret)]
    (left,) = (tmp_path / "cache" / "codeswarm").glob("*/attempts/*")
    assert (left / "files" / "notes").read_text() == login.read_text()
