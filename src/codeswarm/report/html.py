"""The report as one HTML file that needs nothing else: no script, no font, no picture, no address outside of itself.

All that is written into it goes through one door: it is made visible (`plain.visible`), then escaped. The page forbids
itself everything but its own style sheet, by that one's digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from codeswarm.plain import clock_time, day_and_time, duration, visible
from codeswarm.report import words
from codeswarm.report.document import Report
from codeswarm.report.outcome import money
from codeswarm.report.pictures import Point, plan_picture, time_picture

_DIFF = {"+": "a", "-": "d", "@": "h"}
_HEADS = ("diff --git ", "index ", "--- ", "+++ ", "old mode ", "new mode ", "new file mode ", "deleted file mode ")


def render(report: Report, typing: words.Typing = words.AS_IS) -> str:
    """The page. `typing`: how its commands are to be typed where the reader is."""
    template = _templates().get_template("report.html")
    pictures = {"plan": plan_picture(report), "time": time_picture(report)}
    return template.render(r=report, command=typing.of, **pictures, **_stylesheet())


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("codeswarm.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        keep_trailing_newline=True,
    )
    found.filters["words"] = lambda name: str(name).replace("_", " ")
    found.globals.update(
        marks=words.MARKS,
        state=words.state,
        standing=words.standing,
        proof_outcome=words.proof_outcome,
        signature_words=words.signature_words,
        change_words=words.change_words,
        file_words=words.file_words,
        attempt_time=words.attempt_time,
        attempt_cost=words.attempt_cost,
        tries=words.tries,
        money=money,
        clock_time=clock_time,
        day_and_time=day_and_time,
        duration=duration,
        diff_lines=diff_lines,
        shape=_shape,
    )
    return found


def _harmless(value: Any) -> Any:
    """What every `{{ … }}` passes before it is escaped; markup of our own goes by."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _stylesheet() -> dict[str, Any]:
    text = files("codeswarm.report").joinpath("page/page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"style": Markup(text), "style_digest": f"sha256-{digest}"}  # noqa: S704 - our own file


def diff_lines(patch: str) -> Iterator[tuple[str, str]]:
    """(class, line) of each line of a patch. Only where a file's head stands, `---` is no deleted line."""
    in_head = False
    for line in patch.removesuffix("\n").split("\n"):
        in_head = line.startswith("diff --git ") or (in_head and line.startswith(_HEADS))
        if in_head:
            yield "f" if line.startswith("diff --git ") else "h", line
        else:
            yield _DIFF.get(line[:1], ""), line


def _shape(point: Point) -> str:
    """A moment's sign as a path: kinds differ by their shape, too."""
    x, y = point.x, point.y
    if point.kind in ("bounced", "refused"):
        return f"M{x - 5} {y - 5}H{x + 5}L{x} {y + 5}Z"
    if point.kind in ("saved", "caught_up"):
        return f"M{x} {y - 7}L{x + 6} {y}L{x} {y + 7}L{x - 6} {y}Z"
    if point.kind in ("suspended", "resumed"):
        return f"M{x - 4} {y - 4}H{x + 4}V{y + 4}H{x - 4}Z"
    return f"M{x - 5} {y + 5}H{x + 5}L{x} {y - 5}Z"
