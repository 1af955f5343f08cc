"""What a running agent is at, from all that can be seen of it; and when that explains its silence no longer.

Pure: it is told what happened and when, reads no clock and no file, and acts on nothing. Times are those of a clock
that stands still while nothing could run: nobody grows old asleep.

There are two kinds of signs of life. A **word** of the agent or a **change** of its files is one that stands for
itself. That its processes **work** (they use the processor, come and go, are read back from swap, are sent bytes)
shows that it is not stuck, but not that it gets anywhere: such signs alone count for `Patience.busy_s` and no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codeswarm.agents.base import Activity
from codeswarm.awake import spoken
from codeswarm.domain.results import Evidence
from codeswarm.domain.settings import Patience
from codeswarm.domain.states import AgentState
from codeswarm.plain import visible
from codeswarm.worker.processes import Process, Tree
from codeswarm.worker.rate_limits import LONGEST_S, wait_s

S = AgentState
WORKS_ABOVE = 0.02
"""The share of one processor that counts as work. A CLI that waits for a model that never answers uses up to 0.01."""
FAULTS_PER_S = 1.0
"""So many pages a second read back from swap count as work."""
COMING_UP_S = 60.0
"""So long after its process is there an agent that has not said a word may still be coming up."""
GONE_S = 60.0
"""So long after its process has ended an agent may take to notice, and its last words to be read."""
LONGEST_NAME, LONGEST_WORD = 60, 200
MOST_PROCESSES = 12
MOST_COMMANDS = 200
"""Under way at a time: the eldest are taken to have ended where more begin."""
LONGEST_KEY = 200
ACTED_ON = frozenset({S.STALLED, S.GONE})


@dataclass(frozen=True, slots=True)
class Vital:
    """What an agent is at, since when, and what can be told of it: a command's name, why it is stalled."""

    state: AgentState
    since: float
    doing: str = ""
    until_ms: int | None = None
    """Rate-limited: when its provider lets it go on, by the wall clock."""


@dataclass(slots=True)
class _Command:
    key: str
    text: str


class Vitals:
    """Of one attempt. `now` is never earlier than it was at the call before."""

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._at = now
        self._word_at = self._change_at = self._work_at = self._rest_at = now
        """When it last said something, changed a file, was seen at work, and had to wait for others."""
        self._last_word = ""
        self._spoke = self._speaks_of_commands = self._seen = False
        self._up_at: float | None = None
        self._ended_at: float | None = None
        self._stopped_at: float | None = None
        self._tree: Tree | None = None
        self._commands: list[_Command] = []
        self._asked = 0
        self._limited_until = now
        self._limited_until_ms: int | None = None
        self._received: int | None = None
        self._now = self._before = Vital(S.SPAWNING, now)
        self._rested_s = self._limited_s = 0.0

    @property
    def now(self) -> Vital:
        """What it is at, as far as was seen and heard."""
        return self._now

    @property
    def left_s(self) -> float:
        """How long it may go on like this before it counts as stalled; infinite while it waits for others."""
        return self._due()[0] - self._at

    def rested_s(self, now: float) -> float:
        """How long it has waited for a person or for its provider: none of that is the agent's own time."""
        self._go_on_to(now)
        return self._rested_s

    # ── what it is told ──

    def started(self, now: float) -> None:
        """A process of the agent runs, or its conversation is open."""
        self._go_on_to(now)
        if self._up_at is None:
            self._up_at = self._work_at = now
        self._settle()

    def heard(self, activity: Activity, now: float, now_ms: int) -> None:
        """The agent said something."""
        self._go_on_to(now)
        self._word_at, self._spoke = now, True
        self._last_word = f"{activity.type}: {_short(activity.text, LONGEST_WORD)}"
        if activity.type == "rate_limit":
            self._be_limited(wait_s(activity.data, now_ms), now_ms)
        elif activity.type != "output":
            self._limited_until = now
            self._note_command(activity)
        self._settle()

    def _be_limited(self, wait: float | None, now_ms: int) -> None:
        if wait is not None and self._limited_s < LONGEST_S:
            self._limited_until, self._limited_until_ms = self._at + wait, now_ms + round(wait * 1000)

    def _note_command(self, activity: Activity) -> None:
        """Which commands are under way. An end that names none is that of the eldest; one that names another is that of
        something which is no command, an edit, say.
        """
        key = str(activity.data.get("id", ""))[:LONGEST_KEY]
        if activity.type == "command_started":
            self._commands = [*self._commands[1 - MOST_COMMANDS :], _Command(key, _short(activity.text, LONGEST_NAME))]
            self._speaks_of_commands = True
        elif activity.type == "command_completed":
            ended = next((one for one in self._commands if not (key and one.key) or one.key == key), None)
            self._commands = [command for command in self._commands if command is not ended]
        elif activity.type == "turn":
            self._commands.clear()

    def changed(self, now: float) -> None:
        """A file of its workspace is not as it was."""
        self._go_on_to(now)
        self._change_at = now

    def asked(self, now: float) -> None:
        """It waits for a person."""
        self._go_on_to(now)
        self._asked += 1
        self._settle()

    def answered(self, now: float) -> None:
        """The person's word is there, or none will come."""
        self._go_on_to(now)
        self._asked -= 1
        self._settle()

    def look(self, tree: Tree | None, now: float, received: int | None = None) -> Vital:
        """What it has running now, and how many bytes its model has sent so far; None: that can't be seen here."""
        self._go_on_to(now)
        if tree is not None and (self._tree is None or tree.at > self._tree.at):
            self._see(tree)
        if received is not None and received != (self._received or 0):
            self._received, self._work_at = received, now
        self._settle()
        return self._now

    def _see(self, tree: Tree) -> None:
        before, self._tree = self._tree, tree
        if tree.agent is None:
            was_there = self._up_at is not None and tree.at > self._up_at and (self._seen or not tree.walls)
            self._ended_at = (self._ended_at or tree.at) if was_there else None
            return
        self._seen, self._ended_at = True, None
        self._stopped_at = (self._stopped_at or tree.at) if tree.stopped else None
        if before is not None and _works(before, tree):
            self._work_at = tree.at

    # ── what follows from it ──

    def _go_on_to(self, now: float) -> None:
        """Time has passed. What of it was spent waiting for others makes nobody look dead."""
        waited_until = now if self._asked else min(now, self._limited_until)
        if waited_until > self._at:
            self._limited_s += 0.0 if self._asked else waited_until - self._at
            self._rested_s += waited_until - self._at
            self._rest_at = waited_until
        self._at = max(self._at, now)

    def _settle(self) -> None:
        due, why = self._due()
        ended = self._ended_at is not None and self._word_at <= self._ended_at
        if ended and self._at >= (self._ended_at or 0.0) + GONE_S:
            self._be(S.GONE, "its process has ended, and no end of its turn was heard")
        elif self._at >= due:
            self._be(S.STALLED, why)
        else:
            self._be(*self._what())

    def _be(self, state: AgentState, doing: str) -> None:
        since = self._now.since if state is self._now.state else self._at
        if self._now.state not in ACTED_ON:
            self._before = self._now
        self._now = Vital(state, since, doing, self._limited_until_ms if state is S.RATE_LIMITED else None)

    def _what(self) -> tuple[AgentState, str]:
        if self._asked:
            return S.WAITING_PERSON, ""
        if self._limited_until > self._at:
            return S.RATE_LIMITED, ""
        if not self._spoke and (self._up_at is None or self._at < self._up_at + COMING_UP_S):
            return S.SPAWNING, ""
        if self._commands:
            return S.RUNNING_COMMAND, self._commands[-1].text
        if self._below and not self._speaks_of_commands:
            return S.RUNNING_COMMAND, _short(self._below[-1].name, LONGEST_NAME)
        return S.THINKING, ""

    @property
    def _below(self) -> tuple[Process, ...]:
        """What it has started, as far as that can be seen."""
        return () if self._tree is None else self._tree.below

    def _due(self) -> tuple[float, str]:
        """When it counts as stalled unless it gives another sign, and why then."""
        state, _ = self._what()
        if state in (S.WAITING_PERSON, S.RATE_LIMITED):
            return float("inf"), ""
        patience, told = self._patience, max(self._word_at, self._change_at, self._rest_at)
        limit, at = self._limit(state)
        busy_s = max(patience.busy_s, limit)
        dues = [
            (max(told, self._work_at) + limit, f"{at}, and no sign of life for {spoken(limit)}"),
            (told + busy_s, f"busy, but no word and no changed file for {spoken(busy_s)}"),
        ]
        if self._stopped_at is not None:
            # A word or a change shows that it went on since, though nobody looked just then.
            stopped = max(self._stopped_at, told) + patience.stopped_s
            dues.append((stopped, f"stopped by a signal for {spoken(patience.stopped_s)}"))
        return min(dues)

    def _limit(self, state: AgentState) -> tuple[float, str]:
        """A command of which nothing runs is done by the agent itself, and explains no more than a thought does."""
        if state is S.SPAWNING:
            return self._patience.spawning_s, "its process does not come up"
        if state is S.RUNNING_COMMAND and (self._below or self._tree is None):
            return self._patience.command_s, "a command is under way"
        return self._patience.thinking_s, "nothing of it is under way"

    # ── what is told of it ──

    def evidence(self, blocked_in: Callable[[int], str]) -> Evidence:
        """Why it was acted on, for the ledger. `blocked_in` names what a process waits in, where that can be seen."""
        tree = self._tree
        processes = () if tree is None or tree.agent is None else (tree.agent, *tree.below)
        return Evidence(
            state=self._before.state,
            doing=self._before.doing,
            last_word=self._last_word,
            word_s=self._at - self._word_at,
            change_s=self._at - self._change_at,
            work_s=None if tree is None else self._at - self._work_at,
            cpu_s=None if tree is None else tree.cpu_s,
            received=self._received,
            processes=tuple(_told(process, blocked_in) for process in processes[:MOST_PROCESSES]),
        )


def in_words(seen: Evidence) -> str:
    """What was seen, in one line for people, and for the agent that comes next."""
    word = f"the last word {spoken(seen.word_s)} ago ({seen.last_word})" if seen.last_word else "not a word"
    parts = [word, f"no file changed for {spoken(seen.change_s)}"]
    if seen.work_s is not None and seen.cpu_s is not None:
        parts.append(f"at work {spoken(seen.work_s)} ago, {spoken(seen.cpu_s)} of processor time in all")
    if seen.processes:
        parts.append(f"running: {', '.join(seen.processes)}")
    return "; ".join(parts)


def _told(process: Process, blocked_in: Callable[[int], str]) -> str:
    """`pytest (S, futex_do_wait)`."""
    waits = blocked_in(process.pid)
    return f"{_short(process.name, LONGEST_NAME)} ({process.state}{f', {waits}' if waits else ''})"


def _works(before: Tree, after: Tree) -> bool:
    """Whether processes got on between two looks."""
    passed = after.at - before.at
    used, faults = after.cpu_s - before.cpu_s, after.faults - before.faults
    return used >= WORKS_ABOVE * passed or faults >= FAULTS_PER_S * passed or before.living != after.living


def _short(text: str, most: int) -> str:
    """One line of what others wrote, harmless to look at."""
    line = visible(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
