"""Every setting, once: its name, its type, its default, and where a value came from.

Later sources win: defaults, the repository's `codeswarm.toml` (as it stands at the session's base commit), the
person's own file, `CODESWARM_*` variables, flags. The repository is data: of it counts what describes the project and
what tightens; what would loosen walls, spend more or reach outside is ignored, and named. Where it is stricter than
the person's standing settings (file and variables), it holds against them; flags are the person's word for this one
run, and hold against everything.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codeswarm.domain.pipeline import Role
from codeswarm.environment import Environment
from codeswarm.errors import ConfigError

FILE = "codeswarm.toml"

Duration = Annotated[float, Field(gt=0, le=1e9)]
Wait = Annotated[float, Field(ge=0, le=1e9)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProjectConfig(Section):
    base: str | None = None
    """Default: the branch checked out."""


class GatesConfig(Section):
    fast: str | None = None
    full: str | None = None
    contract: str | None = None
    timeout_s: Duration = 900.0


class WorkspaceConfig(Section):
    kind: Literal["auto", "overlay", "checkout"] = "auto"
    """Overlays are ready sooner and take less room; `auto` makes checkouts where they don't work."""
    setup: str | None = None
    setup_inputs: list[str] = []
    setup_network: list[str] = []
    setup_timeout_s: Duration = 1800.0
    copy_: list[str] = Field([], alias="copy")
    ports: list[str] = []
    max_file_mib: int = Field(100, ge=1)
    max_ignored_mib: int = Field(64, ge=0)


class SwarmConfig(Section):
    workers: int = Field(4, ge=1, le=256)
    """Agents at once."""
    test_writers: int | None = Field(None, ge=1)
    implementers: int | None = Field(None, ge=1)
    reviewers: int | None = Field(None, ge=1)
    planner: bool = True
    continuous: bool = False
    lease_ttl_s: Duration = 60.0
    heartbeat_s: Duration = 10.0


class PipelineConfig(Section):
    default: str = "contract-first"


class PhaseConfig(Section):
    name: str
    role: Role
    gate: Literal["fast", "full", "contract"] | None = None


Approvable = Literal["plan", "landing", "all", "none"]


class PolicyConfig(Section):
    approve: list[Approvable] | None = None
    """Default: the plan where there is a terminal, nothing elsewhere."""
    approvals: dict[Literal["landing"], Annotated[int, Field(ge=1)]] = {}
    sensitive: list[str] = []
    approval_timeout_s: Wait = 86_400.0
    auto_resolve: list[str] = []
    max_attempts: int = Field(3, ge=1)
    save_to: Literal["ff", "branch", "pr"] = "ff"
    attempt_timeout_s: Duration = 7200.0
    silence_timeout_s: Duration = 1800.0
    backoff_base_s: Wait = 2.0
    backoff_max_s: Wait = 300.0
    max_interruptions: int = Field(20, ge=1)
    max_restarts: int = Field(20, ge=1)
    restart_window_s: Duration = 60.0


class BudgetConfig(Section):
    usd: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    per_ticket_usd: float | None = Field(None, gt=0)
    count_subscription: bool = False
    quota_reserve: float = Field(0.0, ge=0, le=1)
    reserve_usd: float = Field(0.5, ge=0)
    reserve_tokens: int = Field(100_000, ge=0)


class SandboxConfig(Section):
    kind: str = "auto"
    network: list[str] = ["@agent", "@registries"]
    memory_mib: int | None = Field(None, ge=1)
    cpus: float | None = Field(None, gt=0)
    read: list[str] = []
    """Further host paths that agents and gates may read."""


class LedgerConfig(Section):
    url: str = ""


class EngineConfig(Section):
    driver: Literal["embedded", "temporal"] = "embedded"


class ForgeConfig(Section):
    kind: str = ""
    repo: str = ""
    token: str = ""
    pull_requests: Literal["session", "ticket", "none"] = "session"
    write_back: bool = False


class NotifyConfig(Section):
    urls: list[str] = []
    on: list[str] = []


class TelemetryConfig(Section):
    otlp_endpoint: str = ""
    log_format: Literal["json", "text"] = "json"


class Config(Section):
    """The whole of `codeswarm.toml`."""

    project: ProjectConfig = ProjectConfig()
    gates: GatesConfig = GatesConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
    swarm: SwarmConfig = SwarmConfig()
    roles: dict[str, list[str]] = {}
    pipeline: PipelineConfig = PipelineConfig()
    pipelines: dict[str, list[PhaseConfig]] = {}
    policy: PolicyConfig = PolicyConfig()
    budget: BudgetConfig = BudgetConfig()
    sandbox: SandboxConfig = SandboxConfig()
    ledger: LedgerConfig = LedgerConfig()
    engine: EngineConfig = EngineConfig()
    cluster: dict[str, Any] = {}
    launch_providers: list[dict[str, Any]] = []
    forge: ForgeConfig = ForgeConfig()
    notify: NotifyConfig = NotifyConfig()
    telemetry: TelemetryConfig = TelemetryConfig()


@dataclass(frozen=True, slots=True)
class Source:
    """One place that settings come from."""

    name: str
    values: Mapping[str, Any]


NO_EFFECT = frozenset(
    {
        "swarm.planner",
        "policy.auto_resolve",
        "budget.count_subscription",
        "budget.quota_reserve",
        "sandbox.memory_mib",
        "sandbox.cpus",
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

    @property
    def without_effect(self) -> list[str]:
        """Keys that someone set and that change nothing yet: whoever set them may think otherwise."""
        return [key for key in self.origins if key in NO_EFFECT or key.partition(".")[0] in NO_EFFECT]


def load(environment: Environment, repository: bytes | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Read and merge all sources. `repository` is the content of its file at the base commit.

    Raises: ConfigError with every mistake of the first source that has one.
    """
    user_text = environment.user_config.read_bytes() if environment.user_config.is_file() else None
    theirs, asked = Source(FILE, _parse(FILE, repository)), Source("flags", flags or {})
    standing = [
        Source(str(environment.user_config), _parse(str(environment.user_config), user_text)),
        Source("environment", from_variables(environment.settings)),
    ]
    for source in (theirs, *standing, asked):
        check(source)
    kept, ignored = tighten(theirs.values, _merged(standing).config)
    stricter = {section: kept.pop(section) for section in _TIGHTENING if section in kept}
    loaded = _merged([Source(FILE, kept), *standing, Source(FILE, stricter), asked])
    return Loaded(loaded.config, loaded.origins, tuple(ignored))


def check(source: Source) -> None:
    """Raises: ConfigError naming every unknown key (and the nearest known one) and every value of a wrong type."""
    try:
        Config.model_validate(source.values)
    except ValidationError as error:
        problems = "\n".join(f"  - {_problem(item)}" for item in error.errors(include_url=False))
        raise ConfigError(
            f"{source.name} has settings that can't be used", problems, "mend them, then: codeswarm config check"
        ) from error


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
        raise ConfigError(f"{name} can't be read", str(error), f"mend {name}") from error


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


# ── what a repository may say ────────────────────────────────────────────────────────────────────────────────

_FREE = ("project", "gates", "pipeline", "pipelines")
_TIGHTENING = ("policy", "budget")
"""Of these only what is stricter."""
_CLIS = ("claude", "codex", "gemini")
"""Kinds of agents that a repository may choose: all others name a program or an endpoint."""
_SAVE_ORDER = ("ff", "branch", "pr")
_MORE_IS_STRICTER = (
    "count_subscription",
    "quota_reserve",
    "reserve_usd",
    "reserve_tokens",
    "backoff_base_s",
    "backoff_max_s",
    "restart_window_s",
)
_ONLY_STRICTER = "a repository may only make this stricter"


@dataclass(slots=True)
class _Tightening:
    kept: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def keep(self, section: str, key: str, value: Any) -> None:
        self.kept.setdefault(section, {})[key] = value

    def ignore(self, section: str, key: str, why: str) -> None:
        where = f"{section}.{key}" if key else section
        self.ignored.append(f"{where}: {why}")


def tighten(theirs: Mapping[str, Any], ours: Config) -> tuple[dict[str, Any], list[str]]:
    """What of a repository's settings applies beside the person's own, and what is ignored and why."""
    result = _Tightening()
    for section, content in theirs.items():
        if section == "workspace":
            _workspace(content, result)
        elif section == "swarm":
            _swarm(content, result)
        elif section in _FREE:
            result.kept[section] = content
        elif section == "roles":
            _roles(content, result)
        elif section == "policy":
            _policy(content, ours.policy, result)
        elif section == "budget":
            _budget(content, ours.budget, result)
        else:
            keys = content if isinstance(content, dict) else [""]
            for key in keys:
                result.ignore(section, key, "a repository may not set this; put it into your own file")
    return result.kept, result.ignored


def _workspace(content: Mapping[str, Any], result: _Tightening) -> None:
    for key, value in content.items():
        if key == "setup_network" and any(host != "@registries" for host in value):
            result.ignore("workspace", key, "a repository may only ask for @registries")
        else:
            result.keep("workspace", key, value)


def _swarm(content: Mapping[str, Any], result: _Tightening) -> None:
    for key, value in content.items():
        if key == "continuous" and value:
            result.ignore(
                "swarm", key, "your branch moves only by a save that you asked for; put it into your own file"
            )
        else:
            result.keep("swarm", key, value)


def _roles(content: Mapping[str, list[str]], result: _Tightening) -> None:
    for role, specs in content.items():
        if any(spec.partition(":")[0] not in _CLIS for spec in specs):
            result.ignore("roles", role, "a repository may name coding CLIs and models, not commands")
        else:
            result.keep("roles", role, specs)


def _policy(content: Mapping[str, Any], ours: PolicyConfig, result: _Tightening) -> None:
    for key, value in content.items():
        if key == "approve":
            _approve({*value} - {"none"}, ours, result)
        elif key == "sensitive":
            result.keep("policy", key, list(dict.fromkeys((*ours.sensitive, *value))))
        elif key == "approvals":
            least = ours.approvals.get("landing", 1)
            result.keep("policy", key, {"landing": max(value.get("landing", 1), least)})
        elif _stricter(key, value, getattr(ours, key)):
            result.keep("policy", key, value)
        else:
            result.ignore("policy", key, _ONLY_STRICTER)


def _approve(wanted: set[str], ours: PolicyConfig, result: _Tightening) -> None:
    """A repository asks for approvals, and never does away with any; not even with those that are the default."""
    if wanted:
        result.keep("policy", "approve", sorted({*wanted, *(ours.approve or [])} - {"none"}))
    else:
        result.ignore("policy", "approve", _ONLY_STRICTER)


def _stricter(key: str, value: Any, now: Any) -> bool:
    """Whether a value is at least as strict as the one in force; None: there is no bound yet."""
    if key == "save_to":
        return _SAVE_ORDER.index(value) >= _SAVE_ORDER.index(now)
    if isinstance(value, list):
        return False
    return now is None or bool(value >= now if key in _MORE_IS_STRICTER else value <= now)


def _budget(content: Mapping[str, Any], ours: BudgetConfig, result: _Tightening) -> None:
    for key, value in content.items():
        if _stricter(key, value, getattr(ours, key)):
            result.keep("budget", key, value)
        else:
            result.ignore("budget", key, _ONLY_STRICTER)
