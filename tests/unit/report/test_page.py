from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache

import pytest
from justhtml import JustHTML

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import Finding, Verdict
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Policy
from codeswarm.domain.ticket import TicketSpec
from codeswarm.report import html
from codeswarm.report.build import build
from codeswarm.report.chart import MOST_BARS
from codeswarm.report.document import Bar, Report
from codeswarm.report.history import History
from codeswarm.report.words import Typing
from tests.support.sessions import START_MS, Swarm, settings, spec
from tests.support.stories import PATCH, Shown, morning, report_on

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{ 7 * 7 }}\x1b[2J\u202e\x00&lt;'
"""What an agent, a repository or a ticket may hold in any of its texts."""


def parsed(page: str) -> JustHTML:
    """Raises: StrictModeError for whatever a browser would have to guess at."""
    return JustHTML(page, strict=True, sanitize=False)


def evil() -> Report:
    """Every text that others write is hostile."""
    ticket = TicketSpec(
        id=TicketId("a"), title=EVIL, description=EVIL, acceptance=(EVIL,), labels=(EVIL,), files=("*",)
    )
    swarm = Swarm(ticket, spec("b", "a"), settings=settings(default_pipeline="contract-first"))
    swarm.begin("a")
    swarm.end("a", summary=EVIL, decisions=(EVIL,), files=(EVIL,))
    swarm.begin("a")
    swarm.end("a", gates={"fast": {"outcome": "red", "tail": EVIL}})
    swarm.later(600)
    swarm.phase("a")
    swarm.begin("a")
    swarm.end("a", verdict=Verdict.CHANGES_REQUESTED, findings=(Finding(file=EVIL, severity=EVIL, text=EVIL),))
    patch = PATCH.replace("+new", f"+{EVIL}")
    report = report_on(swarm, Shown(files=[(EVIL, 1, None)], text=patch))
    return report.model_copy(update={"answer": EVIL, "name": EVIL, "goal": EVIL, "headline": EVIL})


@pytest.fixture(scope="module")
def page() -> str:
    return html.render(report_on(morning()))


def test_the_page_is_html_without_a_single_mistake(page: str) -> None:
    found = parsed(page)
    assert [node.to_text() for node in found.query("h1")] == [report_on(morning()).headline]
    assert len(found.query("details.ticket")) == 5


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    found = parsed(page)
    assert not found.query("script, link, img, iframe, object, embed, form, base, video, audio, [src], [style]")
    assert all(node.attrs["href"].startswith("#") for node in found.query("[href]"))
    assert "url(" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\s\"]+", page)) == {"http://www.w3.org/2000/svg"}


def test_the_page_forbids_itself_everything_but_its_own_style_sheet(page: str) -> None:
    found = parsed(page)
    (style,) = found.query("style")
    digest = base64.b64encode(hashlib.sha256(style.to_text(strip=False).encode()).digest()).decode()
    (policy,) = found.query("meta[http-equiv]")
    wanted = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy.attrs["content"] == wanted


def test_every_link_leads_to_a_part_of_the_page(page: str) -> None:
    found = parsed(page)
    ids = [node.attrs["id"] for node in found.query("[id]")]
    assert len(ids) == len(set(ids))
    assert {node.attrs["href"][1:] for node in found.query("[href]")} <= set(ids)


def test_whatever_others_wrote_stays_text() -> None:
    page = html.render(evil())
    found = parsed(page)
    assert not found.query("script, img, [onerror]")
    assert page.count("&lt;script&gt;alert(1)") > 15, "it was told in many places"
    assert "{{ 7 * 7 }}" in page, "a template in a text is no template"
    assert not {"\x1b", "\x00", "\u202e"} & set(page)


def test_what_needs_a_person_is_open_and_what_landed_is_closed(page: str) -> None:
    opened = {node.attrs["id"]: "open" in node.attrs for node in parsed(page).query("details.ticket")}
    assert opened == {"t-c": True, "t-e": True, "t-a": False, "t-b": False, "t-d": False}


def test_a_plan_that_waits_is_open_to_be_read() -> None:
    swarm = Swarm("a", spec("b", "a"), settings=settings(policy=Policy(approve_plan=True)))
    found = parsed(html.render(report_on(swarm)))
    assert len(found.query("details.ticket[open]")) == 2
    assert {node.to_text() for node in found.query("summary .state")} == {"proposed"}
    assert len(found.query("svg .road")) == 1


def test_every_state_is_told_in_words_and_not_by_its_colour_alone(page: str) -> None:
    found = parsed(page)
    told = {node.to_text() for node in found.query("summary .state")}
    assert told == {"failed", "on hold", "landed", "pending"}
    nodes = [node.to_text() for node in found.query("svg .node")]
    assert any("✗ c" in text and "failed" in text for text in nodes)
    assert any(text.startswith("✗ ") for node in found.query("svg .bar text") if (text := node.to_text()))


def test_the_plan_and_the_time_are_drawn_with_all_that_is_in_them(page: str) -> None:
    found, report = parsed(page), report_on(morning())
    assert len(found.query("svg .node")) == 5
    assert len(found.query("svg .road")) == 3
    assert len(found.query("svg .bar")) == len(report.bars)
    assert len(found.query("svg .point")) == len(report.marks)
    assert all(node.query("title") for node in found.query("svg .bar"))


def test_the_lines_of_a_diff_are_told_apart_as_git_means_them() -> None:
    lines = list(html.diff_lines(PATCH + "--- a line that was deleted\n+++ one that was added\n"))
    assert [kind for kind, _ in lines] == ["f", "h", "h", "h", "h", "", "d", "a", "d", "a"]


def test_a_session_with_nothing_in_it_is_still_a_page() -> None:
    swarm = Swarm("a", base_gate=None)
    swarm.gate("red")
    page = html.render(report_on(swarm).model_copy(update={"tickets": (), "bars": (), "marks": ()}))
    assert not parsed(page).query("svg")


def test_commands_begin_with_the_options_that_lead_to_this_data() -> None:
    page = html.render(report_on(morning()), Typing("codeswarm -C '/a <b>'"))
    assert "codeswarm -C &#39;/a &lt;b&gt;&#39; save s1" in page


# ── how large it may become ──


HUGE = "<" * 90_000


@cache
def full() -> TicketSpec:
    """A ticket as large as one may be."""
    many = tuple(f"{number} {'<' * 9_000}" for number in range(50))
    return TicketSpec(id=TicketId("t0"), title="<" * 200, description=HUGE, acceptance=many, labels=many)


def crowded(tickets: int) -> Report:
    """So many of them, each with three failed attempts of many words, and a chart as full as it may be."""
    swarm = Swarm(full())
    for _ in range(3):
        swarm.later(600)
        swarm.begin("t0")
        swarm.snapshot("t0")
        red = {"outcome": "red", "tail": "<" * 4_000}
        swarm.end("t0", gates={"fast": red}, summary=HUGE, decisions=(HUGE,) * 20)
    history = History(Session(SessionId("s1")))
    for number, event in enumerate(swarm.events):
        for copy in _copies(event, tickets):
            history.see(copy, START_MS + number * 1_000)
    evidence = Shown(files=[("<" * 200, 1, 1)] * 500, text="\n".join(["+<"] * 40_000))
    report = build(history, evidence, made_ms=START_MS + 10**8)
    bar = Bar(kind="attempt", about="t0", label="x" * 100, outcome="failed", from_ms=START_MS, to_ms=report.until_ms)
    return report.model_copy(update={"bars": (bar,) * MOST_BARS})


def _copies(event: ev.Event, tickets: int) -> Iterator[ev.Event]:
    """What happened to one ticket, as it happens to all."""
    if isinstance(event, ev.PlanProposed):
        specs = (full().model_copy(update={"id": TicketId(f"t{n}"), "blocked_by": _before(n)}) for n in range(tickets))
        yield event.model_copy(update={"tickets": tuple(specs)})
    elif getattr(event, "ticket", None) is not None:
        yield from (event.model_copy(update={"ticket": TicketId(f"t{n}")}) for n in range(tickets))
    else:
        yield event


def _before(number: int) -> tuple[TicketId, ...]:
    """Ten waves, each ticket behind two of the wave before."""
    wave, place = divmod(number, 100)
    return tuple(TicketId(f"t{(wave - 1) * 100 + (place + step) % 100}") for step in (0, 7)) if wave else ()


@pytest.mark.parametrize(("tickets", "most"), [(1, 1_000_000), (1_050, 4_900_000)])
def test_a_page_stays_small_however_much_there_is_to_tell(tickets: int, most: int) -> None:
    report = crowded(tickets)
    page = html.render(report)
    assert len(page.encode()) < most
    assert page.count('<details class="ticket"') == min(tickets, 1_000)
    assert any("shown in part only" in sentence for sentence in report.cuts)
    assert report.more_tickets == max(tickets - 1_000, 0)
