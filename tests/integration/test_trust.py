"""What a repository says to agents: its rules always; programs, roles and looser settings once a person trusts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Place

AGENT = '#!/bin/sh\ncp "$CODESWARM_BUNDLE" bundle-$CODESWARM_TICKET.json\n'
FILES = {
    "a.txt": "one\n",
    "AGENTS.md": "Write in verse.\n",
    "CLAUDE.md": "@AGENTS.md\n",
    ".codeswarm/roles/implementer.md": "You are a poet.\n",
    ".codeswarm/skills/rhyme/SKILL.md": "---\nname: rhyme\ndescription: Finds a rhyme\n---\nListen.\n",
    ".mcp.json": '{"mcpServers": {}}\n',
    "codeswarm.toml": '[gates]\nfast = "true"\n\n[policy]\nmax_attempts = 9\n',
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin(FILES)
    agent = tmp_path / "agent"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    return place


def told(place: Place, ticket: str) -> dict[str, Any]:
    """What the agent of a ticket was told of the repository's instructions."""
    tickets = place.tickets([{"id": ticket, "title": f"Do {ticket}", "pipeline": "single"}])
    agent = f"command:{place.root / 'agent'}"
    done = place.run("run", "--tickets", str(tickets), "--agent", agent, "--sandbox", "none", "--name", ticket)
    assert done.code == 0, done.err
    said = f"not loaded: {', '.join(sorted(path for path in FILES if path.startswith('.')))}"
    session = place.run("--json", "status", ticket).json["session"]["id"]
    bundle = json.loads(place.git("show", f"codeswarm/{session}:bundle-{ticket}.json"))
    return {**bundle["instructions"], "warned": said in done.out + done.err}


def test_rules_are_told_at_once_and_roles_and_skills_once_they_are_trusted_and_unchanged(place: Place) -> None:
    before = told(place, "first")
    assert before["warned"]
    assert before["rules"] == [{"source": "AGENTS.md", "text": "Write in verse."}]
    assert (before["source"], before["skills"]) == ("codeswarm", [])

    shown = place.run("--json", "trust", "--show").json
    assert (shown["trusts_agents"], shown["trusts_settings"]) == (False, False)
    assert ".mcp.json" in shown["files"]
    assert any("policy.max_attempts" in what for what in shown["ignored"])
    trusted = place.run("--json", "trust").json
    assert (trusted["trusts_agents"], trusted["trusts_settings"], trusted["ignored"]) == (True, True, [])

    after = told(place, "second")
    assert (after["role"], after["source"]) == ("You are a poet.", ".codeswarm/roles/implementer.md")
    assert [skill["name"] for skill in after["skills"]] == ["rhyme"]
    assert not after["warned"]
    settings = {row["key"]: row for row in place.run("--json", "config", "show").json["settings"]}
    assert (settings["policy.max_attempts"]["value"], settings["policy.max_attempts"]["from"]) == (9, "codeswarm.toml")

    place.write({".mcp.json": '{"mcpServers": {"evil": {"command": "sh"}}}\n'})
    place.git("commit", "--quiet", "--all", "--message", "A server more")
    assert told(place, "third")["source"] == "codeswarm", "what changed is not what was trusted"
    place.git("revert", "--no-edit", "HEAD")
    assert told(place, "fourth")["source"] != "codeswarm", "as the person saw it, it is again what they trust"
    assert place.run("--json", "trust", "--revoke").json["trusts_agents"] is False


def test_no_repository_vouches_for_itself_and_a_broken_word_of_the_persons_stops_what_needs_it(place: Place) -> None:
    ours = place.root / "home" / ".config" / "codeswarm" / "trusted.json"
    assert place.run("trust").code == 0
    assert not list(place.data.rglob("trusted*"))
    assert ours.stat().st_mode & 0o077 == 0
    ours.write_text("{ half")
    done = place.run("trust", "--show")
    assert done.code == 2
    assert f"mv {ours} {ours}.old" in done.err


def test_looking_and_revoking_exclude_each_other(place: Place) -> None:
    assert place.run("trust", "--show", "--revoke").code == 2
