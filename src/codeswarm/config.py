"""Every setting, once: its name, its type, its default, and where a value came from.

Later sources win: defaults, the repository's `codeswarm.toml` (as it stands at the session's base commit), the
person's own file, `CODESWARM_*` variables, flags. The repository is data: of it counts what describes the project and
what tightens; what would loosen walls, spend more or reach outside is ignored, and named.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codeswarm.environment import Environment
from codeswarm.errors import ConfigError

FILE = "codeswarm.toml"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectConfig(Section):
    base: str | None = None
    """Default: the branch checked out."""


class GatesConfig(Section):
    fast: str | None = None
    full: str | None = None
    contract: str | None = None
    timeout_s: float = Field(900.0, gt=0)


class WorkspaceConfig(Section):
    setup: str | None = None
    setup_inputs: list[str] = []
    setup_network: list[str] = []
    setup_timeout_s: float = Field(1800.0, gt=0)
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
    lease_ttl_s: float = Field(60.0, gt=0)
    heartbeat_s: float = Field(10.0, gt=0)


class PipelineConfig(Section):
    default: str = "contract-first"


class PhaseConfig(Section):
    name: str
    role: str
    gate: str | None = None


Approvable = Literal["plan", "landing", "all", "none"]


class PolicyConfig(Section):
    approve: list[Approvable] | None = None
    """Default: the plan where there is a terminal, nothing elsewhere."""
    approvals: dict[Literal["landing"], int] = {}
    sensitive: list[str] = []
    approval_timeout_s: float = Field(86_400.0, ge=0)
    auto_resolve: list[str] = []
    max_attempts: int = Field(3, ge=1)
    save_to: Literal["ff", "branch", "pr"] = "ff"
    attempt_timeout_s: float = Field(7200.0, gt=0)
    silence_timeout_s: float = Field(1800.0, gt=0)
    backoff_base_s: float = Field(2.0, ge=0)
    backoff_max_s: float = Field(300.0, ge=0)
    max_interruptions: int = Field(20, ge=1)
    max_restarts: int = Field(20, ge=1)
    restart_window_s: float = Field(60.0, gt=0)


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


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where each was set, and what of the repository was ignored."""

    config: Config
    origins: Mapping[str, str]
    """`section.key` → the name of the source that set it; what is missing has its default."""
    ignored: tuple[str, ...] = ()
    """Keys of the repository's file that would loosen something, with the reason."""


def load(environment: Environment, repository: bytes | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Read and merge all sources. `repository` is the content of its file at the base commit.

    Raises: ConfigError with every mistake of the first source that has one.
    """
    user_text = environment.user_config.read_bytes() if environment.user_config.is_file() else None
    theirs = _parse("codeswarm.toml", repository)
    ours = [
        Source(str(environment.user_config), _parse(str(environment.user_config), user_text)),
        Source("environment", from_variables(environment.settings)),
        Source("flags", flags or {}),
    ]
    for source in (Source(FILE, theirs), *ours):
        check(source)
    kept, ignored = tighten(theirs, _merged(ours).config)
    loaded = _merged([Source(FILE, kept), *ours])
    return Loaded(loaded.config, loaded.origins, tuple(ignored))


def check(source: Source) -> None:
    """Raises: ConfigError naming every unknown key (and the nearest known one) and every value of a wrong type."""
    try:
        Config.model_validate(source.values)
    except ValidationError as error:
        problems = "\n".join(f"  - {_problem(item)}" for item in error.errors(include_url=False))
        raise ConfigError(
            f"{source.name} has settings that can't be used", problems, "codeswarm config show"
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
    section = Config.model_fields.get(path[0])
    annotation = section.annotation if section else None
    if not isinstance(annotation, type) or not issubclass(annotation, Section):
        return []
    return [found.alias or name for name, found in annotation.model_fields.items()]


def _parse(name: str, text: bytes | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} can't be read", str(error), f"mend {name}") from error


def from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    """`SWARM_WORKERS=8` → `{"swarm": {"workers": 8}}`. A value is read as TOML where it is that, else as text."""
    found: dict[str, Any] = {}
    for name, text in variables.items():
        section, _, key = name.lower().partition("_")
        if key and section in Config.model_fields and section not in ("cluster", "launch_providers"):
            found.setdefault(section, {})[key] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


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

_FREE = ("project", "gates", "workspace", "swarm", "pipeline", "pipelines")
_COMMANDS = ("command", "acp", "replay", "api")
"""Kinds of agents that name a program or an endpoint: not for a repository to choose."""
_SAVE_ORDER = ("ff", "branch", "pr")


@dataclass(slots=True)
class _Tightening:
    kept: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def keep(self, section: str, key: str, value: Any) -> None:
        self.kept.setdefault(section, {})[key] = value

    def ignore(self, section: str, key: str, why: str) -> None:
        self.ignored.append(f"{section}.{key}: {why}")


def tighten(theirs: Mapping[str, Any], ours: Config) -> tuple[dict[str, Any], list[str]]:
    """What of a repository's settings applies beside the person's own, and what is ignored and why."""
    result = _Tightening()
    for section, content in theirs.items():
        if section == "workspace":
            _workspace(content, result)
        elif section in _FREE:
            result.kept[section] = content
        elif section == "roles":
            _roles(content, result)
        elif section == "policy":
            _policy(content, ours.policy, result)
        elif section == "budget":
            _budget(content, ours.budget, result)
        else:
            keys = content if isinstance(content, dict) else [section]
            for key in keys:
                result.ignore(section, key, "a repository may not set this; put it into your own file")
    return result.kept, result.ignored


def _workspace(content: Mapping[str, Any], result: _Tightening) -> None:
    for key, value in content.items():
        if key == "setup_network" and any(host != "@registries" for host in value):
            result.ignore("workspace", key, "a repository may only ask for @registries")
        else:
            result.keep("workspace", key, value)


def _roles(content: Mapping[str, list[str]], result: _Tightening) -> None:
    for role, specs in content.items():
        if any(spec.partition(":")[0] in _COMMANDS for spec in specs):
            result.ignore("roles", role, "a repository may name coding CLIs and models, not commands")
        else:
            result.keep("roles", role, specs)


def _policy(content: Mapping[str, Any], ours: PolicyConfig, result: _Tightening) -> None:
    for key, value in content.items():
        if key == "approve":
            wanted = [what for what in value if what != "none"]
            result.keep("policy", key, sorted({*wanted, *(ours.approve or [])}))
        elif key == "sensitive":
            result.keep("policy", key, [*ours.sensitive, *value])
        elif key == "approvals":
            least = ours.approvals.get("landing", 1)
            result.keep("policy", key, {"landing": max(value.get("landing", 1), least)})
        elif _stricter(key, value, ours):
            result.keep("policy", key, value)
        else:
            result.ignore("policy", key, "a repository may only make this stricter")


def _stricter(key: str, value: Any, ours: PolicyConfig) -> bool:
    if key == "save_to":
        return _SAVE_ORDER.index(value) >= _SAVE_ORDER.index(ours.save_to)
    return isinstance(value, int | float) and value <= getattr(ours, key)


def _budget(content: Mapping[str, Any], ours: BudgetConfig, result: _Tightening) -> None:
    for key, value in content.items():
        now = getattr(ours, key)
        lower_is_stricter = key in ("usd", "tokens", "per_ticket_usd")
        higher_is_stricter = key in ("count_subscription", "quota_reserve", "reserve_usd", "reserve_tokens")
        if (lower_is_stricter and (now is None or value <= now)) or (higher_is_stricter and value >= now):
            result.keep("budget", key, value)
        else:
            result.ignore("budget", key, "a repository may only make this stricter")
