"""What a planner's tickets are held against, beyond the form that every plan must have.

Errors must be mended before anything is built. Concerns are things that a planner should mend, and that the merge queue
can bear if it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from codeswarm.domain import dag
from codeswarm.domain.plan import Problem
from codeswarm.domain.scheduling import may_overlap
from codeswarm.domain.ticket import TicketSpec

MAX_DESCRIPTION = 20_000
MAX_ACCEPTANCE = 40
MAX_FILES = 60
SAME = 0.8
"""From this share of common words on two tickets about the same files ask for the same."""


@dataclass(frozen=True, slots=True)
class Review:
    errors: tuple[Problem, ...] = ()
    concerns: tuple[Problem, ...] = ()


def review(specs: Sequence[TicketSpec], edges: Mapping[str, Iterable[str]], longest_s: float) -> Review:
    """Look at whole tickets. `edges`: the blockers of each ticket of the plan, those still to be expanded included.

    `longest_s`: what one attempt may take; a ticket that is expected to take longer is too large.
    """
    errors = [problem for spec in specs for problem in _sizes(spec, longest_s)]
    return Review(errors=(*errors, *_duplicates(specs)), concerns=tuple(_overlaps(specs, edges)))


def _sizes(spec: TicketSpec, longest_s: float) -> Iterator[Problem]:
    where = f"ticket {spec.id!r}"
    if not spec.acceptance and not spec.description.strip():
        yield Problem(where=where, what="says neither what is to be done (description) nor when it is (acceptance)")
    if len(spec.description) > MAX_DESCRIPTION:
        yield Problem(where=where, what=f"is described in over {MAX_DESCRIPTION} characters; split it")
    if len(spec.acceptance) > MAX_ACCEPTANCE:
        yield Problem(where=where, what=f"has over {MAX_ACCEPTANCE} points of acceptance; split it")
    if len(spec.files) > MAX_FILES:
        yield Problem(where=where, what=f"names over {MAX_FILES} files; split it, or name folders by globs")
    if spec.estimate_s is not None and spec.estimate_s > longest_s:
        what = f"is estimated at {spec.estimate_s:.0f} s, and an attempt may take {longest_s:.0f} s; split it"
        yield Problem(where=where, what=what)


def _duplicates(specs: Sequence[TicketSpec]) -> Iterator[Problem]:
    """Tickets that ask for one thing twice. Many tickets of a plan may sound alike: those differ in their files."""
    titles = {spec.id: _words(spec.title) for spec in specs}
    texts = {spec.id: _words(spec.description) for spec in specs}
    for one, other in combinations(specs, 2):
        same_words = bool(texts[one.id]) and texts[one.id] == texts[other.id]
        same_files = bool(one.files) and set(one.files) == set(other.files)
        alike = same_files and _alike(titles[one.id] | texts[one.id], titles[other.id] | texts[other.id])
        if titles[one.id] == titles[other.id] or same_words or alike:
            what = f"asks for the same as ticket {one.id!r}; keep one of them, or say what is different"
            yield Problem(where=f"ticket {other.id!r}", what=what)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SAME * len(one | other)


def _overlaps(specs: Sequence[TicketSpec], edges: Mapping[str, Iterable[str]]) -> Iterator[Problem]:
    """Tickets that may run at the same time and will probably edit the same file."""
    before = dag.ancestors(edges)
    for one, other in combinations([spec for spec in specs if spec.files], 2):
        ordered = one.id in before[other.id] or other.id in before[one.id]
        if not ordered and may_overlap(one.files, other.files):
            shared = sorted(set(one.files) & set(other.files)) or [*one.files[:1], *other.files[:1]]
            what = (
                f"will probably edit the same files as ticket {one.id!r} ({', '.join(shared[:3])}) at the same time; "
                "let one be blocked_by the other, or divide the files between them"
            )
            yield Problem(where=f"ticket {other.id!r}", what=what)
