"""A plan that is changed, imported and exported by the command line, with and without a live router."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.beads_file import beads_file
from tests.support.held_agent import begin, held_place, let_go
from tests.support.runs import Finished, Place
from tests.support.small_swarm import agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"
DRAFT = ("--pipeline", "single", "--sandbox", KIND)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return small_place(tmp_path)


def ok(done: Finished) -> Any:
    assert done.code == 0, (done.code, done.out, done.err)
    return json.loads(done.out) if done.out.startswith(("{", "[")) else done.out


def states(place: Place) -> dict[str, str]:
    return {row["id"]: row["status"] for row in ok(place.run("ticket", "list", "--json"))}


def test_a_draft_is_changed_then_resumed_and_what_landed_goes_back_to_beads(place: Place) -> None:
    issues = [
        {"id": "BD-1", "title": "first", "status": "open", "priority": 1, "z": 1.50},
        {"id": "bd-2", "title": "second", "status": "open", "priority": 1},
        {"id": "bd-3", "title": "large", "status": "open", "priority": 1},
        {"id": "bd-4", "title": "done", "status": "closed", "priority": 1},
    ]
    issues[1]["dependencies"] = [{"issue_id": "bd-2", "depends_on_id": "bd-3", "type": "blocks"}]
    data = b"".join(json.dumps(issue).encode() + b"\n" for issue in issues)
    beads = place.repository / ".beads" / "issues.jsonl"
    beads.parent.mkdir()
    beads.write_bytes(data)
    told = ok(place.run("ticket", "import", "beads:", *DRAFT, "--agent", agent_of(place), "--json"))
    assert states(place) == {"bd-1": "ready", "bd-2": "pending", "bd-3": "ready"}
    assert ok(place.run("status", "--json"))["session"]["status"] == "draft"
    ok(place.run("ticket", "export", ".beads/issues.jsonl"))
    assert beads.read_bytes() == data

    ok(place.run("ticket", "add", "--title", "One more!", "--blocked-by", "bd-1"))
    ok(place.run("ticket", "edit", "bd-1", "--title", "first of all", "--label", "x"))
    (place.root / "parts.yaml").write_text("tickets: [{id: part-a, title: A}, {id: part-b, title: B}]")
    ok(place.run("ticket", "split", "bd-3", "--into", str(place.root / "parts.yaml")))
    ok(place.run("ticket", "link", "bd-2", "--blocked-by", "one-more"))
    ok(place.run("ticket", "unlink", "bd-2", "--blocked-by", "part-b"))
    done = place.run("resume", told["session"])
    assert "first of all" in ok(place.run("ticket", "show", "bd-1"))
    assert {id_: state for id_, state in states(place).items() if state != "complete"} == {"bd-3": "cancelled"}
    assert done.code == 0, "what was split is not missed: its parts landed"
    ok(place.run("ticket", "export", ".beads/issues.jsonl"))
    after = {line["id"]: line for line in map(json.loads, beads.read_text().splitlines())}
    assert {id_: line["status"] for id_, line in after.items()} == dict.fromkeys(after, "closed")
    assert after["bd-3"]["close_reason"] == "cancelled: split into part-a, part-b"
    assert set(after) == {"BD-1", "bd-2", "bd-3", "bd-4", "one-more", "part-a", "part-b"}
    assert beads.read_bytes().splitlines()[3] == data.splitlines()[3]
    ok(place.run("ledger", "verify"))
    ok(place.run("ledger", "rebuild"))


def test_a_large_beads_file_is_imported_and_exported_unchanged_and_never_written_over_blindly(place: Place) -> None:
    data = beads_file(2000)
    (place.root / "in.jsonl").write_bytes(data)
    source = str(place.root / "in.jsonl")
    ok(place.run("ticket", "import", source, *DRAFT))
    out = place.root / "out.jsonl"
    ok(place.run("ticket", "export", str(out)))
    assert out.read_bytes() == data
    out.write_bytes(data + b"{}\n")
    refused = place.run("ticket", "export", str(out))
    assert refused.code == 2
    assert "would lose what differs" in refused.err
    assert offered(refused) == ["ticket", "export", str(out), "--force"]
    typed = ["ticket", "export", "../out.jsonl", "--session", ok(place.run("--json", "status"))["session"]["id"]]
    assert offered(place.run(*typed, "--format", "yaml")) == [*typed, "--format", "yaml", "--force"]
    ok(place.run(*offered(refused)))
    assert out.read_bytes() == data


def test_what_is_exported_is_read_again_as_the_same_plan(place: Place) -> None:
    path = place.tickets([ticket("a"), ticket("b", "a", hold="later"), ticket("c", gate="true")])
    ok(place.run("ticket", "import", str(path), *DRAFT))
    for name in ("first.yaml", "second.json", "third.yaml"):
        ok(place.run("ticket", "export", name))
        ok(place.run("ticket", "import", name, *DRAFT))
    assert (place.repository / "first.yaml").read_bytes() == (place.repository / "third.yaml").read_bytes()
    assert states(place) == {"a": "ready", "b": "on_hold", "c": "ready"}


def test_an_export_to_standard_output_is_one_json_document_where_that_is_asked_for(place: Place) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a"), ticket("b")])), *DRAFT))
    assert [row["id"] for row in ok(place.run("ticket", "export", "-", "--json"))["tickets"]] == ["a", "b"]
    assert ok(place.run("ticket", "export", "-")).startswith("tickets:\n")
    refused = place.run("ticket", "export", "-", "--json", "--format", "beads")
    assert (refused.code, json.loads(refused.out)["error"]["do"]) == (
        2,
        "codeswarm --json ticket export - --format json",
    )


def test_an_editor_changes_a_ticket_and_splits_one(place: Place) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a"), ticket("b", "a")])), *DRAFT))
    place.environment["EDITOR"] = "sed -i s/^title:.*/title:\\ edited/"
    assert "changed from its next attempt on" in ok(place.run("ticket", "edit", "a"))
    assert "a: edited" in ok(place.run("ticket", "show", "a"))
    assert "nothing has changed" in ok(place.run("ticket", "edit", "a"))
    place.environment["EDITOR"] = "sed -i s/a-2/other/"
    ok(place.run("ticket", "split", "a"))
    assert states(place) == {"a": "cancelled", "b": "pending", "a-1": "ready", "other": "ready"}


def editor(place: Place, name: str, script: str) -> None:
    """Have an editor that does to the file `$1` what a script says."""
    path = place.root / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    place.environment["EDITOR"] = str(path)


def offered(done: Finished) -> list[str]:
    """What the third line of an error offers, as words behind `codeswarm`."""
    assert re.findall(r"^(error|why|do): +\S", done.err, re.MULTILINE) == ["error", "why", "do"], done.err
    *_, line = done.err.splitlines()
    assert line.startswith("do: codeswarm "), line
    return shlex.split(line)[2:]


@pytest.mark.parametrize(
    ("verb", "mistake", "wanted"),
    [
        ("edit", "blocked_by: [b]", "id: a\ntitle: Mine"),
        ("split", "titel: Mine", "tickets: [{id: part, title: Mine}]"),
    ],
)
def test_what_was_written_in_an_editor_outlives_its_mistakes_and_is_gone_on_from(
    verb: str, mistake: str, wanted: str, place: Place
) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a"), ticket("b", "a")])), *DRAFT))
    editor(place, "breaks", "printf '# two hours of work\\ntickets: [\\n' > $1")
    first = place.run("ticket", verb, "a")
    (kept,) = (place.data / "edited").iterdir()
    editor(place, "breaks", f"grep -q hours $1 && printf '# three hours\\n{mistake}\\n' > $1")
    second = place.run(*offered(first))
    for done in (first, second):
        assert (done.code, f"what you wrote is kept: {kept}\n" in done.err) == (2, True), done.err
        assert offered(done) == offered(first), "the same file, as often as it takes"
    editor(place, "mends", f"grep -q three $1 && printf '%s\\n' '{wanted}' > $1")
    ok(place.run(*offered(second)))
    assert list((place.data / "edited").iterdir()) == [], "what was taken is not kept"
    assert "Mine" in ok(place.run("ticket", "list"))


def test_a_file_of_ones_own_is_opened_and_stays(place: Place) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a")])), *DRAFT))
    mine = place.root / "mine.yaml"
    mine.write_text("id: a\ntitle: none")
    editor(place, "mends", "sed -i s/none/edited/ $1")
    ok(place.run("ticket", "edit", "a", "--edit", "--from", str(mine)))
    assert "edited" in mine.read_text()
    assert "a: edited" in ok(place.run("ticket", "show", "a"))
    editor(place, "breaks", "echo id: b > $1")
    assert offered(place.run("ticket", "edit", "a", "--edit", "--from", str(mine)))[-2:] == ["--from", str(mine)]


def test_an_editor_that_fails_says_how_and_another_one_is_offered(place: Place) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a")])), *DRAFT))
    typed = "codeswarm -C . ticket edit a --edit"
    for script, why, offer in (
        ("exit 3", "why: it ended with exit code 3", f"do: EDITOR=vi {typed}\n"),
        ("kill -9 $$", "why: it was killed by SIGKILL", f"do: EDITOR=vi {typed}\n"),
        ("rm $1", "is not there any more", f"do: {typed}\n"),
        (": > $1", "why: the text is empty", f"do: {typed}\n"),
        ("echo 'title: x' > $1; exit 1", "what you wrote is kept", f"do: EDITOR=vi {typed} --from /"),
    ):
        editor(place, "fails", script)
        done = place.run("-C", ".", "ticket", "edit", "a")
        assert (done.code, why in done.err, offer in done.err) == (2, True, True), (script, done.err)
    for name in ('"unterminated', "/nowhere/editor"):
        place.environment["EDITOR"] = name
        done = place.run("-C", ".", "ticket", "edit", "a")
        assert (done.code, f"do: EDITOR=vi {typed}\n" in done.err) == (2, True), done.err
    assert place.run("ticket", "split", "a").code == 2


def test_an_editor_never_draws_into_an_answer_and_none_is_opened_where_nobody_sits(place: Place) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a")])), *DRAFT))
    editor(place, "draws", "echo drawn; sed -i s/^title:.*/title:\\ drawn/ $1")
    done = place.run("ticket", "edit", "a", "--json", stdin="")
    assert json.loads(done.out)["events"]
    del place.environment["EDITOR"]
    refused = place.run("ticket", "edit", "a", "--json", stdin="")
    assert refused.code == 2
    assert json.loads(refused.out)["error"]["do"] == "codeswarm ticket edit a --json --from FILE"


def test_mistakes_are_told_in_three_lines_and_change_nothing(place: Place) -> None:
    ok(place.run("ticket", "import", str(place.tickets([ticket("a"), ticket("b", "a")])), *DRAFT))
    for words, told in (
        (("add", "--title", "x", "--blocked-by", "nobody"), "which is no ticket here"),
        (("add",), "do: codeswarm ticket add --title 'WHAT IS WANTED'"),
        (("add", "--title", " "), "do: codeswarm ticket add --title 'WHAT IS WANTED'"),
        (("add", "--title", "x", "--id", "A B"), "do: codeswarm ticket add --title x --id a-b"),
        (("link", "a", "--blocked-by", "b"), "in a cycle"),
        (("link", "a"), "needs a ticket to wait for"),
        (("unlink", "a", "--blocked-by", "b"), "does not wait for"),
        (("edit", "a", "--title", "x" * 300), "at most 200"),
        (("export", "x.txt", "--format", "xml"), "there is no format"),
        (("import", "github:a/b"), "github: sources are not part of this version"),
    ):
        done = place.run("ticket", *words)
        assert done.code == 2, words
        assert told in done.err, (words, done.err)
        assert "Traceback" not in done.err
        assert "no more is known" not in done.err
    for line, why in (
        ("save", "why: nothing has landed that could be saved"),
        ("approve zz", "why: there is none at all yet"),
        ("run --spec /dev/null", "why: nothing in it says what is wanted"),
        ("logs aa", "why: did you mean 'a'?"),
        ("status nowhere", "why: there are "),
    ):
        done = place.run(*line.split())
        assert (done.code, why in done.err) == (2, True), (line, done.err)
    assert states(place) == {"a": "ready", "b": "pending"}


async def test_a_second_terminal_changes_a_plan_that_agents_are_at_work_on(tmp_path: Path) -> None:
    place = held_place(tmp_path)
    run = await begin(place, KIND, "one", "two", more=("--workers", "1"))

    async def ticket_verb(*words: str) -> Finished:
        return await asyncio.to_thread(place.run, "ticket", *words)

    refused = await ticket_verb("link", "one", "--blocked-by", "two")
    assert refused.code == 2
    assert "cycle" in refused.err
    ok(await ticket_verb("add", "--title", "Three", "--blocked-by", "two"))
    ok(await ticket_verb("edit", "one", "--title", "One, but better"))
    ok(await ticket_verb("edit", "two", "--title", "Two, but better", "--pipeline", "single"))
    ok(await ticket_verb("edit", "three", "--pipeline", "single"))
    ranked = ok(await asyncio.to_thread(place.run, "triage", "--json"))
    assert ranked["next"] == []
    assert {row["id"]: row["standing"] for row in ranked["tickets"]} == {
        "one": "under_way",
        "two": "pending",
        "three": "pending",
    }
    let_go(place, "one", "two", "three")
    assert await run.end() == 0
    told = place.git("log", "--format=%s", f"codeswarm/{run.events[0]['session']}")
    assert "Two, but better" in told
    assert "Three" in told


def test_a_kept_file_that_is_missing_is_found_by_verify_and_no_export_pretends(place: Place) -> None:
    (place.root / "in.jsonl").write_bytes(beads_file(50))
    ok(place.run("ticket", "import", str(place.root / "in.jsonl"), *DRAFT))
    (kept,) = (path for path in (place.data / "artifacts" / "objects").rglob("*") if path.is_file())
    kept.unlink()
    verified = place.run("ledger", "verify")
    assert verified.code == 1
    assert "the file that tickets came from" in verified.out + verified.err
    assert "missing" in place.run("ticket", "export", "out.jsonl").err


def test_a_draft_waits_for_nobody_and_says_how_to_begin(place: Place) -> None:
    told = ok(place.run("ticket", "import", str(place.tickets([ticket("a")])), *DRAFT))
    assert "begin: codeswarm resume" in told
    report = ok(place.run("report"))
    for words in (
        "A draft of 1 ticket: nothing runs before you begin it.",
        "Begin it, or leave it",
        "codeswarm resume",
    ):
        assert words in report, report
    assert "the gate runs" not in report
    assert "Go on" not in report
    watched = place.run("watch")
    assert watched.code in (0, 3)
    assert "codeswarm resume" in watched.out + watched.err
