"""Agents that are slow, silent, idle or busy for long, and healthy: none of them may be ended.

Each kind draws its own lengths; together they stay within `policy.attempt_timeout_s` of time that is their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.support.virtual_agent import World

MINUTE, HOUR = 60.0, 3600.0
Part = Callable[[World], Awaitable[None]]


async def thinks_in_silence(world: World) -> None:
    """Ten minutes and more without a word, a byte or a use of the processor."""
    await world.passes(world.draw.uniform(10, 28) * MINUTE)
    await world.says("reasoning", "so that is it")


async def runs_one_test_command(world: World) -> None:
    """Twenty-five minutes and more, for long stretches without any use of the processor, and output only at its end."""
    await world.says("command_started", "pytest -q tests/slow", id="c1")
    test = world.starts("pytest", load=0.6)
    await world.passes(world.draw.uniform(0.2, 4) * MINUTE)
    world.becomes(test, load=0.0)
    await world.passes(world.draw.uniform(25, 50) * MINUTE)
    world.becomes(test, load=0.3)
    await world.passes(30)
    world.ends(test)
    await world.says("command_completed", "1 passed", id="c1")


async def builds(world: World) -> None:
    """Compilers come and go, and write where no snapshot looks; the output comes at the end."""
    await world.says("command_started", "make")
    make = world.starts("make")
    for _ in range(world.draw.randint(20, 60)):
        compiler = world.starts("cc1plus", parent=make, load=0.97)
        await world.passes(world.draw.uniform(5, 75))
        world.ends(compiler)
    world.ends(make)
    await world.says("command_completed", "built")


async def computes(world: World) -> None:
    """One process, one processor, one result at the end."""
    await world.says("command_started", "python simulate.py")
    one = world.starts("python", load=1.0)
    await world.passes(world.draw.uniform(30, 80) * MINUTE)
    world.ends(one)
    await world.says("command_completed", "42")


async def polls(world: World) -> None:
    """`until curl …; do sleep 20; done`: something new again and again, and hardly any use of the processor."""
    await world.says("command_started", "until curl -s localhost; do sleep 20; done")
    shell = world.starts("sh")
    for _ in range(world.draw.randint(100, 230)):
        sleep = world.starts("sleep", parent=shell)
        await world.passes(20)
        world.ends(sleep)
    world.ends(shell)
    await world.says("command_completed", "it is up")


async def waits_for_a_person(world: World) -> None:
    """A day, or longer."""
    world.vitals.asked(world.clock.monotonic())
    await world.passes(world.draw.choice((1, 5, 26)) * world.draw.uniform(0.9, 1.1) * HOUR)
    world.vitals.answered(world.clock.monotonic())
    await world.passes(world.draw.uniform(1, 25) * MINUTE)
    await world.says("assistant", "thank you")


async def is_rate_limited(world: World) -> None:
    """For hours, with a notice each time."""
    for _ in range(world.draw.randint(1, 3)):
        wait = world.draw.uniform(0.5, 5) * HOUR
        now_ms = world.machine.now_ms()
        if world.draw.random() < 0.5:
            info = {"status": "rejected", "resetsAt": now_ms / 1000 + wait}
            await world.says("rate_limit", rate_limit_info=info)
        else:
            await world.says("rate_limit", retry_delay_ms=wait * 1000)
        await world.passes(wait + world.draw.uniform(0, 10) * MINUTE)
    await world.says("assistant", "on with it")


async def thrashes(world: World) -> None:
    """Next to no processor, since each page must be read back from swap; a word now and then."""
    world.becomes(world.agent, load=0.003, faults=world.draw.uniform(3, 80))
    for _ in range(2):
        await world.passes(world.draw.uniform(15, 50) * MINUTE)
        await world.says("assistant", "still here")
    world.becomes(world.agent, load=0.004, faults=0.0)


async def is_asleep(world: World) -> None:
    """The laptop's lid is closed for eight hours, in the middle of a thought or of a command."""
    in_command = world.draw.random() < 0.5
    if in_command:
        await world.says("command_started", "npm test")
        test = world.starts("node")
    await world.passes(world.draw.uniform(1, 20) * MINUTE)
    world.machine.suspend(8 * HOUR)
    await world.passes(world.draw.uniform(0.1, 8) * MINUTE)
    if in_command:
        world.ends(test)
        await world.says("command_completed", "ok")
    await world.says("assistant", "good morning")


async def lives_through_clock_jumps(world: World) -> None:
    """A person or NTP sets the clock, by hours, there and back."""
    await world.says("rate_limit", retry_delay_ms=2 * HOUR * 1000)
    await world.passes(10 * MINUTE)
    world.machine.jump(world.draw.uniform(-30, 30) * HOUR)
    await world.passes(HOUR + 50 * MINUTE)
    await world.says("assistant", "on with it")
    await world.passes(10 * MINUTE)
    world.machine.jump(world.draw.uniform(-30, 30) * HOUR)
    await world.passes(15 * MINUTE)
    await world.says("assistant", "what time is it?")


async def streams_without_a_word(world: World) -> None:
    """Its model sends keep-alives, or thoughts that the CLI keeps to itself: only the proxy sees them."""
    world.received = 1000
    for _ in range(world.draw.randint(50, 140)):
        await world.passes(30)
        world.received += world.draw.randint(0, 1) * 70
    await world.says("assistant", "so")


async def only_writes(world: World) -> None:
    """It changes a file now and then, and says nothing."""
    for _ in range(3):
        await world.passes(world.draw.uniform(5, 25) * MINUTE)
        world.changes_a_file()
    await world.passes(MINUTE)


async def is_stopped_for_a_moment(world: World) -> None:
    """A debugger, or a person with Ctrl+Z."""
    world.becomes(world.agent, state="T")
    await world.passes(world.draw.uniform(0.5, 4.5) * MINUTE)
    world.becomes(world.agent, state="S")
    await world.says("assistant", "where was I")


async def has_children_that_stay(world: World) -> None:
    """A server in the background, a zombie that nobody collects; then it thinks, beside both."""
    await world.says("command_started", "npm run dev &", id="bg")
    world.starts("node", load=0.01)
    dead = world.starts("sh")
    world.becomes(dead, state="Z")
    await world.says("command_completed", "", id="bg")
    await world.passes(world.draw.uniform(15, 28) * MINUTE)
    await world.says("assistant", "the server runs")


async def leaves_something_stopped(world: World) -> None:
    """A program in the background was stopped for reading from a terminal that is none; nobody waits for it."""
    await world.says("command_started", "ssh host &", id="1")
    world.becomes(world.starts("ssh", parent=world.starts("bash")), state="T")
    await world.says("command_completed", "", id="1")
    await world.says("command_started", "Task", id="2")
    await world.passes(world.draw.uniform(10, 28) * MINUTE)
    await world.says("command_completed", "", id="2")
    await world.passes(world.draw.uniform(10, 28) * MINUTE)
    await world.says("assistant", "never mind")


async def runs_commands_side_by_side(world: World) -> None:
    """Several at once, whose ends name none of them; the longest goes on alone."""
    running = [world.starts(f"test{number}", load=0.05) for number in range(3)]
    for number in range(3):
        await world.says("command_started", f"test {number}")
    for number, length in enumerate((2, 5, world.draw.uniform(30, 55))):
        await world.passes(length * MINUTE)
        world.ends(running[number])
        await world.says("command_completed", "ok")


async def edits_beside_a_command(world: World) -> None:
    """The ends of its edits must not be taken for that of the test that goes on."""
    await world.says("command_started", "pytest", id="c")
    test = world.starts("pytest")
    for number in range(3):
        await world.says("file_change", f"file{number}.py")
        await world.says("command_completed", "edited", id=f"e{number}")
    await world.passes(world.draw.uniform(31, 55) * MINUTE)
    world.ends(test)
    await world.says("command_completed", "ok", id="c")


async def delegates(world: World) -> None:
    """A tool that the CLI is itself, with no process of its own: only its own model is waited for."""
    await world.says("command_started", "Task", id="t")
    await world.passes(world.draw.uniform(10, 28) * MINUTE)
    await world.says("command_completed", "the subagent's answer", id="t")


async def mixes(world: World) -> None:
    """Some of all of it, one after the other."""
    short = (thinks_in_silence, is_stopped_for_a_moment, has_children_that_stay, is_asleep, delegates)
    for part in world.draw.sample(short, 3):
        await part(world)
        await world.passes(world.draw.uniform(0, 2) * MINUTE)


async def is_a_silent_program(world: World) -> None:
    """A program that is no coding CLI: it says nothing at all, and what it starts sleeps."""
    below = world.starts("python")
    await world.passes(world.draw.uniform(25, 55) * MINUTE)
    world.ends(below)
    await world.passes(world.draw.uniform(5, 25) * MINUTE)


PARTS: tuple[Part, ...] = (
    thinks_in_silence,
    runs_one_test_command,
    builds,
    computes,
    polls,
    waits_for_a_person,
    is_rate_limited,
    thrashes,
    is_asleep,
    lives_through_clock_jumps,
    streams_without_a_word,
    only_writes,
    is_stopped_for_a_moment,
    has_children_that_stay,
    leaves_something_stopped,
    runs_commands_side_by_side,
    edits_beside_a_command,
    delegates,
    mixes,
)


def life_of(part: Part, *, walls: bool = True) -> Part:
    """The whole life of an agent that does this."""

    async def live(world: World) -> None:
        await world.begins(walls=walls)
        await world.passes(world.draw.uniform(0, 30))
        await world.says("output", "[system init]")
        await part(world)
        await world.says("turn", "done")
        await world.passes(world.draw.uniform(0, 40))

    return live


async def lives_silently(world: World) -> None:
    await world.begins()
    await is_a_silent_program(world)


async def begins_slowly(world: World) -> None:
    """Its sandbox takes minutes to come up, and so does its first word."""
    await world.passes(world.draw.uniform(2, 9) * MINUTE)
    await world.begins(noise=0.5)
    await world.passes(world.draw.uniform(5, 60) * MINUTE)
    await world.says("assistant", "here I am")


async def ends_slowly(world: World) -> None:
    """Its process has ended, and its last words are still being read."""
    await world.begins()
    await world.says("assistant", "bye")
    await world.passes(world.draw.uniform(1, 20) * MINUTE)
    world.ends(world.agent)
    await world.passes(world.draw.uniform(10, 50))


async def is_held_with_its_worker(world: World) -> None:
    """The worker itself is stopped for hours: it wakes and finds the time gone by."""
    await world.begins()
    await world.says("assistant", "hello")
    await world.passes(world.draw.uniform(5, 25) * MINUTE)
    world.machine.stop(world.draw.uniform(1, 9) * HOUR)
    await world.passes(world.draw.uniform(0.5, 4) * MINUTE)
    await world.says("assistant", "hello again")


async def has_no_process(world: World) -> None:
    """A loop within the worker, without a program: only what it says tells that it is there."""
    world.vitals.started(world.clock.monotonic())
    for _ in range(3):
        await world.passes(world.draw.uniform(5, 28) * MINUTE)
        await world.says("assistant", "and on")


WHOLE: tuple[Part, ...] = (lives_silently, begins_slowly, ends_slowly, is_held_with_its_worker, has_no_process)
