from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.scheduling import LOOK, ReadyQueue, may_overlap, score_key
from codeswarm.domain.settings import Bounds, Policy
from codeswarm.domain.states import SessionStatus, SuspendReason
from tests.support.sessions import AGENTS, VERIFIERS, Swarm, settings, spec

IMPLEMENTER = frozenset({Role.IMPLEMENTER})


def deadline(hour: int) -> datetime:
    return datetime(2026, 12, 1, hour, tzinfo=UTC)


# ── the key ──


def test_priority_comes_first_then_the_deadline_then_the_road_then_age_then_the_plans_order() -> None:
    swarm = Swarm(
        spec("last-in-plan", priority=2, estimate_s=600),
        spec("low", priority=4, deadline=deadline(1), estimate_s=90_000),
        spec("long-road", priority=2, estimate_s=700),
        spec("later-deadline", priority=2, deadline=deadline(9), estimate_s=1),
        spec("first-deadline", priority=2, deadline=deadline(8), estimate_s=1),
        spec("urgent", priority=0, estimate_s=1),
        spec("z", priority=2, estimate_s=600),
    )
    order = ["urgent", "first-deadline", "later-deadline", "long-road", "last-in-plan", "z", "low"]
    assert swarm.claims() == order


def test_what_opens_the_longest_road_goes_first_not_what_is_longest_itself() -> None:
    swarm = Swarm(
        spec("long", estimate_s=1000), spec("opener", estimate_s=10), spec("behind", "opener", estimate_s=2000)
    )
    assert swarm.claims() == ["opener", "long"]


def test_of_equals_the_one_that_is_ready_for_longest_goes_first() -> None:
    swarm = Swarm("a", "b")
    swarm.begin("a")
    swarm.later(5)
    swarm.end("a", gates="red")
    assert swarm.claims(worker="other") == ["b", "a"], "a came back later than b became ready"


def test_age_grows_by_itself_and_nothing_is_sorted_anew() -> None:
    early, late = score_key(2, None, 10.0, 1000, 5), score_key(2, None, 10.0, 2000, 1)
    assert early < late
    assert score_key(1, None, 0.0, 9999, 9) < early


# ── what a worker may have ──


def test_roles_are_capped_and_a_cap_counts_what_is_under_way() -> None:
    swarm = Swarm("a", "b", "c", settings=settings(role_caps={"implementer": 2}))
    assert swarm.claims() == ["a", "b"]
    swarm.lose("a")
    assert swarm.claims() == ["a"]


def test_a_worker_gets_only_roles_that_it_asked_for() -> None:
    swarm = Swarm("a")
    assert swarm.claim(roles={Role.REVIEWER, Role.TEST_WRITER}) is None
    assert swarm.claim(roles=()) is None
    assert swarm.claim(roles=IMPLEMENTER) == "a"


def test_a_ticket_goes_to_a_worker_that_carries_all_of_its_labels() -> None:
    swarm = Swarm(spec("gpu", requires=("gpu", "cuda"), priority=0), spec("any"))
    assert swarm.claims(labels={"gpu"}) == ["any"]
    assert swarm.claim(labels={"gpu", "cuda", "big"}) == "gpu"


def test_a_worker_gets_only_work_for_agents_that_it_has() -> None:
    swarm = Swarm("a", settings=settings(roles={"*": ("claude:sonnet", "codex:x")}))
    assert swarm.claim(agents={"gemini"}) is None
    assert swarm.claim(agents={"claude", "codex"}) == "a"
    assert swarm.attempt("a").agent == "claude:sonnet"
    swarm.lose("a")
    assert swarm.claim(agents={"codex"}) == "a"
    assert swarm.attempt("a").agent == "codex:x", "a worker that lacks the first choice goes on with the next"


def test_a_role_without_any_agent_gives_no_lease() -> None:
    swarm = Swarm("a", settings=settings(roles={"reviewer": ("command:x",)}))
    assert swarm.claim() is None


def test_a_ticket_with_an_open_blocker_is_not_claimable_until_that_one_has_landed() -> None:
    swarm = Swarm("a", spec("b", "a"), spec("c", "a", "b"))
    assert swarm.statuses() == {"a": "ready", "b": "pending", "c": "pending"}
    assert swarm.claims(worker="w0") == ["a"]
    swarm.lose("a")
    swarm.landed("a")
    assert swarm.statuses() == {"a": "complete", "b": "ready", "c": "pending"}
    swarm.landed("b")
    assert swarm.claims() == ["c"]


# ── the finer look ──


def test_a_ticket_whose_files_are_being_worked_on_stands_behind_its_equals() -> None:
    swarm = Swarm(
        spec("a", files=("src/rows.py",)), spec("b", files=("src/*.py",)), spec("c", files=("docs/**",)), spec("d")
    )
    assert swarm.claims() == ["a", "c", "d", "b"]


def test_overlap_never_outranks_priority() -> None:
    swarm = Swarm(spec("a", files=("x",), priority=1), spec("b", files=("x",), priority=2), spec("c", priority=3))
    assert swarm.claims() == ["a", "b", "c"]


def test_among_equals_a_worker_gets_the_ticket_that_it_knows_already() -> None:
    swarm = Swarm("a", "b")
    swarm.begin("a", worker="w1")
    swarm.begin("b", worker="w2")
    for id_ in ("a", "b"):
        swarm.end(id_, gates="red")
    assert swarm.claim("w2") == "b"
    assert swarm.claim("w1") == "a"


def test_only_the_best_few_are_looked_at_finely() -> None:
    busy = spec("busy", files=("src/a.py",), priority=0)
    many = [spec(f"t{i:02}", files=("src/a.py",)) for i in range(LOOK)]
    swarm = Swarm(busy, *many, spec("free", files=("docs/b.md",)))
    assert swarm.claim() == "busy"
    assert swarm.claim() == "t00", "the one without overlap is beyond the best few"
    assert swarm.claim() == "free"


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        ("a.py", "a.py", True),
        ("a.py", "b.py", False),
        ("src/*.py", "src/a.py", True),
        ("src/**", "docs/**", False),
        ("src/a*", "src/b.py", False),
        ("**/x.py", "anything", True),
        ("src/[ab].py", "src/a.py", True),
        ("src", "src/a.py", False),
    ],
)
def test_globs_overlap_where_their_fixed_beginnings_agree(one: str, other: str, overlaps: bool) -> None:
    assert may_overlap((one,), (other,)) is overlaps
    assert may_overlap((other,), (one,)) is overlaps


# ── the queue itself ──


def test_a_ticket_that_backs_off_is_not_there_before_its_time_and_in_its_place_after() -> None:
    queue = ReadyQueue()
    lane = (Role.IMPLEMENTER, frozenset[str]())
    queue.add(TicketId("later"), lane, score_key(0, None, 0, 0, 0), 5000)
    queue.add(TicketId("now"), lane, score_key(2, None, 0, 0, 1), 0)
    assert list(queue.best(4999, IMPLEMENTER, None)) == ["now"]
    assert list(queue.best(5000, IMPLEMENTER, None)) == ["later", "now"]
    assert queue.next_due_ms(4999) == 5000
    assert queue.next_due_ms(5000) is None, "it is due, and waits for a worker alone"
    queue.discard(TicketId("later"))
    assert queue.next_due_ms(4999) is None
    queue.discard(TicketId("later"))
    assert len(queue) == 1


Entry = tuple[int, int, bool, int]
entries = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans(), st.sampled_from((0, 0, 10, 20))), max_size=30
)


@given(entries, st.integers(0, 30), st.randoms(use_true_random=False))
def test_the_queue_agrees_with_a_plain_sorted_list(rows: list[Entry], now_ms: int, dice: random.Random) -> None:
    queue = ReadyQueue()
    model: dict[TicketId, tuple[object, int, Role, frozenset[str]]] = {}
    for place, (priority, ready_ms, gpu, not_before_ms) in enumerate(rows):
        id_, key = TicketId(f"t{place}"), score_key(priority, None, 0.0, ready_ms, place)
        role = Role.REVIEWER if place % 3 == 0 else Role.IMPLEMENTER
        requires = frozenset({"gpu"}) if gpu else frozenset[str]()
        queue.add(id_, (role, requires), key, not_before_ms)
        model[id_] = (key, not_before_ms, role, requires)
    for id_ in list(model):
        if dice.random() < 0.3:
            queue.discard(id_)
            del model[id_]
    for roles in (IMPLEMENTER, frozenset(Role)):
        for labels in (None, frozenset[str](), frozenset({"gpu"})):
            expected = [
                id_
                for id_, (_, not_before_ms, role, requires) in sorted(model.items(), key=lambda item: item[1][0])  # type: ignore[arg-type, return-value]
                if not_before_ms <= now_ms and role in roles and (labels is None or requires <= labels)
            ]
            assert list(queue.best(now_ms, roles, labels)) == expected
    assert len(queue) == len(model)
    assert queue.next_due_ms(now_ms) == min((due for _, due, _, _ in model.values() if due > now_ms), default=None)


# ── when there is nothing to give ──


def test_a_retry_waits_for_its_time() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(backoff_base_s=10, backoff_jitter=0)))
    swarm.begin("a")
    swarm.end("a", failure="crashed")
    assert swarm.claim() is None
    swarm.later(9.9)
    assert swarm.claim() is None
    swarm.later(0.1)
    assert swarm.claim() == "a"


@pytest.mark.parametrize("status", ["draft", "suspended", "cancelled"])
def test_a_session_that_is_not_active_gives_no_leases(status: str) -> None:
    swarm = Swarm("a", base_gate=None if status == "draft" else "green")
    if status == "suspended":
        swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    elif status == "cancelled":
        swarm.do(cmd.CancelSession(by="ada"))
        swarm.refused(cmd.Claim(worker="w1", roles=AGENTS))
        return
    assert swarm.session.status == status
    assert swarm.claim(roles=AGENTS) is None


def test_a_worker_of_any_role_is_given_gates_before_tickets() -> None:
    swarm = Swarm("a", "b")
    swarm.phases("a")
    swarm.merge()
    assert swarm.claim() == "@landing-2"
    assert swarm.claim(roles=VERIFIERS) is None, "a gate is leased once"
    assert swarm.claim() == "b"


def test_the_target_stops_claims_and_lets_what_is_under_way_end() -> None:
    swarm = Swarm("a", "b", "c", settings=settings(policy=Policy(target=1)))
    swarm.begin("a")
    swarm.begin("b")
    swarm.end("a")
    swarm.merge()
    swarm.gate()
    swarm.land()
    assert swarm.claim() is None
    swarm.end("b")
    swarm.merge()
    swarm.gate()
    swarm.land()
    assert swarm.statuses() == {"a": "complete", "b": "complete", "c": "ready"}
    assert (swarm.session.status, swarm.session.review_reason) == (SessionStatus.AWAITING_REVIEW, "unsaved")
    assert swarm.session.detail == "the target of 1 landed is reached; 1 more could land"
    assert swarm.do(cmd.ResumeSession(by="ada", target=1)) == []
    swarm.do(cmd.ResumeSession(by="ada", target=3))
    assert swarm.claim() == "c", "a new target goes on from there"
