"""Reading a tickets file: YAML or JSON, from a path or from standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from codeswarm.errors import TicketsInvalid, UsageError

MAX_BYTES = 64 << 20


def read_tickets(source: str, directory: Path) -> dict[str, Any]:
    """The content of a tickets source, not validated yet but for being a mapping.

    Raises: UsageError where it can't be read, TicketsInvalid where it is not YAML or JSON.
    """
    for prefix in ("beads:", "github:"):
        if source.startswith(prefix):
            raise UsageError(f"{prefix} sources are not part of this version", "", "--tickets FILE.yaml")
    return parse_tickets(*_text(source, directory))


def parse_tickets(name: str, text: str) -> dict[str, Any]:
    """What a tickets file of that name holds. Raises: TicketsInvalid where it is not YAML or JSON."""
    try:
        found = json.loads(text) if name.endswith(".json") else yaml.load(text, Loader=_Loader)  # noqa: S506 - it is safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TicketsInvalid(
            name, [f"it is not {'JSON' if name.endswith('.json') else 'YAML'}: {_short(error)}"]
        ) from error
    if not isinstance(found, dict):
        raise TicketsInvalid(name, ["it must be a mapping with the key 'tickets'"])
    return found


def _text(source: str, directory: Path) -> tuple[str, str]:
    if source == "-":
        return "standard input", sys.stdin.read(MAX_BYTES)
    path = directory / source
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{source} is larger than {MAX_BYTES >> 20} MiB", "", "split it")
        return source, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the tickets file {source} can't be read", str(error), "codeswarm run --tickets FILE"
        ) from error


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


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
