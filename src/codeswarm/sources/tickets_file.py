"""A tickets file of our own, YAML or JSON: read, and written so that it is read again as the same plan."""

from __future__ import annotations

import json
from typing import Any

import yaml

from codeswarm.errors import TicketsInvalid
from codeswarm.sources.json_text import HALF, NO_NUMBER, halves, no_numbers, why_unreadable

Data = dict[str, Any]


def parse_tickets(name: str, text: str) -> Data:
    """What a tickets file of that name holds: JSON where the name says so, else YAML. Raises: TicketsInvalid."""
    return _json(name, text) if name.endswith(".json") else _yaml(name, text)


def _json(name: str, text: str) -> Data:
    try:
        return _mapping_of(name, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise TicketsInvalid(name, [f"it is not JSON: {why_unreadable(error)}"]) from error


def _yaml(name: str, text: str) -> Data:
    try:
        return _mapping_of(name, yaml.load(text, Loader=_Loader))  # noqa: S506 - it is safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TicketsInvalid(name, [f"it is not YAML: {why_unreadable(error)}"]) from error


def _mapping_of(name: str, found: object) -> Data:
    if not isinstance(found, dict):
        raise TicketsInvalid(name, ["it must be a mapping with the key 'tickets'"])
    problems = [f"{where} holds {HALF}" for where in sorted(halves(found))]
    if problems := problems + [f"{where} {NO_NUMBER}" for where in sorted(no_numbers(found))]:
        raise TicketsInvalid(name, problems)
    return found


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error, and times stay text."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _time(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _time)


# ── writing ──


def write_json(plan: Data) -> str:
    return json.dumps(plan, indent=2, ensure_ascii=False) + "\n"


def write_yaml(data: object) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Texts of many lines as blocks, which people can read and edit."""


def _block(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)
