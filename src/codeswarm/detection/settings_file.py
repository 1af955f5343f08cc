"""`codeswarm.toml` as `init` writes it: what was detected, each with where it was read, and the next keys to know."""

from __future__ import annotations

import json
from collections.abc import Iterator

from codeswarm.detection.base import Proposed
from codeswarm.detection.detect import Detected

_HEAD = """\
# How Codeswarm builds and tests this repository. It counts as it is committed; later changes too.
# Every key: codeswarm config show --all
"""
_NO_GATE = """\
# No test command was found. A gate is a command that must pass before anything lands:
# fast = "make test"
"""
_MORE = """\

# [pipeline]
# default = "contract-first"    # tests first, then the code, then a review; "single": one agent does it all

# [swarm]
# workers = 4                   # agents at once
"""


def render(base: str | None, detected: Detected) -> str:
    """The text of the file. `base`: the branch to begin from, None to leave it to the one checked out."""
    return _HEAD + "\n".join(_project(base)) + "\n\n" + "\n".join(_sections(detected)) + "\n" + _MORE


def _project(base: str | None) -> Iterator[str]:
    yield "[project]"
    if base is None:
        yield '# base = "main"               # left out: the branch that is checked out'
    else:
        yield f"base = {quoted(base)}"


def _sections(detected: Detected) -> Iterator[str]:
    for section in ("gates", "workspace"):
        found = [value for value in detected.values if value.key.partition(".")[0] == section]
        if section == "gates" or found:
            yield f"[{section}]"
            yield from _keys(found)
            if section == "gates" and detected.gate is None:
                yield _NO_GATE.rstrip()
            if section == "gates":
                yield ""


def _keys(found: list[Proposed]) -> Iterator[str]:
    for value in found:
        why = f"{value.source}: {value.why}" if value.why else value.source
        yield f"# {_plain(why)}"
        yield f"{value.key.partition('.')[2]} = {quoted(value.value)}"


def quoted(value: str | list[str]) -> str:
    """A value as TOML writes it; JSON's escapes are a part of TOML's, but for DEL, which TOML wants escaped, too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
