"""Agents that will never come to an end by themselves: each must be found, within the bound of its sickness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from codeswarm.domain.results import FailureClass
from tests.support.healthy_lives import HOUR, MINUTE, delegates, thinks_in_silence
from tests.support.virtual_agent import World

F = FailureClass


@dataclass(frozen=True)
class Sickness:
    """`within_s`: what the documentation states, by the settings as they are shipped."""

    fall: Callable[[World], Awaitable[None]]
    within_s: float
    failure: FailureClass = F.HUNG


async def hangs_before_headers(world: World) -> None:
    world.falls_sick()


async def finds_its_socket_dead(world: World) -> None:
    world.machine.suspend(8 * HOUR)
    world.falls_sick()


async def deadlocks(world: World) -> None:
    await world.says("command_started", "pytest")
    pytest = world.starts("pytest")
    world.starts("python", parent=pytest)
    world.falls_sick()


async def waits_for_a_disk_that_is_gone(world: World) -> None:
    await world.says("command_started", "ls /mnt")
    world.becomes(world.starts("ls"), state="D")
    world.falls_sick()


async def is_stopped(world: World) -> None:
    world.becomes(world.agent, state="T")
    world.falls_sick()


async def asks_a_terminal_that_it_has_not(world: World) -> None:
    """A command that reads from a terminal in the background is stopped for it, and its parents wait."""
    await world.says("command_started", "ssh host")
    world.becomes(world.starts("ssh", parent=world.starts("sh")), state="T")
    world.falls_sick()


async def is_a_tree_of_zombies(world: World) -> None:
    child = world.starts("sh")
    for pid in (child, world.agent):
        world.becomes(pid, state="Z", load=0.0)
    world.falls_sick()


async def waits_for_a_child_that_is_dead(world: World) -> None:
    """It missed the news of its child's end."""
    await world.says("command_started", "make")
    world.becomes(world.starts("make"), state="Z")
    world.falls_sick()


async def was_killed_unheard(world: World) -> None:
    world.ends(world.agent)
    world.falls_sick()


async def loops(world: World) -> None:
    await world.says("command_started", "python loop.py")
    world.starts("python", load=1.0)
    world.falls_sick()


async def loops_by_itself(world: World) -> None:
    world.becomes(world.agent, load=1.0)
    world.falls_sick()


async def polls_for_ever(world: World) -> None:
    await world.says("command_started", "while true; do sleep 30; done")
    shell = world.starts("sh")
    world.falls_sick()
    while True:
        sleep = world.starts("sleep", parent=shell)
        await world.passes(30)
        world.ends(sleep)


async def is_kept_alive_for_nothing(world: World) -> None:
    """The provider's keep-alives come in, and nothing else ever."""
    world.received = 1
    world.falls_sick()
    while True:
        await world.passes(20)
        world.received += 20


async def thrashes_for_ever(world: World) -> None:
    world.becomes(world.agent, load=0.001, faults=40.0)
    world.falls_sick()


async def outlives_its_rate_limit(world: World) -> None:
    wait = world.draw.uniform(1, 5) * HOUR
    await world.says("rate_limit", retry_delay_ms=wait * 1000)
    await world.passes(wait)
    world.falls_sick()


async def never_takes_up_an_answer(world: World) -> None:
    world.vitals.asked(world.clock.monotonic())
    await world.passes(world.draw.uniform(1, 6) * HOUR)
    world.vitals.answered(world.clock.monotonic())
    world.falls_sick()


async def talks_for_ever(world: World) -> None:
    """That is no hang: the limit for the whole attempt ends it, and its budget."""
    world.falls_sick()
    while True:
        await world.says("output", "retrying …")
        await world.passes(60)


THINKING, COMMAND, BUSY, STOPPED, GONE, SPAWNING = 1800.0, 3600.0, 5400.0, 300.0, 60.0, 600.0
"""The bounds, written down once more: a changed default must show here, and in the documentation."""
PROBED = 2 * 15.0
"""A look may come so late, and its table may be so old."""

SICKNESSES: tuple[Sickness, ...] = (
    Sickness(hangs_before_headers, THINKING),
    Sickness(finds_its_socket_dead, THINKING),
    Sickness(deadlocks, COMMAND),
    Sickness(waits_for_a_disk_that_is_gone, COMMAND),
    Sickness(is_stopped, STOPPED),
    Sickness(asks_a_terminal_that_it_has_not, COMMAND),
    Sickness(is_a_tree_of_zombies, GONE, F.LOST),
    Sickness(waits_for_a_child_that_is_dead, THINKING),
    Sickness(was_killed_unheard, GONE, F.LOST),
    Sickness(loops, BUSY),
    Sickness(loops_by_itself, BUSY),
    Sickness(polls_for_ever, BUSY),
    Sickness(is_kept_alive_for_nothing, BUSY),
    Sickness(thrashes_for_ever, BUSY),
    Sickness(outlives_its_rate_limit, THINKING),
    Sickness(never_takes_up_an_answer, THINKING),
    Sickness(talks_for_ever, 7200.0, F.TIMED_OUT),
)


def sick_life(sickness: Sickness) -> Callable[[World], Awaitable[None]]:
    """It is well at first, and slow; then it falls sick."""

    async def live(world: World) -> None:
        await world.begins(walls=world.draw.random() < 0.7)
        await world.says("output", "[system init]")
        if sickness.failure is not F.TIMED_OUT:
            for part in world.draw.sample((thinks_in_silence, delegates), world.draw.randint(0, 1)):
                await part(world)
        await world.says("assistant", "now then")
        await world.passes(world.draw.uniform(0, 2) * MINUTE)
        await world.says("assistant", "so")
        await sickness.fall(world)
        await world.for_ever()

    return live


async def never_comes_up(world: World) -> None:
    world.falls_sick()
    await world.for_ever()


async def hangs_from_the_start(world: World) -> None:
    """Up, and not a word ever: its model does not answer, or it asks for a login that nobody gives."""
    await world.begins()
    world.falls_sick()
    await world.for_ever()


async def is_a_silent_deadlock(world: World) -> None:
    """A program that is no coding CLI, whose child never returns."""
    await world.begins()
    world.starts("python")
    world.falls_sick()
    await world.for_ever()


async def is_a_stopped_program(world: World) -> None:
    """Run by a shell, as commands are that are agents."""
    await world.begins()
    world.becomes(world.agent, name="sh")
    world.becomes(world.starts("python"), state="T")
    world.falls_sick()
    await world.for_ever()


WHOLE: tuple[Sickness, ...] = (
    Sickness(is_a_stopped_program, STOPPED),
    Sickness(never_comes_up, SPAWNING),
    Sickness(hangs_from_the_start, THINKING),
    Sickness(is_a_silent_deadlock, COMMAND),
)
