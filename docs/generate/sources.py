"""What the code says of itself and Python forgets: the texts below fields, and the headings between classes."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

FOREIGN = {"pydantic", *sys.stdlib_module_names}
"""Packages whose classes have nothing to say about ours that are made from them."""


class Undocumented(Exception):
    """Something that people use is not described. The text says what, and where its description belongs."""


def field_texts(owner: type[Any]) -> dict[str, str]:
    """Field (or member of an enumeration) → the text below it, of a class and of those it is made from."""
    found: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        if base.__module__.partition(".")[0] not in FOREIGN:
            found |= _texts(_classes(base.__module__)[base.__name__])
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes at the top of a module."""
    source = Path(inspect.getfile(sys.modules[module])).read_text(encoding="utf-8")
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _texts(tree: ast.ClassDef) -> dict[str, str]:
    return {
        name: " ".join(below.value.value.split())
        for above, below in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
        for name in _assigned(above)
    }


def _assigned(statement: ast.stmt) -> Iterator[str]:
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def text_of(owner: type[Any]) -> str:
    """The docstring of a class. Raises: Undocumented."""
    own = owner.__dict__.get("__doc__")
    if not own:
        raise Undocumented(f"{owner.__name__} in {owner.__module__} has no docstring: say there what it means")
    return inspect.cleandoc(own)
