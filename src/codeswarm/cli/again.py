"""The command that was typed, as it should be typed: so that what an error offers can be pasted as it stands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence


def again(words: Sequence[str], flags: str) -> str:
    """The same command with these options in the place of what it said of them. A `   # remark` stays at the end.

    `env NAME=VALUE` comes before it.
    """
    wanted, mark, remark = flags.partition("   #")
    if wanted.startswith("env "):
        return f"{wanted} codeswarm {shlex.join(words)}{mark}{remark}"
    given = shlex.split(wanted)
    kept = list(words)
    for name, has_value in _options(given):
        kept = _without(kept, name, has_value=has_value)
    return f"codeswarm {shlex.join([*kept, *given])}{mark}{remark}"


def words_of(command: str) -> list[str]:
    """What was typed after `codeswarm` in a command of ours."""
    return shlex.split(command)[1:]


def without(words: Sequence[str], *names: str) -> str:
    """The same command without some options that have a value."""
    kept = list(words)
    for name in names:
        kept = _without(kept, name, has_value=True)
    return f"codeswarm {shlex.join(kept)}"


def _options(given: Sequence[str]) -> Iterable[tuple[str, bool]]:
    """Each option, and whether a value follows it."""
    for place, word in enumerate(given):
        if word.startswith("--"):
            following = given[place + 1 : place + 2]
            yield word, bool(following) and not following[0].startswith("--")


def _without(words: list[str], name: str, *, has_value: bool) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == name:
            if has_value:
                next(rest, None)
        elif not word.startswith(f"{name}="):
            kept.append(word)
    return kept
