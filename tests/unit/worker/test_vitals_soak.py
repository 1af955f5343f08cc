"""The soak: 500 slow but healthy agents, of whom none may be ended, and 500 sick ones, who must all be found in time.

Years of virtual time under the real watch; a few seconds of ours. The mutants at the end show that it bites.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from codeswarm.agents.base import Activity
from codeswarm.awake import AwakeClock
from codeswarm.domain.settings import Leasing
from codeswarm.worker import processes, vitals
from codeswarm.worker.processes import Tree
from codeswarm.worker.vitals import Vitals
from tests.support import healthy_lives, sick_lives
from tests.support.healthy_lives import Part, life_of
from tests.support.sick_lives import PROBED, Sickness, sick_life
from tests.support.virtual_agent import Ended, play

HEALTHY = (*map(life_of, healthy_lives.PARTS), *healthy_lives.WHOLE)
NAMES = [part.__name__ for part in (*healthy_lives.PARTS, *healthy_lives.WHOLE)]
SICK = tuple((sickness, sick_life(sickness)) for sickness in sick_lives.SICKNESSES) + tuple(
    (sickness, sickness.fall) for sickness in sick_lives.WHOLE
)
EACH_HEALTHY = -(-500 // len(HEALTHY))
EACH_SICK = -(-500 // len(SICK))
SHIPPED = Leasing()


def test_there_are_five_hundred_of_each() -> None:
    assert min(EACH_HEALTHY * len(HEALTHY), EACH_SICK * len(SICK)) >= 500


async def lived(life: Part, seed: int, leasing: Leasing = SHIPPED) -> Ended:
    return await play(life, seed, leasing, keep=life is healthy_lives.is_held_with_its_worker)


@pytest.mark.parametrize("life", HEALTHY, ids=NAMES)
async def test_no_agent_that_is_only_slow_is_ended(life: Part) -> None:
    ended = [(seed, (await lived(life, seed)).stop) for seed in range(EACH_HEALTHY)]
    assert [(seed, stop) for seed, stop in ended if stop is not None] == []


@pytest.mark.parametrize(("sickness", "life"), SICK, ids=[sickness.fall.__name__ for sickness, _ in SICK])
async def test_whoever_will_never_end_is_found_in_time(sickness: Sickness, life: Part) -> None:
    ended = [(seed, await lived(life, seed)) for seed in range(EACH_SICK)]
    assert [(seed, end) for seed, end in ended if not found_in_time(sickness, end)] == []


def found_in_time(sickness: Sickness, ended: Ended) -> bool:
    """And for what it is, and no sooner than it fell sick."""
    if ended.stop is None or ended.onset is None or ended.stop.failure_class is not sickness.failure:
        return False
    return 0 <= ended.at - ended.onset <= sickness.within_s + PROBED


# ── the soak bites ──

Harm = Callable[[pytest.MonkeyPatch], None]


def deaf(name: str) -> Harm:
    """The vitals are not told of something."""
    return lambda patch: patch.setattr(Vitals, name, lambda self, *_: self._settle())


def blind(name: str, value: object, module: ModuleType = vitals) -> Harm:
    return lambda patch: patch.setattr(module, name, value)


def nothing(patch: pytest.MonkeyPatch) -> None:
    """The limits alone are the harm."""


def time_asleep_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AwakeClock, "monotonic", lambda clock: clock._clock.boottime())


def waiting_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Vitals, "rested_s", lambda self, now: 0.0)


def newcomers_count_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tree, "living", frozenset())


def bytes_count_for_nothing(patch: pytest.MonkeyPatch) -> None:
    looks = Vitals.look
    patch.setattr(Vitals, "look", lambda self, tree, now, received=None: looks(self, tree, now))


def all_that_is_stopped_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tree, "stopped", property(lambda tree: "T" in {process.state for process in tree.below}))


def ends_name_nothing(patch: pytest.MonkeyPatch) -> None:
    hears = Vitals.heard

    def hear(self: Vitals, activity: Activity, now: float, now_ms: int) -> None:
        unnamed = {key: value for key, value in activity.data.items() if key != "id"}
        hears(self, replace(activity, data=unnamed), now, now_ms)

    patch.setattr(Vitals, "heard", hear)


KILLERS: dict[str, tuple[str, Harm, Leasing]] = {
    "thoughts may take ten minutes": ("thinks_in_silence", nothing, Leasing(silence_timeout_s=600)),
    "commands may take 25 minutes": ("runs_one_test_command", nothing, Leasing(command_timeout_s=1500)),
    "work may take 45 minutes": ("computes", nothing, Leasing(busy_timeout_s=2700, command_timeout_s=2700)),
    "a moment is a minute": ("is_stopped_for_a_moment", nothing, Leasing(stopped_timeout_s=60)),
    "nobody comes up slowly": ("begins_slowly", nothing, Leasing(spawning_timeout_s=60)),
    "last words are cut short": ("ends_slowly", blind("GONE_S", 5.0), SHIPPED),
    "the processor is not looked at": ("computes", blind("WORKS_ABOVE", 2.0), SHIPPED),
    "swap is not looked at": ("thrashes", blind("FAULTS_PER_S", 1e6), SHIPPED),
    "newcomers are not looked at": ("polls", newcomers_count_for_nothing, SHIPPED),
    "bytes are not looked at": ("streams_without_a_word", bytes_count_for_nothing, SHIPPED),
    "files are not looked at": ("only_writes", deaf("changed"), SHIPPED),
    "questions are not heard": ("waits_for_a_person", deaf("asked"), SHIPPED),
    "rate limits are not heard": ("is_rate_limited", blind("wait_s", lambda *_: None), SHIPPED),
    "a loop without a process is not known": ("has_no_process", deaf("started"), SHIPPED),
    "any end is that of the command": ("edits_beside_a_command", ends_name_nothing, SHIPPED),
    "whatever is stopped counts": ("leaves_something_stopped", all_that_is_stopped_counts, SHIPPED),
    "waiting is one's own time": ("waits_for_a_person", waiting_counts, SHIPPED),
    "time asleep is one's own": ("is_asleep", time_asleep_counts, SHIPPED),
}


@pytest.mark.parametrize("harm", KILLERS)
async def test_the_soak_sees_a_watch_that_kills(harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, do_harm, leasing = KILLERS[harm]
    do_harm(monkeypatch)
    life = HEALTHY[NAMES.index(name)]
    ended = [(await lived(life, seed, leasing)).stop for seed in range(EACH_HEALTHY)]
    assert any(stop is not None for stop in ended)


SLEEPERS: dict[str, tuple[str, Harm, Leasing]] = {
    "thoughts may take for ever": ("hangs_before_headers", nothing, Leasing(silence_timeout_s=1e6)),
    "commands may take for ever": ("deadlocks", nothing, Leasing(command_timeout_s=1e6)),
    "work may take for ever": ("loops", nothing, Leasing(busy_timeout_s=1e6)),
    "who is stopped is left alone": ("is_stopped", nothing, Leasing(stopped_timeout_s=1e6)),
    "coming up may take for ever": ("never_comes_up", nothing, Leasing(spawning_timeout_s=1e6)),
    "ends are not looked at": ("was_killed_unheard", blind("GONE_S", 1e6), SHIPPED),
    "the dead are taken for alive": ("is_a_tree_of_zombies", blind("GONE", frozenset(), processes), SHIPPED),
    "dead children are company": ("waits_for_a_child_that_is_dead", blind("GONE", frozenset(), processes), SHIPPED),
    "a timer is work": ("hangs_before_headers", blind("WORKS_ABOVE", 0.001), SHIPPED),
    "answers are not heard": ("never_takes_up_an_answer", deaf("answered"), SHIPPED),
}


@pytest.mark.parametrize("harm", SLEEPERS)
async def test_the_soak_sees_a_watch_that_sleeps(harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, do_harm, leasing = SLEEPERS[harm]
    do_harm(monkeypatch)
    sickness, life = next((sickness, life) for sickness, life in SICK if sickness.fall.__name__ == name)
    assert not all([found_in_time(sickness, await lived(life, seed, leasing)) for seed in range(3)])
