"""Which pipelines there are: those that are shipped, and the ones of the settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codeswarm.config import Config, PhaseConfig
from codeswarm.domain.pipeline import SHIPPED, Phase, Pipeline
from codeswarm.domain.rejection import closest
from codeswarm.errors import ConfigError


def pipelines_of(config: Config) -> dict[str, Pipeline]:
    """By name. Raises: ConfigError where one makes no sense, or where the default is none of them."""
    pipelines = {**SHIPPED, **{name: _pipeline(name, phases) for name, phases in config.pipelines.items()}}
    check_known(config.pipeline.default, pipelines)
    return pipelines


def check_known(name: str, pipelines: Iterable[str]) -> None:
    """Raises: ConfigError."""
    known = list(pipelines)
    if name not in known:
        meant = closest(name, known, "single")
        raise ConfigError(f"there is no pipeline {name!r}", f"known are {', '.join(known)}", f"--pipeline {meant}")


def _pipeline(name: str, phases: Sequence[PhaseConfig]) -> Pipeline:
    try:
        made = tuple(Phase(name=phase.name, role=phase.role, gate=phase.gate) for phase in phases)
        return Pipeline(name=name, phases=made)
    except ValueError as error:
        raise ConfigError(f"the pipeline {name!r} makes no sense", str(error), "codeswarm config show") from error
