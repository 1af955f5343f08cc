"""Sessions to report on, made of commands in virtual time, and evidence to go with them that needs no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from codeswarm.domain.ids import Commit, SessionId
from codeswarm.domain.results import Contract, Finding, Receipt, Usage, Verdict
from codeswarm.domain.ticket import ContractKind
from codeswarm.ledger.base import Recorded
from codeswarm.report.build import build
from codeswarm.report.document import Report
from codeswarm.report.evidence import FileStat, Nothing, Range
from codeswarm.report.history import History, read
from tests.support.sessions import START_MS, Swarm, settings, spec

STEP_MS = 2_000
"""Between two events, where nothing else is said."""
PATCH = """\
diff --git a/src/a.py b/src/a.py
index 1111111..2222222 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,2 +1,2 @@
 kept
-old
+new
"""


@dataclass
class Shown(Nothing):
    """Evidence that says the same of every ticket."""

    files: list[FileStat] = field(default_factory=lambda: [("src/a.py", 1, 1)])
    text: str = PATCH
    words: str = "it broke\nfor good"
    signed: bool | None = True

    def stats(self, ranges: Sequence[Range]) -> list[list[FileStat] | None]:
        return [list(self.files) for _ in ranges]

    def patch(self, old: Commit, new: Commit, most: int) -> tuple[str, bool] | None:
        return self.text[:most], len(self.text) <= most

    def last_words(self, session: str, ticket: str, epoch: int, lines: int) -> str:
        return self.words

    def genuine(self, receipt: Receipt) -> bool | None:
        return self.signed


def records(swarm: Swarm, step_ms: int = STEP_MS) -> list[Recorded]:
    """What a swarm did, as a ledger holds it."""
    return [
        Recorded(number, SessionId("s1"), number, START_MS + number * step_ms, event)
        for number, event in enumerate(swarm.events, 1)
    ]


def history_of(swarm: Swarm, step_ms: int = STEP_MS) -> History:
    return read(SessionId("s1"), records(swarm, step_ms))


def report_on(swarm: Swarm, evidence: Nothing | None = None, *, live: bool = False) -> Report:
    """The report of a swarm as it stands, a minute after the last thing that happened."""
    history = history_of(swarm)
    head = (len(swarm.events), "f" * 64)
    return build(history, evidence or Shown(), made_ms=history.last_ms + 60_000, live=live, head=head)


def morning() -> Swarm:
    """A night: `a` and `b` landed, `b` after a review; `c` failed, `d` waits behind it, `e` is on hold."""
    tickets = (
        spec("a", description="Rows need a model.", acceptance=("it has fields",)),
        spec("b", "a"),
        spec("c", description="Write it to a file.", contract=ContractKind.NONE),
        spec("d", "c", "b"),
        spec("e"),
    )
    swarm = Swarm(*tickets, settings=settings(default_pipeline="contract-first"))
    swarm.hold("e")
    _land(swarm, "a")
    _land(swarm, "b", rework=True)
    while swarm.ticket("c").status != "failed":
        swarm.later(600)
        swarm.begin("c")
        swarm.snapshot("c")
        swarm.end("c", gates={"fast": {"outcome": "red", "tail": "E   assert 1 == 2", "duration_s": 3.0}})
    return swarm


def _land(swarm: Swarm, id_: str, *, rework: bool = False) -> None:
    """All phases and the landing; with `rework` its first review asks for changes."""
    cost = Usage(input_tokens=5000, output_tokens=500, cost_usd=0.5)
    finding = Finding(file="src/a.py", line=3, severity="major", text="a name that tells nothing")
    swarm.begin(id_)
    swarm.end(id_, usage=cost, contract=Contract(postconditions=("rows are equal by value",)))
    while not swarm.ticket(id_).done_with_phases:
        swarm.begin(id_)
        if rework and swarm.ticket(id_).phase.role == "reviewer":
            rework = False
            swarm.end(id_, usage=cost, verdict=Verdict.CHANGES_REQUESTED, findings=(finding,))
        else:
            swarm.end(id_, usage=cost)
    swarm.merge()
    swarm.gate()
    swarm.land()
