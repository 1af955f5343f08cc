"""Options that nobody gave, and words that are taken as they stand, are not checked.

typer checks every parameter with pydantic, what was left out, too, and that takes longer to load than most commands
need for their answer. What was given and is more than a word is checked as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class _WhenGiven:
    """What checks a parameter, made once there is something to check."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        left_out = value is None and not param.multiple and param.nargs == 1
        as_it_stands = isinstance(value, str) and param.type_descriptor.annotation is str
        return value if left_out or as_it_stands else self._make().coerce(value, param=param, ctx=ctx)


def check_what_is_given(params: Iterable[Any]) -> None:
    """A typer that asks in another way than by `get_runtime_param` is as slow as before, and no worse."""
    for param in params:
        if make := getattr(param, "get_runtime_param", None):
            checked = _WhenGiven(make)
            param.get_runtime_param = lambda checked=checked: checked
