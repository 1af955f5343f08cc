"""Every setting, once: its name, its type, its default, and where a value came from.

Later sources win: defaults, what was detected in a repository without a `codeswarm.toml`, the repository's
`codeswarm.toml` (as it stands at the session's base commit), the person's own file, `CODESWARM_*` variables, flags.
The repository is data: of it counts what describes the project and what tightens; what would loosen walls, spend more
or reach outside is ignored, and named. Where it is stricter than the person's standing settings (file and variables),
it holds against them; flags are the person's word for this one run, and hold against everything.

The text below a field is its description in the reference: the key of a setting without one fails a test.
"""

from __future__ import annotations

import datetime
import difflib
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from codeswarm.detection.base import FILE
from codeswarm.detection.detect import Detected
from codeswarm.domain.model import MOST
from codeswarm.domain.pipeline import Role
from codeswarm.domain.settings import HOSTS_OWN
from codeswarm.egress.hosts import REGISTRIES, check_entry
from codeswarm.environment import Environment
from codeswarm.errors import ConfigError
from codeswarm.tightening import TIGHTENED, tighten

Duration = Annotated[float, Field(gt=0, le=1e9)]


def _host(entry: str) -> str:
    check_entry(entry)
    return entry


def _setup_host(entry: str) -> str:
    check_entry(entry, (REGISTRIES, HOSTS_OWN))
    return entry


Host = Annotated[str, AfterValidator(_host)]
SetupHost = Annotated[str, AfterValidator(_setup_host)]
Wait = Annotated[float, Field(ge=0, le=1e9)]
Usd = Annotated[float, Field(ge=0, le=1e6)]
AgentRole = Literal["planner", "test_writer", "implementer", "reviewer", "resolver"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProjectConfig(Section):
    """What the repository is."""

    base: str | None = None
    """The branch that sessions begin from and save to; left out, the one checked out. `--base` counts more."""


class GatesConfig(Section):
    """The commands that must pass."""

    fast: str | None = None
    """The command on the base, at the end of each implementation, and before each landing."""
    full: str | None = None
    """The command on the tip, before a save and at the end."""
    contract: str | None = None
    """The command for contracts; `{files}` becomes their test files, `{report}` a path for a JUnit report."""
    timeout_s: Duration = 900.0
    """A gate that takes longer is ended, and red."""


class WorkspaceConfig(Section):
    """How the folders are made that agents and gates work in."""

    kind: Literal["auto", "overlay", "checkout"] = "auto"
    """How workspaces are made. Overlays are ready sooner and take less room; `auto` makes checkouts where they don't
    work."""
    setup: str | None = None
    """The command that sets a fresh workspace up."""
    setup_inputs: list[str] = []
    """Files that the outcome of set-up depends on: what it made is kept as long as they stay the same."""
    setup_network: list[SetupHost] = []
    """Which hosts set-up may reach: as in `sandbox.network`, without `@agent`. With `@host` it has the host's own
    network, for programs that know of no proxy."""
    setup_timeout_s: Duration = 1800.0
    """Set-up that takes longer has failed."""
    copy_: list[str] = Field([], alias="copy")
    """Files that git ignores, copied from your checkout."""
    ports: list[str] = []
    """Variables that get a free port each."""
    max_file_mib: int = Field(100, ge=1)
    """A larger file is left out of snapshots, and named."""
    max_ignored_mib: int = Field(64, ge=0)
    """How much of what git ignores is kept in the wip ref at the end of an attempt."""


class SwarmConfig(Section):
    """How many agents, and how closely they are watched."""

    workers: int = Field(4, ge=1, le=256)
    """Agents at once."""
    test_writers: int | None = Field(None, ge=1)
    """At most so many of them are test writers."""
    implementers: int | None = Field(None, ge=1)
    """At most so many of them are implementers."""
    reviewers: int | None = Field(None, ge=1)
    """At most so many of them are reviewers."""
    planner: bool = True
    """Whether a planner is asked, unbidden, to judge tickets that agents propose, to settle interfaces that tickets
    share, and for the final answer. Planning what you ask for in words is not touched by it."""
    continuous: bool = False
    """Save after each landed ticket."""
    lease_ttl_s: Duration = 60.0
    """A worker that is silent for so long has lost its lease."""
    heartbeat_s: Duration = 10.0
    """How often a lease is renewed and a snapshot taken; at most a third of `swarm.lease_ttl_s`."""


class PipelineConfig(Section):
    """Which pipeline tickets go through."""

    default: str = "contract-first"
    """The pipeline of tickets that name none: contract-first, plan-code-verify, single, or your own."""


class PhaseConfig(Section):
    """One phase of a pipeline of your own."""

    name: str
    """What the phase is called in the timeline."""
    role: Role
    """Who does it."""
    gate: Literal["fast", "full", "contract"] | None = None
    """Which of the project's gates its result must pass."""


Approvable = Literal["plan", "landing", "all", "none"]


class PolicyConfig(Section):
    """What a person must see, and how often something is tried."""

    approve: list[Approvable] | None = None
    """What a person must see first. Left out: the plan where there is a terminal, nothing elsewhere."""
    approvals: dict[Literal["landing"], Annotated[int, Field(ge=1)]] = {}
    """How many distinct people approve a landing, as `{ landing = 2 }`; left out, one."""
    sensitive: list[str] = []
    """Globs; a change to a file that one of these matches needs a landing approval in any case."""
    approval_timeout_s: Wait = 86_400.0
    """After that, silence is a no."""
    commands: Literal["allow", "ask"] = "allow"
    """Whether an agent runs what it likes behind its walls, or asks you before each command."""
    commands_allow: list[str] = []
    """Patterns of whole commands that are not asked about, such as `pytest *`; never several commands in one line."""
    commands_deny: list[str] = []
    """Patterns of commands that agents may not run at all; also where one of several in a line fits."""
    auto_resolve: list[str] = []
    """Conflicts that may be resolved without an agent."""
    max_attempts: int = Field(3, ge=1)
    """An agent's own failures in one visit of a phase, after which the ticket has failed."""
    save_to: Literal["ff", "branch", "pr"] = "ff"
    """How a save is done where `--to` does not say: `ff` moves the base branch forward, `branch` only
    `codeswarm-SESSION`; `pr` is refused yet."""
    attempt_timeout_s: Duration = 7200.0
    """An attempt that takes longer is ended. What it waited for a person or for a rate limit does not count."""
    silence_timeout_s: Duration = 1800.0
    """An agent that waits for its model, and gives no sign of life for so long, is hung, and ended."""
    command_timeout_s: Duration = 3600.0
    """The same while a command of the agent's is under way."""
    busy_timeout_s: Duration = 5400.0
    """The same for an agent that uses the processor, but says nothing and changes no file."""
    spawning_timeout_s: Duration = 600.0
    """The same for an agent whose process does not come up."""
    stopped_timeout_s: Duration = 300.0
    """The same for an agent that was stopped by a signal."""
    backoff_base_s: Wait = 2.0
    """The first wait before another try; it doubles each time."""
    backoff_max_s: Wait = 300.0
    """The longest wait before another try."""
    max_interruptions: int = Field(20, ge=1)
    """Losses and the like, after which a ticket goes on hold."""
    escalate: bool | list[Role] = False
    """Whether a red gate hands the next attempt to the next agent of the role's list: in all roles, or those named."""
    max_bursts: int = Field(3, ge=1)
    """So many refusals for too much at once (HTTP 429, 529) within `policy.burst_window_s` hand a ticket's next attempt
    to another agent of the role's list."""
    burst_window_s: Duration = 600.0
    """The time in which refusals are counted for `policy.max_bursts`."""
    park_base_s: Wait = 300.0
    """How long an agent whose quota is spent is left alone where its provider does not say until when; it doubles each
    time."""
    park_max_s: Wait = 7200.0
    """The longest of these waits. A reset that a provider names is waited for whatever it is, at most eight days."""
    max_restarts: int = Field(20, ge=1)
    """More deaths of agents and workers than this within `policy.restart_window_s` suspend the session: a meltdown."""
    restart_window_s: Duration = 60.0
    """The time in which deaths are counted for `policy.max_restarts`."""


class CapsConfig(Section):
    """What may be spent by all agents of a role."""

    usd: float | None = Field(None, gt=0)
    """Cap in USD."""
    tokens: int | None = Field(None, gt=0, le=MOST)
    """Cap in tokens."""


class BudgetConfig(Section):
    """What may be spent."""

    usd: float | None = Field(None, gt=0)
    """Cap of the session, in what agents report or what their tokens cost by `prices`."""
    tokens: int | None = Field(None, gt=0, le=MOST)
    """Cap of the session, in tokens."""
    per_ticket_usd: float | None = Field(None, gt=0)
    """Cap of each ticket."""
    per_ticket_tokens: int | None = Field(None, gt=0, le=MOST)
    """The same in tokens."""
    roles: dict[AgentRole, CapsConfig] = {}
    """Caps of all attempts of a role together, as `{ reviewer = { usd = 3.0, tokens = 500_000 } }`."""
    hand_back_s: Duration = 300.0
    """An agent that comes to a cap while it works gets one more turn to say what is left; it ends after so long."""
    hand_back_tokens: int = Field(50_000, gt=0, le=MOST)
    """And after so many tokens."""
    count_subscription: bool = False
    """Whether what a subscription pays for counts against caps in USD, too: at the price that it would have without."""
    quota_reserve: float = Field(0.0, ge=0, le=1)
    """The share of each usage window of a subscription that is left to you."""
    reserve_usd: float = Field(0.5, ge=0)
    """Set aside for an attempt before it starts, until what it really cost is known."""
    reserve_tokens: int = Field(100_000, ge=0)
    """The same in tokens."""


class PriceConfig(Section):
    """What a million tokens of a model cost, in USD."""

    input: Usd
    """What it reads."""
    output: Usd
    """What it writes."""
    cached_read: Usd | None = None
    """What it reads from a cache; left out, as `input`."""
    cache_write: Usd | None = None
    """What it puts into a cache; left out, as `input`."""


class PricesConfig(Section):
    """What tokens cost, for agents that don't say. A model without a price costs "unknown", never 0."""

    date: datetime.date | None = None
    """When you looked at the prices; left out, the date of the table that is shipped."""
    max_age_days: int = Field(180, ge=1)
    """`doctor` says so where the table is older."""
    models: dict[str, PriceConfig] = {}
    """By model, beside and before the table that is shipped: a name, which stands for its dated versions, too, or a
    glob: `{ "gpt-5.5" = { input = 5.0, output = 30.0, cached_read = 0.5 } }`."""


class SandboxConfig(Section):
    """The walls around agents and gates."""

    kind: str = "auto"
    """The walls: bubblewrap, none, or auto, which is bubblewrap and never becomes none by itself."""
    network: list[Host] = ["@agent", "@registries"]
    """Hosts that agents may reach: `host`, `*.host`, `host:port`, `*` (any public one); `@agent`: where their model
    answers; `@registries`: where packages come from. Without a port it is 80 and 443. Empty: nothing."""
    memory_mib: int | None = Field(None, ge=1)
    """The most memory of an agent, a gate or a set-up with all that it starts; what needs more is killed."""
    cpus: float | None = Field(None, gt=0)
    """The most processor time of each of them, in processors."""
    pids: int | None = Field(4096, ge=16)
    """The most processes and threads of each of them at once: a fork bomb ends at its walls."""
    read: list[str] = []
    """Further folders of the machine that agents and gates may read."""


class LedgerConfig(Section):
    """Where facts are kept."""

    url: str = ""
    """Anything but empty is refused: the ledger is SQLite in the data directory."""


class EngineConfig(Section):
    """What drives sessions."""

    driver: Literal["embedded", "temporal"] = "embedded"
    """What keeps a session going; `temporal` is refused yet."""
    keep_awake: bool = True
    """Keep the machine awake while agents or gates are at work."""


class ForgeConfig(Section):
    """The place where the repository is shared."""

    kind: str = ""
    """Which forge holds the repository."""
    repo: str = ""
    """Its name there, as `OWNER/NAME`."""
    token: str = ""
    """Where the token is, as `env:NAME`."""
    pull_requests: Literal["session", "ticket", "none"] = "session"
    """What gets a pull request of its own."""
    write_back: bool = False
    """Whether tickets that came from the forge are told there of their end."""


class NotifyConfig(Section):
    """Whom to tell of what."""

    urls: list[str] = []
    """Where to send word."""
    on: list[str] = []
    """Of what: approval, suspended, finalized."""


class RetentionConfig(Section):
    """How long things are kept that nobody needs to go on."""

    transcripts_days: Annotated[float, Field(ge=0, le=100_000)] | None = None
    """`codeswarm gc` throws away what agents were told and said, so long after their session ended; unset: never."""


class TelemetryConfig(Section):
    """What others may measure."""

    otlp_endpoint: str = ""
    """Where traces go."""
    log_format: Literal["json", "text"] = "json"
    """How logs are written."""


class Config(Section):
    """The whole of `codeswarm.toml`."""

    project: ProjectConfig = ProjectConfig()
    gates: GatesConfig = GatesConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
    swarm: SwarmConfig = SwarmConfig()
    roles: dict[str, list[str]] = {}
    """Agents by role (planner, test_writer, implementer, reviewer, resolver), first choice first: a later one is used
    while those before it can't be."""
    pipeline: PipelineConfig = PipelineConfig()
    pipelines: dict[str, list[PhaseConfig]] = {}
    """Pipelines of your own: each a list of phases."""
    policy: PolicyConfig = PolicyConfig()
    budget: BudgetConfig = BudgetConfig()
    prices: PricesConfig = PricesConfig()
    sandbox: SandboxConfig = SandboxConfig()
    ledger: LedgerConfig = LedgerConfig()
    engine: EngineConfig = EngineConfig()
    cluster: dict[str, Any] = {}
    """Where workers are started on other machines."""
    launch_providers: list[dict[str, Any]] = []
    """Places where a swarm can be launched."""
    forge: ForgeConfig = ForgeConfig()
    notify: NotifyConfig = NotifyConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    retention: RetentionConfig = RetentionConfig()


@dataclass(frozen=True, slots=True)
class Source:
    """One place that settings come from."""

    name: str
    values: Mapping[str, Any]


PLACES = ("data", "workspaces")
"""Variables that name a folder."""
NO_SETTINGS = frozenset({"DATA", "WORKSPACES", "FAILPOINT", "BASE", "HEAD", "CHANGED_FILES", "CHANGED_FILES_PATH"}) | {
    "SESSION",
    "TICKET",
    "PHASE",
    "ROLE",
    "ATTEMPT",
    "EPOCH",
    "WORKSPACE",
    "RESULT",
    "BUNDLE",
    "BOX",
}
"""Variables that are none: folders, and what agents and gates are told."""
NO_EFFECT = frozenset(
    {
        "policy.auto_resolve",
        "forge",
        "notify",
        "telemetry",
        "cluster",
        "launch_providers",
    }
)
"""Settings (or whole sections) that are read and checked, and change nothing in this version."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where each was set, and what of the repository was ignored."""

    config: Config
    origins: Mapping[str, str]
    """`section.key` → the name of the source that set it; what is missing has its default."""
    ignored: tuple[str, ...] = ()
    """Keys of the repository's file that would loosen something, with the reason."""
    detected: Detected | None = None
    """What was detected, where nobody has said how the project is built and tested."""

    @property
    def without_effect(self) -> list[str]:
        """Keys that someone set and that change nothing yet: whoever set them may think otherwise."""
        return [key for key in self.origins if key in NO_EFFECT or key.partition(".")[0] in NO_EFFECT]


def load(
    environment: Environment,
    repository: bytes | None = None,
    flags: Mapping[str, Any] | None = None,
    detected: Sequence[Source] = (),
    *,
    trusted: bool = False,
) -> Loaded:
    """Read and merge all sources. `repository` is the content of its file at the base commit, which may loosen
    something only where a person trusts it; `detected` is what stands in for it where it has none, weaker than
    everything but the defaults.

    Raises: ConfigError with every mistake of the first source that has one.
    """
    user_text = environment.user_config.read_bytes() if environment.user_config.is_file() else None
    theirs, asked = Source(FILE, _parse(FILE, repository)), Source("flags", flags or {})
    standing = [
        Source(str(environment.user_config), _parse(str(environment.user_config), user_text)),
        Source("environment", from_variables(environment.settings)),
    ]
    check_names(environment.settings)
    for source in (theirs, *standing, asked):
        check(source)
    kept, ignored = tighten(theirs.values, _merged(standing).config)
    stricter = {section: kept.pop(section) for section in TIGHTENED if section in kept}
    kept, ignored = (dict(theirs.values), []) if trusted else (kept, ignored)
    loaded = _merged([*detected, Source(FILE, kept), *standing, Source(FILE, stricter), asked])
    return Loaded(loaded.config, loaded.origins, tuple(ignored))


def check(source: Source) -> None:
    """Raises: ConfigError naming every unknown key (and the nearest known one) and every value of a wrong type."""
    try:
        Config.model_validate(source.values)
    except ValidationError as error:
        problems = "\n".join(f"  - {_problem(item)}" for item in error.errors(include_url=False))
        raise ConfigError(
            f"{source.name} has settings that can't be used", problems, _to_mend(source.name, error)
        ) from error


def _to_mend(source: str, error: ValidationError | None = None) -> str:
    """A command that leads to where it is written. The repository's file counts only as it is committed."""
    if source == FILE:
        return f"${{EDITOR:-vi}} {FILE} && git commit -m 'Mend the settings' {FILE}"
    if source == "environment":
        named = [item["loc"] for item in error.errors(include_url=False)] if error else []
        return f"unset {' '.join(f'CODESWARM_{_variable(path)}' for path in named)} && codeswarm config check"
    return "codeswarm run --help" if source == "flags" else f"${{EDITOR:-vi}} {shlex.quote(source)}"


def _variable(path: tuple[int | str, ...]) -> str:
    return "_".join(str(part).upper() for part in path[:2])


def _problem(item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    where = ".".join(path)
    if item["type"] != "extra_forbidden":
        return f"{where}: {item['msg']} (got {item['input']!r})"
    known = _keys_of(path[:-1])
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    return f"{where}: there is no such setting" + (f"; did you mean {near[0]!r}?" if near else "")


def _keys_of(path: list[str]) -> list[str]:
    if not path:
        return list(Config.model_fields)
    section = PhaseConfig if path[0] == "pipelines" else _section(path[0])
    return [] if section is None else [found.alias or name for name, found in section.model_fields.items()]


def _section(name: str) -> type[Section] | None:
    """The class of a section with keys of its own; None where the keys are free, and where there is none."""
    found = Config.model_fields.get(name)
    annotation = found.annotation if found else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _parse(name: str, text: bytes | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} can't be read", str(error), _to_mend(name)) from error


def check_names(variables: Mapping[str, str]) -> None:
    """Raises: ConfigError for variables that nobody reads and that nearly are settings: they would do nothing."""
    meant = {name: found for name in variables if (found := _meant(name)) is not None}
    if meant:
        problems = "\n".join(
            f"  - CODESWARM_{name} is read by nobody; did you mean CODESWARM_{found}?" for name, found in meant.items()
        )
        names = " ".join(f"CODESWARM_{name}" for name in meant)
        raise ConfigError(
            "the environment sets what there is not", problems, f"unset {names} && codeswarm config check"
        )


def _meant(name: str) -> str | None:
    """The variable that a name nearly is; None where it is one, or nothing of ours."""
    section, _, key = name.lower().partition("_")
    if name in NO_SETTINGS or section in Config.model_fields:
        return None
    known = difflib.get_close_matches(
        section if key else name.lower(), Config.model_fields if key else PLACES, n=1, cutoff=0.75
    )
    return "_".join(filter(None, (known[0], key))).upper() if known else None


def from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    """`SWARM_WORKERS=8` → `{"swarm": {"workers": 8}}`. A value is read as TOML where it is that, else as text.

    Where text is wanted, a branch that is called `2024` stays text, too.
    """
    found: dict[str, Any] = {}
    for name, text in variables.items():
        section, _, key = name.lower().partition("_")
        if key and section in Config.model_fields and section not in ("cluster", "launch_providers"):
            found.setdefault(section, {})[key] = _value(text, wants_text=_wants_text(section, key))
    return found


def _value(text: str, *, wants_text: bool) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if wants_text and not isinstance(found, str) else found


def _wants_text(section: str, key: str) -> bool:
    fields = cls.model_fields if (cls := _section(section)) else {}
    return key in fields and fields[key].annotation in (str, str | None)


def _merged(sources: list[Source]) -> Loaded:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source in sources:
        for section, content in source.values.items():
            if isinstance(content, dict):
                values.setdefault(section, {}).update(content)
                origins |= {f"{section}.{key}": source.name for key in content}
            else:
                values[section] = content
                origins[section] = source.name
    return Loaded(Config.model_validate(values), origins)
