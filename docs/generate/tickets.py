"""The tickets file: every key of a ticket, and the pipelines and roles that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codeswarm.domain.pipeline import DEFAULT_PIPELINE, SHIPPED, Phase, Role
from codeswarm.domain.ticket import ContractKind, TicketSpec
from generate.configuration import shown
from generate.markdown import code, document, table
from generate.sources import Undocumented, field_texts
from generate.types import in_words

INTRODUCTION = """\
YAML or JSON with `goal` (text; optional) and `tickets`, a list. [Write tickets](../how-to/tickets.md) shows one, and
what each key does. Only `id` and `title` are needed. An unknown key is a mistake, and named with the nearest known
one."""


def described(owner: type[Any], name: str) -> str:
    """Raises: Undocumented."""
    text = field_texts(owner).get(name)
    if text is None:
        raise Undocumented(f"{owner.__name__}.{name} has no description: write it below it in {owner.__module__}")
    return text


def _keys() -> Iterator[tuple[str, ...]]:
    schema = TicketSpec.model_json_schema()
    for name, field in TicketSpec.model_fields.items():
        kind = in_words(schema["properties"][name], schema.get("$defs", {}))
        default = None if field.is_required() else field.default
        told = "needed" if field.is_required() else shown(list(default) if default == () else default)
        yield code(name), described(TicketSpec, name), kind, told


def _phase(phase: Phase) -> str:
    return f"{phase.name} ({phase.role}{f', {phase.gate}' if phase.gate else ''})"


def page() -> str:
    pipelines = (
        (code(name) + (" (the default)" if name == DEFAULT_PIPELINE else ""), " → ".join(map(_phase, pipeline.phases)))
        for name, pipeline in SHIPPED.items()
    )
    return document(
        "The tickets file",
        INTRODUCTION,
        "## Keys of a ticket",
        table(("key", "meaning", "type", "default"), _keys()),
        "## Kinds of contracts",
        table(("`contract`", "meaning"), ((code(kind), described(ContractKind, kind.name)) for kind in ContractKind)),
        "## Pipelines",
        table(("name", "phases (role, gate)"), pipelines),
        "## Roles",
        table(("role", "what it does"), ((code(role), described(Role, role.name)) for role in Role)),
    )
