from __future__ import annotations

from codeswarm.report.lineage import lineage_of
from codeswarm.report.plan import plan_of
from tests.support.sessions import Swarm, spec
from tests.support.stories import history_of, morning


def test_each_commit_of_integration_is_told_with_the_attempt_that_made_it() -> None:
    swarm = morning()
    first, second = lineage_of(history_of(swarm))
    base, a, b = swarm.session.base, swarm.ticket("a").landed, swarm.ticket("b").landed
    assert [(x["parent"], x["commit"], x["ticket"]) for x in (first, second)] == [(base, a, "a"), (a, b, "b")]
    assert (first["epoch"], first["phase"], first["agent"]) == (2, "implementation", "command:agent")
    assert (second["epoch"], second["attempt"]) == (4, 2), "what was made anew after the review"
    assert first["receipts"] == list(swarm.session.landings[first["landing"]].receipts)
    assert first["checkpoint"] == ""


def test_a_commit_names_the_first_checkpoint_that_holds_it() -> None:
    swarm = Swarm("a")
    swarm.landed("a")
    swarm.saved("checkpoint/2026-11-20-1")
    assert [x["checkpoint"] for x in lineage_of(history_of(swarm))] == ["checkpoint/2026-11-20-1"]


def test_the_plan_has_its_waves_its_longest_road_and_a_bound_on_its_time() -> None:
    plan = plan_of(Swarm(spec("a", estimate_s=60), spec("b", "a", estimate_s=30), spec("c", estimate_s=10)).session)
    assert plan["waves"] == [["a", "c"], ["b"]]
    assert plan["critical_path"] == ["a", "b"]
    assert plan["estimate"] == {"work_s": 100, "critical_path_s": 90, "workers": 4, "lower_bound_s": 90}
