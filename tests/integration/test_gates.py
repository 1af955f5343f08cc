"""Gates that misbehave: they hang, flood, fork, can't run; and what a red one does to a base, a phase, a contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codeswarm.ledger.artifacts import Artifacts
from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import left_behind
from tests.support.runs import Finished, Place
from tests.support.small_swarm import LIBRARY, agent_of, small_place, ticket

PROBE = probe()
KIND = "bubblewrap" if PROBE.works else "none"


def place_with_gate(root: Path, gate: str, more: str = "") -> Place:
    config = f"[gates]\nfast = {json.dumps(gate)}\n{more}"
    return small_place(root, {**LIBRARY, "codeswarm.toml": config})


def run(place: Place, *words: str, tickets: list[dict[str, Any]] | None = None) -> Finished:
    path = place.tickets(tickets or [ticket("a", pipeline="single")])
    return place.run("--json", "run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, *words)


def kinds(done: Finished) -> list[str]:
    return [event["kind"] for event in done.lines() if "kind" in event]


def test_a_red_base_stops_with_its_tail_and_exit_2(tmp_path: Path) -> None:
    place = place_with_gate(tmp_path, "echo something is broken; exit 1")
    done = run(place)
    assert done.code == 2
    assert kinds(done)[-1] == "SessionFinalized"
    finished = next(event for event in done.lines() if event["kind"] == "GateFinished")
    assert finished["data"]["runs"][0]["tail"] == "something is broken"
    text = place.run(
        "run", "--tickets", str(place.root / "tickets.yaml"), "--agent", agent_of(place), "--sandbox", KIND
    )
    assert (text.code, "something is broken" in text.out + text.err) == (2, True)


def test_a_red_base_may_be_allowed_and_then_only_new_failures_count(tmp_path: Path) -> None:
    files = {**LIBRARY, "tests/test_old.py": "def test_old():\n    assert False\n"}
    files["codeswarm.toml"] = '[gates]\nfast = "python -m pytest -q -p no:cacheprovider"\n'
    place = small_place(tmp_path, files)
    assert run(place).code == 2
    done = run(place, "--allow-red-base", tickets=[ticket("a"), ticket("b", "a", pipeline="single")])
    assert done.code == 0, kinds(done)
    landed = [event["data"] for event in done.lines() if event["kind"] == "TicketLanded"]
    assert [event["ticket"] for event in landed] == ["a", "b"]
    receipts = [r for e in done.lines() if e["kind"] == "GateFinished" for r in e["data"]["receipts"]]
    assert receipts[0]["outcome"] == "waived"
    assert receipts[0]["known_failing"] == ["tests/test_old.py::test_old"]
    assert receipts[0]["by"]


def test_a_gate_that_hangs_is_ended_and_red(tmp_path: Path) -> None:
    gate = "[ -e mod_a.py ] || exit 0; trap '' TERM; (setsid sleep 1000 &); sleep 1000"
    place = place_with_gate(tmp_path, gate, "timeout_s = 1\n[policy]\nmax_attempts = 1\n")
    done = run(place)
    assert done.code == 1
    failed = next(event["data"] for event in done.lines() if event["kind"] == "AttemptFailed")
    assert "did not end within 1 s" in failed["failure"]["message"]
    assert left_behind(place.root) == []


def test_a_gate_that_floods_and_forks_is_only_a_gate(tmp_path: Path) -> None:
    forks = "for i in 1 2 3 4 5 6 7 8; do (sleep 1000 &) ; done"
    gate = f"{forks}; head -c 60000000 /dev/zero | tr '\\0' 'x'; echo; echo last words"
    place = place_with_gate(tmp_path, gate)
    done = run(place)
    assert done.code == 0, kinds(done)
    run_ = next(event["data"]["runs"][0] for event in done.lines() if event["kind"] == "GateFinished")
    assert run_["tail"].endswith("last words")
    log = Artifacts(place.data / "artifacts").get(run_["log"])
    assert log is not None
    assert len(log) < 9 << 20
    assert b"bytes of output left out" in log
    assert left_behind(place.root) == []


def test_a_gate_that_cant_run_is_tried_again_and_never_red(tmp_path: Path) -> None:
    # The first three tries of each kind of gate find no token in the (kept) HOME of nobody: exit 75 until time passes.
    gate = "[ $(( $(date +%s%N) / 400000000 % 2 )) -eq 0 ] || exit 75"
    place = place_with_gate(tmp_path, gate)
    done = run(place)
    assert done.code == 0, kinds(done)
    assert "LandingBounced" not in kinds(done)
    charged = [e for e in done.lines() if e["kind"] == "AttemptFailed" and e["data"]["charged"]]
    assert charged == []


def test_gates_know_what_they_judge_and_have_no_network(tmp_path: Path) -> None:
    gate = (
        "env | grep ^CODESWARM_ | sort; git log -1 --format=%s; pwd; "
        "python -c 'import socket; socket.create_connection((\"127.0.0.1\", 1))' 2>&1 | tail -1; "
        "ls /sys/class/net 2>/dev/null; cat /proc/net/dev | wc -l"
    )
    place = place_with_gate(tmp_path, gate)
    done = run(place)
    receipts = [e["data"] for e in done.lines() if e["kind"] == "AttemptSucceeded"]
    tail = receipts[0]["report"]["gate_runs"][0]["tail"]
    session = done.lines()[0]["session"]
    for line in (f"CODESWARM_SESSION={session}", "CODESWARM_TICKET=a", "CODESWARM_CHANGED_FILES=mod_a.py", "Add a"):
        assert line in tail.splitlines()
    head, base = (next(w for w in tail.splitlines() if w.startswith(f"CODESWARM_{n}=")) for n in ("HEAD", "BASE"))
    assert head != base
    assert len(head.partition("=")[2]) == len(base.partition("=")[2]) == 40


@pytest.mark.parametrize("outcome", ["fails", "passes"])
def test_a_contract_must_fail_before_its_ticket_is_built(tmp_path: Path, outcome: str) -> None:
    files = {**LIBRARY}
    files["codeswarm.toml"] = (
        '[gates]\nfast = "python -m pytest -q -p no:cacheprovider"\n'
        'contract = "python -m pytest -q -p no:cacheprovider {files} --junitxml {report}"\n'
        "[policy]\nmax_attempts = 2\n"
    )
    place = small_place(tmp_path, files)
    agent = place.root / "agent" / "agent.py"
    if outcome == "passes":
        agent.write_text(agent.read_text().replace("import mod_{name}\\n\\n    assert mod_{name}", "pass  # {name}"))
        agent.write_text(agent.read_text().replace(".value() == {ticket!r}", ""))
    done = run(place, tickets=[ticket("a")])
    failures = [e["data"]["failure"]["failure_class"] for e in done.lines() if e["kind"] == "AttemptFailed"]
    if outcome == "fails":
        assert (done.code, failures) == (0, []), kinds(done)
    else:
        assert (done.code, failures) == (1, ["contract_passes"] * 2)


def test_an_implementer_cant_soften_the_contract(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    agent = place.root / "agent" / "agent.py"
    text = agent.read_text().replace(
        'elif role == "implementer":\n',
        'elif role == "implementer":\n    pathlib.Path(f"tests/test_{name}.py").write_text("def test_x(): pass\\n")\n',
    )
    agent.write_text(text)
    done = run(place, tickets=[ticket("a")])
    assert done.code == 0, kinds(done)
    implemented = [e["data"]["report"]["work"] for e in done.lines() if e["kind"] == "AttemptSucceeded"][1]
    assert implemented["restored"] == ["tests/test_a.py"]
    assert "value() == 'a'" in place.git("show", f"codeswarm/{done.lines()[0]['session']}:tests/test_a.py")


def test_without_a_gate_nothing_lands_unless_a_person_says_so(tmp_path: Path) -> None:
    place = small_place(tmp_path, {"lib.py": LIBRARY["lib.py"]})
    refused = run(place)
    assert refused.code == 2
    assert "no gate" in refused.lines()[0]["error"]["what"]
    done = run(place, "--no-gate")
    assert done.code == 0, kinds(done)
    waivers = [r for e in done.lines() if e["kind"] == "ReceiptsRecorded" for r in e["data"]["receipts"]]
    assert waivers[0]["outcome"] == "waived"
    assert "@" in waivers[0]["by"]


TWO_FILES = """
import os, pathlib, sys
sys.stdin.read()
first = os.environ["CODESWARM_ATTEMPT"] == "1"
pathlib.Path("a.txt").write_text("BAD" if first else "good")
if first:
    pathlib.Path("b.txt").write_text("BAD")
"""


def test_a_gate_is_told_all_that_a_ticket_changes_not_only_what_its_last_attempt_did(tmp_path: Path) -> None:
    place = place_with_gate(tmp_path, "for file in $CODESWARM_CHANGED_FILES; do ! grep -q BAD $file || exit 1; done")
    (tmp_path / "two.py").write_text(TWO_FILES)
    tickets = place.tickets([ticket("a", pipeline="single")])
    words = ["--tickets", str(tickets), "--agent", f"command:python {tmp_path / 'two.py'}", "--sandbox", KIND]
    done = place.run("--json", "run", *words)
    assert done.code != 0
    assert "TicketLanded" not in kinds(done)
    failed = [event["data"]["failure"]["failure_class"] for event in done.lines() if event["kind"] == "AttemptFailed"]
    assert failed == ["gate_red"] * 3, "b.txt is bad still, though only the first attempt touched it"


def test_a_phase_that_is_only_a_gate_and_can_not_be_run_ends_on_hold(tmp_path: Path) -> None:
    full = 'full = "exit 75"\n[policy]\nmax_interruptions = 2\n'
    place = place_with_gate(tmp_path, "true", full)
    done = run(place, tickets=[ticket("a", pipeline="plan-code-verify")])
    held = [event["data"] for event in done.lines() if event["kind"] == "TicketHeld"]
    assert (done.code != 0, [event["ticket"] for event in held]) == (True, ["a"]), done.err
    assert "interrupted 2 times in phase verify" in held[0]["reason"]


def test_a_set_up_longer_than_a_lease_keeps_it(tmp_path: Path) -> None:
    more = '[workspace]\nsetup = "sleep 3"\n'
    place = place_with_gate(tmp_path, "true", more)
    place.environment |= {"CODESWARM_SWARM_LEASE_TTL_S": "1.5", "CODESWARM_WORKSPACE_KIND": "checkout"}
    done = place.run(
        "--json",
        "run",
        *("--tickets", str(place.tickets([ticket("a", pipeline="single")])), "--agent", agent_of(place)),
        *("--sandbox", "none"),
    )
    assert done.code == 0, kinds(done)
    assert "AttemptLost" not in kinds(done)


MANY_FILES = """
import pathlib, sys
sys.stdin.read()
for number in range(1500):
    pathlib.Path(f"a file with a name of some length, so that all of them are long {number:04}.txt").touch()
open(b"bytes \\xff", "w").close()
"""


def test_a_gate_about_more_files_than_an_argument_can_name_is_run(tmp_path: Path) -> None:
    place = place_with_gate(
        tmp_path,
        'set -- {files}; echo $# files; for file; do test -e "$file" || exit 1; done; test $# -eq 0 -o $# -eq 1501',
    )
    (tmp_path / "many.py").write_text(MANY_FILES)
    tickets = place.tickets([ticket("a", pipeline="single")])
    words = ["--tickets", str(tickets), "--agent", f"command:python {tmp_path / 'many.py'}", "--sandbox", KIND]
    done = place.run("--json", "run", *words)
    assert done.code == 0, done.err
    assert [event["data"]["ticket"] for event in done.lines() if event["kind"] == "TicketLanded"] == ["a"]
