"""What agents and gates answer: usage, findings, contracts, receipts, reports."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.model import MOST, Frozen
from codeswarm.domain.states import AgentState

MOST_USD = 1e9
MOST_SECONDS = 1e9
LONGEST_MODEL = 200
"""Characters of a model's name."""
Count = Annotated[int, Field(ge=0, le=MOST)]


def model_name(text: str) -> str:
    """A name from outside, as it can be written down."""
    return text[:LONGEST_MODEL].encode("utf-8", "replace").decode()


class ModelUsage(Frozen):
    """What one model of a conversation read and wrote."""

    model: Annotated[str, Field(max_length=LONGEST_MODEL)]
    """Its name, as the agent tells it; empty: the one that the agent's spec names."""
    input_tokens: Count = 0
    """What it read, caches included."""
    cached_tokens: Count = 0
    """Of these, what came from a cache."""
    cache_write_tokens: Count = 0
    """Of these, what was put into a cache."""
    output_tokens: Count = 0
    """What it wrote."""


class Usage(Frozen):
    """Cumulative over a conversation. None means unknown, which is never the same as 0."""

    input_tokens: Count | None = None
    """What the model read."""
    output_tokens: Count | None = None
    """What the model wrote."""
    cost_usd: Annotated[float, Field(ge=0, le=MOST_USD)] | None = None
    """What it cost."""
    models: tuple[ModelUsage, ...] = ()
    """The same by model, where the agent names its models."""
    priced: str = ""
    """The date of the price table that `cost_usd` was worked out with; empty: the agent told it itself."""
    subscription: bool = False
    """A subscription pays for it: `cost_usd` is what it would have cost without one."""

    @classmethod
    def told(
        cls,
        input_tokens: Any = None,
        output_tokens: Any = None,
        cost_usd: Any = None,
        *,
        model: Any = None,
        cached_tokens: Any = None,
        cache_write_tokens: Any = None,
    ) -> Usage:
        """Figures from outside: what is no count or no price stays unknown. `model`: the only one that was used."""
        priced = _is_number(cost_usd, int, MOST_USD) or _is_number(cost_usd, float, MOST_USD)
        read, wrote = _count(input_tokens), _count(output_tokens)
        rows: tuple[ModelUsage, ...] = ()
        if isinstance(model, str) and model and (read is not None or wrote is not None):
            rows = (
                ModelUsage(
                    model=model_name(model),
                    input_tokens=read or 0,
                    output_tokens=wrote or 0,
                    cached_tokens=_count(cached_tokens) or 0,
                    cache_write_tokens=_count(cache_write_tokens) or 0,
                ),
            )
        return cls(input_tokens=read, output_tokens=wrote, cost_usd=cost_usd if priced else None, models=rows)

    @property
    def is_told(self) -> bool:
        """Whether anything of it is known."""
        return self.tokens is not None or self.cost_usd is not None

    @property
    def tokens(self) -> int | None:
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)


def _count(value: Any) -> int | None:
    return value if _is_number(value, int, MOST) else None


def _is_number(value: Any, kinds: type[int] | type[float], most: float) -> bool:
    """Whether `value` is a finite number from 0 to `most`; a truth value is none."""
    return isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value <= most


class UsageWindow(Frozen):
    """How much of a subscription's window is used, as its provider tells."""

    name: Annotated[str, Field(max_length=100)]
    """As the provider calls it."""
    used: Annotated[float, Field(ge=0, le=1)]
    """The share of it that is used, by whomever."""
    resets_ms: Count | None = None
    """When it begins anew, in milliseconds since 1970."""


class Finding(Frozen):
    """One remark of a reviewer or a gate. Keys beyond these are an agent's own and are dropped, as is a line that is no
    number: what counts is the text, and no review is lost for the rest.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str = ""
    """Where; empty: on the whole."""
    line: Count | None = None
    """Where in the file."""
    severity: str = "major"
    """As whoever remarked it calls it."""
    text: str
    """The remark."""

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_told(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        told = {key: value for key, value in data.items() if value is not None}
        if not _is_number(told.get("line", 0), int, MOST):
            del told["line"]
        return told


def _lines(value: Any) -> Any:
    """Agents write a list, a single string or a mapping where a list of sentences is asked for: take them all."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if isinstance(value, dict):
        return tuple(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(item if isinstance(item, str) else str(item) for item in value)
    return value


ExitCode = Annotated[int, Field(ge=-MOST, le=MOST)]
Sentences = Annotated[tuple[str, ...], BeforeValidator(_lines)]


class Contract(Frozen):
    """What a test writer promises of a ticket, beside the tests themselves."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    error_variants: Sentences = ()
    """How it may fail."""
    preconditions: Sentences = ()
    """What must hold before."""
    postconditions: Sentences = ()
    """What holds afterwards."""
    invariants: Sentences = ()
    """What always holds."""
    test_plan: Sentences = ()
    """What the tests show."""
    edge_cases: Sentences = ()
    """What is easily forgotten."""


class Verdict(StrEnum):
    APPROVE = "approve"
    CHANGES_REQUESTED = "changes_requested"


class GateOutcome(StrEnum):
    GREEN = "green"
    RED = "red"
    UNAVAILABLE = "unavailable"
    """It could not run (exit 75): tried again, never taken for red."""
    WAIVED = "waived"
    """A person let it pass, by name."""


class GateCommand(Frozen):
    """One command that must pass, with the name of the gate that it stands for."""

    name: str
    """fast · full · contract · ticket"""
    command: str
    """As the shell gets it."""
    timeout_s: Annotated[float, Field(ge=0, le=MOST_SECONDS)] = 900.0
    """It is ended, and red, after that."""
    red_may_pass: bool = False
    """The base was red and a person allowed it: the router tells which reds count, so what stands behind this command
    is run although it is red."""


class GateRun(Frozen):
    """What one run of one gate command showed."""

    name: str
    """fast · full · contract · ticket"""
    command: str
    """As the shell got it."""
    outcome: GateOutcome
    """What it came to."""
    exit_code: ExitCode | None = None
    """None where it was ended by a signal or a time-out."""
    reason: str = ""
    """Why it is not green."""
    duration_s: float = 0.0
    """How long it took."""
    tail: str = ""
    """The end of its output, at most a few kilobytes."""
    log: str = ""
    """SHA-256 of its whole (capped) output, kept among the artifacts."""
    environment: str = ""
    """SHA-256 over what it ran in: sandbox, network, set-up, platform."""
    failing: tuple[str, ...] = ()
    """Names of failing tests, where they could be read off."""
    tests: Count | None = None
    """How many tests ran, where a report says so."""
    skipped: tuple[str, ...] = ()
    """Names of tests that were skipped, where a report says so."""
    findings: tuple[Finding, ...] = ()
    """What it remarked."""
    setup_failed: bool = False
    """It could not run since the project's set-up failed on this very tree; `tail` is the end of that output."""


class Receipt(Frozen):
    """The router's signed word that a command had an outcome on a tree."""

    id: str
    """Its own digest."""
    tree: Tree
    """The git tree that was judged."""
    command: str
    """The command that judged it."""
    name: str
    """fast · full · contract · ticket · no-gate"""
    outcome: GateOutcome
    """What it came to."""
    exit_code: ExitCode | None
    """None where it was ended by a signal or a time-out."""
    log: str
    """SHA-256 of the gate's output."""
    environment: str
    """SHA-256 over what it ran in."""
    worker: str
    """Who ran it."""
    base: Commit | None = None
    """What the gate was told that the tree changes; empty: only its own files. None: it was told nothing."""
    by: str = ""
    """For a waiver: the person who gave it."""
    known_failing: tuple[str, ...] = ()
    """Tests that failed on the base already and were allowed to (`--allow-red-base`)."""
    signature: str = ""
    """The router's, over all of the above."""

    @property
    def passes(self) -> bool:
        return self.outcome in (GateOutcome.GREEN, GateOutcome.WAIVED)

    def signed_text(self) -> str:
        """The canonical text that `signature` is over."""
        return self.model_dump_json(exclude={"signature"})


class FailureClass(StrEnum):
    """Why an attempt did not succeed. `CHARGED` says which of these count against `max_attempts`."""

    CRASHED = "crashed"
    """The agent ended with an exit code that is not 0."""
    HUNG = "hung"
    """The agent gave no sign of life for longer than what it was at explains; `evidence` says what was seen."""
    TIMED_OUT = "timed_out"
    """It took longer than `policy.attempt_timeout_s`."""
    NOTHING_CHANGED = "nothing_changed"
    """A role that writes changed no file that git does not ignore."""
    GATE_RED = "gate_red"
    """The gate of its phase was red."""
    CONTRACT_PASSES = "contract_passes"
    """The tests of a contract pass before anything is built: they prove nothing."""
    CONFLICT_MARKERS = "conflict_markers"
    """Conflict markers were left in files."""
    BAD_RESULT = "bad_result"
    """The answer that its role owes is missing or can't be read."""
    REFUSED = "refused"
    """The model refused."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The task does not fit into the model's context."""
    UNKNOWN_MODEL = "unknown_model"
    """The provider has no such model; the agent is parked for the session."""
    TRY_LATER = "try_later"
    """The agent asked to be tried later (exit code 75)."""
    QUOTA = "quota"
    """A quota is spent; the agent is parked until the provider's reset."""
    RATE_LIMITED = "rate_limited"
    """Too many requests at once."""
    OVERLOADED = "overloaded"
    """The provider is overloaded."""
    AUTH = "auth"
    """The key or login was refused; the agent is parked until a person says otherwise."""
    MISSING = "missing"
    """The agent is not there where the attempt ran; it is parked for the session."""
    OVER_BUDGET = "over_budget"
    """A cap was reached: it handed back what it had."""
    CANCELLED = "cancelled"
    """Ended on request: stop, hold, cancel."""
    LOST = "lost"
    """Its worker fell silent or died."""
    SETUP_FAILED = "setup_failed"
    """The set-up command failed."""
    SETUP_BROKEN = "setup_broken"
    """It changed what the set-up reads (a lock file, say), and on its work the set-up fails."""
    GATE_UNAVAILABLE = "gate_unavailable"
    """The gate could not be run."""
    WORKER_ERROR = "worker_error"
    """The worker failed at its own part."""
    DISK_FULL = "disk_full"
    """There was no room where it ran."""


CHARGED = frozenset(
    {
        FailureClass.CRASHED,
        FailureClass.HUNG,
        FailureClass.TIMED_OUT,
        FailureClass.NOTHING_CHANGED,
        FailureClass.GATE_RED,
        FailureClass.SETUP_BROKEN,
        FailureClass.CONTRACT_PASSES,
        FailureClass.CONFLICT_MARKERS,
        FailureClass.BAD_RESULT,
        FailureClass.REFUSED,
        FailureClass.CONTEXT_OVERFLOW,
    }
)
"""The agent's own failures. All others have a bound of their own, after which the ticket goes on hold."""

BURSTS = frozenset({FailureClass.RATE_LIMITED, FailureClass.OVERLOADED})
"""Too much at once: it passes, and parks nobody."""

RESTARTS = frozenset({FailureClass.CRASHED, FailureClass.HUNG, FailureClass.LOST, FailureClass.WORKER_ERROR})
"""Ends that count towards meltdown: something died or had to be killed."""


Passed = Annotated[float, Field(ge=0, le=1e12)]


class Evidence(Frozen):
    """What was seen of an agent when it was ended for giving no sign of life."""

    state: AgentState
    """What it had been at before."""
    doing: str = ""
    """The command that was under way."""
    last_word: str = ""
    """What it said last; empty: nothing."""
    word_s: Passed
    """How many seconds ago that was."""
    change_s: Passed
    """How many seconds ago a file of its workspace last changed, or it began."""
    work_s: Passed | None = None
    """How many seconds ago its processes were last seen at work; none: they could not be seen."""
    cpu_s: Passed | None = None
    """Processor time that it had used."""
    received: Count | None = None
    """Bytes that its model had sent, where that is known."""
    processes: tuple[str, ...] = ()
    """What it had running: name, state, and what of the kernel it waited in."""


class Failure(Frozen):
    """The end of an attempt that did not succeed."""

    failure_class: FailureClass
    """Its kind; see [Failures of attempts](errors.md#failures-of-attempts)."""
    message: str
    """What was seen."""
    retry_at_ms: Count | None = None
    """Where the other side said when to come back (a quota's reset): nothing is sent before."""
    evidence: Evidence | None = None
    """What was seen of an agent that was ended for giving no sign of life."""


class LeftOut(Frozen):
    """Something in a workspace that no ref holds, and why."""

    path: str
    """Which file or folder."""
    reason: str
    """Why no ref holds it."""
    size: Count | None = None
    """In bytes, where it is known."""


MAX_NAMES = 4 << 20
"""Characters of all names of files that one event may hold."""


def first_names(files: tuple[str, ...]) -> tuple[str, ...]:
    """As many of `files` as an event may name. The commit knows them all.

    An event is read by everyone who follows, as one message: one without bound would shut them all out for good. So
    whoever decides by a list of files decides by the whole of it, before it is cut, or takes nothing on a cut one.
    """
    left = MAX_NAMES
    for number, file in enumerate(files):
        left -= len(file) + 1
        if left < 0:
            return files[:number]
    return files


class Work(Frozen):
    """The files at the end of an attempt, as the router wrote them down."""

    commit: Commit
    """The work commit."""
    tree: Tree
    """Its git tree."""
    changed_files: tuple[str, ...] = ()
    """Against the commit that the attempt began with; empty: nothing changed."""
    unnamed: bool = False
    """More changed, in this attempt or in all of the ticket, than an event can name: such work is kept and not taken,
    since approvals, contracts and gates are told of files by their names."""
    restored: tuple[str, ...] = ()
    """Contract files that the agent had altered and that were put back."""
    markers: tuple[str, ...] = ()
    """Files in which conflict markers were left, as `FILE:LINE`."""


class Report(Frozen):
    """What a worker reports at the end of an attempt. Facts only; what they mean is decided in `outcome`."""

    work: Work | None = None
    """The files at its end; none where there was nothing to keep."""
    failure: Failure | None = None
    """Why it did not succeed; none where it did."""
    gate_runs: tuple[GateRun, ...] = ()
    """What its gates showed."""
    receipts: tuple[str, ...] = ()
    """Ids of the receipts of its gates."""
    contract: Contract | None = None
    """A test writer's promises."""
    contract_files: tuple[str, ...] = ()
    """The contract's test files."""
    verdict: Verdict | None = None
    """A reviewer's."""
    findings: tuple[Finding, ...] = ()
    """What a reviewer or a gate remarked."""
    dispute: str | None = None
    """Why its implementer says that the contract is wrong."""
    plan: str | None = None
    """A planner's text."""
    decisions: tuple[str, ...] = ()
    """What the agent decided, in its own words."""
    proposed_tickets: tuple[dict[str, JsonValue], ...] = ()
    """More work that the agent proposes."""
    tickets: tuple[dict[str, JsonValue], ...] | None = None
    """A planner's, as it wrote them."""
    answer: str | None = None
    """A planner's words: an agreement, a final answer."""
    summary: str = ""
    """The agent's last words."""
    usage: Usage = Usage()
    """What it used."""
    transcript: str = ""
    """SHA-256 of the closed transcript."""
    transcript_size: Count = 0
    """In bytes."""
    already_satisfied: bool = False
    """On a newer base there was nothing left to change, and the gate was green."""
    left_out: tuple[LeftOut, ...] = ()
    """What no ref holds, and why."""
