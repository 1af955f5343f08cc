"""A type in plain words, from its JSON schema: what may stand there, and between which bounds."""

from __future__ import annotations

from typing import Any

PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
    "array": "list",
}
FAR = 1e9
"""A bound beyond it only keeps nonsense out, and tells nobody anything."""
MANY = {"table": "tables", "PhaseConfig": "phases"}
"""What a list of these is a list of."""


def in_words(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """`known`: the schemas that `$ref` names."""
    if "$ref" in schema:
        return _named(schema["$ref"].rpartition("/")[2], known)
    if "anyOf" in schema:
        kinds = [in_words(kind, known) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " · ".join(schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return _list(schema, known)
    if schema.get("format") == "date-time":
        return "date and time with zone"
    return f"{PLAIN.get(kind, kind)}{_bounds(schema)}"


def _list(schema: dict[str, Any], known: dict[str, Any]) -> str:
    items = schema.get("items")
    kind = in_words(items, known) if items else ""
    return f"list of {MANY.get(kind, kind)}" if kind else "list"


def _named(name: str, known: dict[str, Any]) -> str:
    """An enumeration by its values, a model by its name."""
    schema = known.get(name, {})
    return in_words(schema, known) if "enum" in schema else name


def _bounds(schema: dict[str, Any]) -> str:
    if schema.get("type") not in ("integer", "number"):
        return ""
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    least = None if least is not None and least <= -FAR else least
    most = None if most is not None and most >= FAR else most
    if least is not None and most is not None:
        return f", {least:g} to {most:g}"
    if least is not None:
        return f", at least {least:g}"
    return f", more than {above:g}" if above is not None else ""
