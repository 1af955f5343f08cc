"""The settings: every key of `config.py` with its type, default, meaning, and what a repository may do with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from codeswarm.config import NO_EFFECT, Config, PhaseConfig
from codeswarm.tightening import rule
from generate.markdown import code, document, paragraph, table
from generate.sources import Undocumented, field_texts, text_of
from generate.types import in_words

INTRODUCTION = """\
Every key of `codeswarm.toml` and of your own file; [Configure](../how-to/configure.md) tells where settings come from
and which of them wins. A variable for each is `CODESWARM_SECTION_KEY`. The column *repository* says what the
repository's file may do with a key: *yes* (it counts), *no* (only your own file, variables and flags do), or how it may
only make it stricter.

**No effect yet** marks what is read and checked and changes nothing in this version; `run` and `config show` say so of
each that you set."""
EFFECTLESS = "**No effect yet.**"


@dataclass(frozen=True)
class Setting:
    """One key, as the reference tells it."""

    key: str
    kind: str
    default: Any
    text: str

    @property
    def repository(self) -> str:
        return rule(self.key).told

    @property
    def has_effect(self) -> bool:
        return self.key not in NO_EFFECT and self.key.partition(".")[0] not in NO_EFFECT

    @property
    def row(self) -> tuple[str, ...]:
        meaning = self.text if self.has_effect else f"{EFFECTLESS} {self.text}"
        return code(self.key), meaning, self.kind, shown(self.default), self.repository


def shown(default: Any) -> str:
    """A default as it would stand in the file; — where there is none."""
    if default is None:
        return "—"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return code("{}" if default == {} else json.dumps(default))


def sections() -> Iterator[tuple[str, type[BaseModel] | None]]:
    """Each section, with its class where its keys are not free."""
    for name, value in Config():
        yield name, type(value) if isinstance(value, BaseModel) else None


def settings(section: str, owner: type[BaseModel]) -> list[Setting]:
    """The keys of a section. Raises: Undocumented."""
    schema = owner.model_json_schema()
    texts, values = field_texts(owner), owner.model_construct()
    found = []
    for name, field in owner.model_fields.items():
        key = field.alias or name
        if name not in texts:
            raise Undocumented(f"the setting {section}.{key} has no description: write it below the field in config.py")
        kind = in_words(schema["properties"][key], schema.get("$defs", {}))
        found.append(Setting(f"{section}.{key}", kind, getattr(values, name, None), texts[name]))
    return found


def free_settings(section: str) -> Setting:
    """A section whose keys a person chooses. Raises: Undocumented."""
    text = field_texts(Config).get(section)
    if text is None:
        raise Undocumented(f"the section {section} has no description: write it below the field in config.py")
    schema = Config.model_json_schema()
    content = schema["properties"][section]
    content = content.get("additionalProperties", content)
    kind = in_words(content, schema["$defs"]) if isinstance(content, dict) else "table"
    key = {"roles": "roles.ROLE", "pipelines": "pipelines.NAME"}.get(section, section)
    return Setting(key, kind, None, text)


def all_settings() -> list[Setting]:
    return [
        setting for name, owner in sections() for setting in (settings(name, owner) if owner else [free_settings(name)])
    ]


def _section(name: str, owner: type[BaseModel] | None) -> Iterator[str]:
    heads = ("key", "meaning", "type", "default", "repository")
    if owner is not None:
        yield f"## `[{name}]`"
        yield paragraph(text_of(owner))
        yield table(heads, (setting.row for setting in settings(name, owner)))
        return
    yield f"## `{'[[' if name in ('pipelines', 'launch_providers') else '['}{name}{_closing(name)}`"
    yield table(heads, [free_settings(name).row])
    if name == "pipelines":
        yield from _phases()


def _closing(name: str) -> str:
    return {"pipelines": ".NAME]]", "launch_providers": "]]"}.get(name, "]")


def _phases() -> Iterator[str]:
    yield paragraph(text_of(PhaseConfig) + " See [Write tickets](../how-to/tickets.md#pipelines).")
    rows = (
        (re.sub(r"^pipelines\.", "", setting.key), setting.text, setting.kind)
        for setting in settings("pipelines", PhaseConfig)
    )
    yield table(("key", "meaning", "type"), ((code(key), *rest) for key, *rest in rows))


def page() -> str:
    parts = [part for name, owner in sections() for part in _section(name, owner)]
    return document("Configuration", INTRODUCTION, *parts)
