"""Planners that are any program: a plan in words, edited on a terminal, sent back, added to, agreed upon."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import Place
from tests.support.small_swarm import agent_of, small_place
from tests.support.terminal import Terminal

KIND = "bubblewrap" if probe().works else "none"

AGENT = '''\
"""Plans what it is told to: each line of what is wanted is a ticket. Builds each as a file that holds its prompt."""

import json, os, pathlib, sys

bundle = json.load(open(os.environ["CODESWARM_BUNDLE"]))
prompt = sys.stdin.read()
ticket, role = os.environ["CODESWARM_TICKET"], os.environ["CODESWARM_ROLE"]
answer = lambda said: pathlib.Path(os.environ["CODESWARM_RESULT"]).write_text(json.dumps(said))
planning = bundle["planning"]
name = ticket.replace("-", "_")
if planning is None:
    pathlib.Path(f"mod_{name}.py").write_text(f"prompt = {prompt!r}\\n")
    if "proposer" in ticket:
        answer({"proposed_tickets": [{"title": "more of it"}]})
elif planning["step"] == "skeleton" and planning["proposed"]["tickets"]:
    answer({"tickets": [{"id": "proposed", "title": planning["proposed"]["tickets"][0]["title"], "description": "x"}]})
elif planning["step"] == "skeleton":
    wanted = [item["text"] for item in bundle["feedback"] if item["source"] == "person"] or [planning["text"]]
    answer({"tickets": [{"id": line.split()[0], "title": line} for line in wanted[0].splitlines()]})
elif planning["step"] == "expansion":
    shared = {"interfaces": ["names"]} if "shared" in planning["text"] else {}
    answer({"tickets": [{"id": id_, "title": f"Make {id_}", "acceptance": [f"{id_} is there"], **shared}
                        for id_ in planning["group"]]})
else:
    answer({"answer": f"{planning['step']} of {len(planning['tickets'])} tickets"})
'''

EDITOR = """\
#!/usr/bin/env python3
'''Breaks the plan the first time it is asked, and mends it the second time.'''
import pathlib, sys, yaml
path, before = pathlib.Path(sys.argv[1]), pathlib.Path(__file__ + ".asked")
plan = yaml.safe_load(path.read_text())
if before.exists():
    plan["tickets"] = [{**plan["tickets"][0], "blocked_by": []}]
else:
    plan["tickets"][0]["blocked_by"] = [plan["tickets"][1]["id"]]
    plan["tickets"][1]["blocked_by"] = [plan["tickets"][0]["id"]]
before.touch()
path.write_text(yaml.safe_dump(plan))
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = small_place(tmp_path)
    (tmp_path / "agent" / "agent.py").write_text(AGENT)
    config = place.repository / "codeswarm.toml"
    config.write_text(config.read_text() + '\n[pipeline]\ndefault = "single"\n')
    place.git("commit", "--quiet", "--all", "--message", "One phase")
    return place


def planned(place: Place, *words: str) -> list[str]:
    return [*words, "--agent", agent_of(place), "--sandbox", KIND]


def landed(place: Place) -> set[str]:
    return {
        path.removeprefix("mod_")
        for path in place.git("ls-tree", "--name-only", latest(place)).split()
        if "mod_" in path
    }


def latest(place: Place) -> str:
    return "codeswarm/" + place.run("--json", "status").json["session"]["id"]


def test_a_plan_is_edited_on_the_terminal_until_it_can_be_built(place: Place) -> None:
    editor = place.root / "editor"
    editor.write_text(EDITOR)
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    place.environment["EDITOR"] = str(editor)
    with Terminal(place, *planned(place, "run", "one thing\ntwo things"), timeout_s=120) as terminal:
        terminal.until("two: Make two")
        terminal.until("approve / edit / reject / later [later]? ")
        terminal.type("edit\n")
        terminal.until("cycle: one → two → one")
        terminal.until("edit again / later [later]? ")
        terminal.type("edit again\n")
        terminal.until("1 of 1 ticket landed")
        terminal.until("answer of 1 tickets")
        terminal.until("save to main?")
        terminal.type("no\n")
        assert terminal.end() == 0
    assert landed(place) == {"one.py"}


def test_a_plan_that_was_edited_outlives_its_mistakes_and_a_file_can_be_approved(place: Place) -> None:
    editor = place.root / "editor"
    editor.write_text(EDITOR)
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    place.environment["EDITOR"] = str(editor)
    assert place.run(*planned(place, "run", "one thing\ntwo things"), "--approve", "plan").code == 3
    first = place.run("approve", "a1", "--edit")
    assert (first.code, "cycle: one → two → one" in first.err) == (2, True), first.err
    (kept,) = (place.data / "edited").iterdir()
    assert first.err.endswith(f"what you wrote is kept: {kept}\ndo: codeswarm approve a1 --edit --from {kept}\n")
    as_it_is = place.run("approve", "--from", str(kept))
    assert (as_it_is.code, kept.exists()) == (2, True), "the mistake still stands in it"
    assert place.run("approve", "a1", "--edit", "--from", str(kept)).code == 0
    assert not kept.exists()
    accepted = [event["data"] for event in timeline(place) if event["kind"] == "PlanAccepted"]
    assert len(accepted) == 1, accepted
    told = place.run("ticket", "export", "plan.yaml").out
    written = yaml.safe_load((place.repository / "plan.yaml").read_text())["tickets"]
    assert (len(written), told.split(" of ")[0]) == (1, "1 ticket"), "planners' tickets are not written, nor counted"


def test_a_plan_alone_is_shown_and_kept_and_nothing_is_built(place: Place) -> None:
    out = place.root / "plan.yaml"
    done = place.run(*planned(place, "--json", "plan", "one thing\ntwo things"), "--out", str(out))
    assert done.code == 0, done.err
    assert (done.json["waves"], done.json["goal"]) == ([["one", "two"]], "one thing\ntwo things")
    assert yaml.safe_load(out.read_text())["tickets"] == done.json["tickets"]
    built = place.run(*planned(place, "--json", "run", "--tickets", str(out), "--dry-run"))
    assert built.json["waves"] == [["one", "two"]], "what was written can be built"
    assert place.git("branch", "--list", "codeswarm/*") == ""


def test_a_rejected_plan_is_made_anew_from_the_reason_and_more_is_delegated(place: Place) -> None:
    assert place.run(*planned(place, "run", "one thing"), "--approve", "plan").code == 3
    assert place.run("reject", "--why", "other thing").code == 0
    assert place.run("resume").code == 3
    plans = [e["data"] for e in timeline(place) if e["kind"] == "PlanProposed"]
    assert [[ticket["id"] for ticket in plan["tickets"]] for plan in plans] == [["one"], ["other"]]
    assert place.run("delegate", "more of it").code == 2, "there is no plan yet that could be added to"
    assert place.run("approve").code == 0
    assert place.run("resume").code == 0
    assert place.run("delegate", "third thing").code == 0
    assert place.run("resume").code == 3
    assert place.run("approve").code == 0
    done = place.run("resume")
    assert done.code == 0, done.err
    assert landed(place) == {"other.py", "third.py"}
    assert place.run("ledger", "verify").code == 0


def test_what_an_agent_proposes_is_judged_by_the_planner_and_built(place: Place) -> None:
    done = place.run(*planned(place, "run", "proposer thing"))
    assert done.code == 0, done.err
    assert landed(place) == {"proposer.py", "proposed.py"}


def test_tickets_that_share_an_interface_are_told_what_was_agreed(place: Place) -> None:
    done = place.run(*planned(place, "run", "one shared\ntwo shared"))
    assert done.code == 0, done.err
    for name in ("one", "two"):
        prompt = place.git("show", f"{latest(place)}:mod_{name}.py")
        assert "Agreed with the other tickets about names (for one, two; from the planner)" in prompt
        assert "agreement of 2 tickets" in prompt
    assert [e["data"]["ticket"] for e in timeline(place) if e["kind"] == "AttemptLeased"][2] == "agreement"


def test_a_specification_can_be_piped_in_and_nothing_at_all_is_a_mistake(place: Place) -> None:
    dry = place.run(*planned(place, "--json", "run", "--spec", "-", "--dry-run"), stdin="# One\n\nthing\n")
    assert (dry.code, dry.json["planner"]) == (0, True)
    for words in (
        ["run"],
        ["run", "--spec", "-"],
        ["run", "--spec", "nowhere.md"],
        ["run", "--spec", "-", "--tickets", "-"],
    ):
        wrong = place.run(*words)
        assert wrong.code == 2
        assert wrong.err.count("\n") == 3, wrong.err


def timeline(place: Place) -> list[dict[str, object]]:
    return [json.loads(line) for line in place.run("--json", "timeline").out.splitlines()]
