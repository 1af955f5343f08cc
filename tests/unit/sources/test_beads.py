"""Beads become tickets, and come back as they were but for what has changed."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import TicketId, name_problem
from codeswarm.domain.pipeline import SHIPPED
from codeswarm.domain.plan import Plan, read_plan
from codeswarm.errors import TicketsInvalid, UsageError
from codeswarm.sources.beads import new_ids, read
from codeswarm.sources.export import export
from tests.support.beads_file import beads_file
from tests.support.sessions import Swarm


def issue(id_: str, *links: tuple[str, str], **fields: Any) -> dict[str, Any]:
    dependencies = [{"issue_id": id_, "depends_on_id": to, "type": kind} for kind, to in links]
    return {"id": id_, "title": id_, "status": "open", "priority": 2, "dependencies": dependencies, **fields}


def lines(*issues: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in issues)


def plan(data: bytes, *, lenient: bool = False) -> Plan:
    found = read_plan(read("beads", data, lenient=lenient).plan, SHIPPED)
    assert isinstance(found, Plan), found
    return found


def edges(*issues: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {spec.id: spec.blocked_by for spec in plan(lines(*issues)).tickets}


# ── what becomes a ticket, and what it waits for ──


def test_open_issues_are_tickets_and_closed_and_deleted_ones_block_nobody() -> None:
    done = (issue("x-done", status="closed"), issue("x-gone", status="tombstone"))
    a = issue("x-a", ("blocks", "x-done"), ("blocks", "x-gone"), ("blocks", "x-b"), ("blocks", "not-there"))
    assert edges(*done, a, issue("x-b")) == {"x-a": ("x-b",), "x-b": ()}


@pytest.mark.parametrize("kind", ["related", "discovered-from", "relates-to", "replies-to", "tracks", "a-new-kind"])
def test_links_that_do_not_block_are_only_links(kind: str) -> None:
    assert edges(issue("a", (kind, "b")), issue("b")) == {"a": (), "b": ()}


@pytest.mark.parametrize("kind", ["blocks", "conditional-blocks", "waits-for"])
def test_links_that_block_are_edges(kind: str) -> None:
    assert edges(issue("a", (kind, "b")), issue("b"))["a"] == ("b",)


def test_a_child_waits_for_what_its_parent_waits_for_and_not_for_its_parent() -> None:
    parent = issue("p", ("blocks", "b"))
    assert edges(parent, issue("p.1", ("parent-child", "p")), issue("p.1.1", ("parent-child", "p.1")), issue("b")) == {
        "p": ("b",),
        "p.1": ("b",),
        "p.1.1": ("b",),
        "b": (),
    }


def test_an_epic_with_children_is_no_ticket_and_who_waits_for_it_waits_for_them() -> None:
    epic = issue("e", issue_type="epic")
    children = (issue("e.1", ("parent-child", "e")), issue("e.2", ("parent-child", "e"), status="closed"))
    assert edges(epic, *children, issue("a", ("blocks", "e"))) == {"e.1": (), "a": ("e.1",)}
    assert edges(issue("alone", issue_type="epic")) == {"alone": ()}


def test_an_epic_that_waits_for_its_own_children_makes_none_of_them_wait_for_itself() -> None:
    epic = issue("e", ("blocks", "e.1"), ("blocks", "e.2"), issue_type="epic")
    children = (issue("e.1", ("parent-child", "e"), ("blocks", "e")), issue("e.2", ("parent-child", "e")))
    assert edges(epic, *children) == {"e.1": (), "e.2": ()}


def test_families_in_a_circle_come_to_an_end() -> None:
    assert edges(issue("a", ("parent-child", "b")), issue("b", ("parent-child", "a"), ("blocks", "c")), issue("c"))


def test_what_beads_does_not_show_as_ready_is_on_hold() -> None:
    held = plan(lines(*(issue(s, status=s, assignee="bob") for s in ("in_progress", "hooked", "deferred", "mine"))))
    assert [spec.hold for spec in held.tickets][:2] == ["in_progress in beads by bob", "hooked in beads by bob"]
    assert all(spec.hold for spec in held.tickets)
    assert plan(lines(issue("a", status="blocked"))).tickets[0].hold is None


def test_messages_and_agents_are_no_work_but_an_open_gate_holds_who_waits_for_it() -> None:
    found = plan(lines(issue("m", issue_type="message"), issue("a", ("blocks", "g")), issue("g", issue_type="gate")))
    assert {spec.id: spec.hold is not None for spec in found.tickets} == {"a": False, "g": True}


def test_texts_and_figures_of_an_issue_are_those_of_the_ticket() -> None:
    (spec,) = plan(
        lines(
            issue(
                "A-1",
                title="  many\n words ",
                description="what",
                design="how",
                notes="also",
                acceptance_criteria="- [ ] one\n- two\n",
                estimated_minutes=5,
                labels=["x", ""],
                due_at="2026-12-01T09:00:00.123456789+01:00",
            )
        )
    ).tickets
    assert (spec.id, spec.title, spec.origin and spec.origin.ref) == ("a-1", "many words", "A-1")
    assert spec.description == "what\n\n## Design\n\nhow\n\n## Notes\n\nalso"
    assert (spec.acceptance, spec.estimate_s, spec.labels) == (("one", "two"), 300, ("x",))
    assert spec.deadline is not None


def test_a_priority_that_is_missing_is_the_highest_as_beads_reads_it() -> None:
    (spec,) = plan(b'{"id":"a","title":"t"}').tickets
    assert spec.priority == 0


@pytest.mark.parametrize("ref", ["BD-12", "a_b", "x..y", "é-1", "-a", "a.lock", "x" * 90, "a b/c", "\ud800", "."])
def test_any_id_becomes_one_of_ours_and_no_two_the_same(ref: str) -> None:
    names = new_ids([ref, ref.lower(), "bd-12", "x"])
    assert not any(map(name_problem, names.values()))
    assert len(set(names.values())) == len(names)
    assert names["x"] == "x"


# ── hostile and broken files ──


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "line 2 is not JSON"),
        (b"[1]", "line 2 is no JSON object"),
        (b"<<<<<<< HEAD", "line 2 is a mark of a git conflict"),
        (b'{"title":"x"}', "line 2 has no id"),
        (b'{"id":""}', "line 2 has no id"),
        (b'{"id":"a","title":"again"}', "line 2 has the id 'a' of an earlier line"),
        (b'{"id":"\xff"}', "line 2 is not JSON (UnicodeDecodeError"),
        (b"[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_line_that_is_no_issue_is_named_and_left_out_only_when_asked_to(line: bytes, words: str) -> None:
    data = lines(issue("a")) + line + b"\n" + lines(issue("b"))
    with pytest.raises(TicketsInvalid, match="one mistake") as told:
        read("beads", data)
    assert words in told.value.problems[0]
    found = read("beads", data, lenient=True)
    assert [ticket["id"] for ticket in found.plan["tickets"]] == ["a", "b"]
    assert any(words in note for note in found.notes)


def test_cycles_are_told_all_at_once_or_cut_where_they_close() -> None:
    data = lines(
        issue("a", ("blocks", "b")),
        issue("b", ("blocks", "a")),
        issue("c", ("blocks", "d")),
        issue("d", ("blocks", "c")),
    )
    with pytest.raises(TicketsInvalid) as told:
        read("beads", data)
    assert told.value.problems == ["b waits for a, which closes a cycle", "d waits for c, which closes a cycle"]
    assert {spec.id: spec.blocked_by for spec in plan(data, lenient=True).tickets} == {
        "a": ("b",),
        "b": (),
        "c": ("d",),
        "d": (),
    }


def test_a_file_with_nothing_open_is_told_so() -> None:
    with pytest.raises(UsageError, match="has no open issue"):
        read("beads", lines(issue("a", status="closed")))


@pytest.mark.parametrize("value", [7, "x", [], {}, True, None])
def test_a_field_of_another_type_is_a_mistake_that_is_told_and_never_a_fault(value: object) -> None:
    keys = ("title", "description", "status", "priority", "labels", "dependencies", "metadata", "notes", "due_at")
    for key in (*keys, "acceptance_criteria", "estimated_minutes", "issue_type", "design"):
        data = lines(issue("a", **{key: value}), issue("b"))
        found = read_plan(read("beads", data, lenient=True).plan, SHIPPED)
        assert isinstance(found, Plan) or key in ("due_at", "metadata"), (key, found)
        with contextlib.suppress(TicketsInvalid):
            assert "b" in {ticket["id"] for ticket in read("beads", data).plan["tickets"]}


# ── back ──


def swarm_of(data: bytes) -> Swarm:
    return Swarm(*plan(data, lenient=True).tickets)


@pytest.mark.parametrize("tail", [b"", b"\n", b"\n\n  \n", b"\n{broken", b"\r\n"])
def test_what_was_not_touched_comes_back_byte_for_byte(tail: bytes) -> None:
    data = b"\xef\xbb\xbf" + beads_file(400).rstrip(b"\n") + tail
    assert export(swarm_of(data).session, "beads", [data]) == data


def test_thousands_of_issues_come_back_byte_for_byte() -> None:
    data = beads_file(5000, seed=7)
    assert export(swarm_of(data).session, "beads", [data]) == data


def exported(swarm: Swarm, data: bytes) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in export(swarm.session, "beads", [data]).splitlines()]
    return {one["id"]: one for one in found}


def test_a_line_has_only_those_members_written_anew_that_changed() -> None:
    data = b'{"id":"B","x":1.50,"title":"b","status":"open","priority":1, "z":"\\u003c"}\n' + lines(issue("a"))
    swarm = swarm_of(data)
    swarm.do(cmd.EditTicket(ticket=TicketId("b"), changes={"title": "better"}, by="ada"))
    first, second = export(swarm.session, "beads", [data]).splitlines()
    assert first.startswith(b'{"id":"B","x":1.50,"title":"better","status":"open","priority":1, "z":"\\u003c"')
    assert first.endswith(b',"updated_at":"2023-11-14T22:13:20.000Z"}')
    assert second == lines(issue("a")).strip()


def test_what_landed_is_closed_and_what_was_cancelled_says_why() -> None:
    data = lines(issue("a"), issue("b"), issue("c", status="closed"))
    swarm = swarm_of(data)
    swarm.landed("a")
    swarm.do(cmd.CancelTicket(ticket=TicketId("b"), by="ada", reason="not needed"))
    found = exported(swarm, data)
    assert (found["a"]["status"], found["a"]["close_reason"]) == ("closed", f"landed as {swarm.ticket('a').landed}")
    assert (found["b"]["status"], found["b"]["close_reason"]) == ("closed", "cancelled: not needed")
    assert found["a"]["closed_at"].endswith("Z")
    assert found["c"] == issue("c", status="closed")


def test_edges_that_came_and_went_are_links_that_came_and_went() -> None:
    data = lines(issue("A", ("blocks", "B"), ("related", "B")), issue("B"), issue("C"))
    swarm = swarm_of(data)
    swarm.do(cmd.LinkTicket(ticket=TicketId("a"), blocked_by=("c",), by="ada"))
    swarm.do(cmd.UnlinkTicket(ticket=TicketId("a"), blocked_by=("b",), by="ada"))
    links = exported(swarm, data)["A"]["dependencies"]
    assert [(link["type"], link["depends_on_id"]) for link in links] == [("related", "B"), ("blocks", "C")]


def test_new_tickets_are_new_lines_and_are_read_again_as_they_are() -> None:
    data = lines(issue("A-1")).strip()
    swarm = swarm_of(data)
    ours = {"codeswarm": {"gate": "check", "files": ["a"]}}
    (new,) = plan(lines(issue("new", acceptance_criteria="all is\nwell", metadata=ours))).tickets
    new = new.model_copy(update={"origin": None, "blocked_by": (TicketId("a-1"),), "estimate_s": 90.0})
    swarm.do(cmd.AddTickets(tickets=(new,), by="ada"))
    after = export(swarm.session, "beads", [data])
    assert after.startswith(data + b"\n")
    again = plan(after).tickets[1]
    assert again.model_copy(update={"origin": None}) == new


def test_an_issue_that_was_claimed_elsewhere_and_is_released_here_is_open_again() -> None:
    data = lines(issue("a", status="hooked"), issue("b"))
    swarm = swarm_of(data)
    swarm.release("a")
    assert exported(swarm, data)["a"]["status"] == "open"


HALF = b'{"id":"half","title":"t \\ud800 x","status":"open"}\n'
DEEP = b'{"id":"deep","title":' + b"[" * 100_000 + b"\n"
LONG = b'{"id":"long","priority":' + b"9" * 5000 + b"}\n"


@pytest.mark.parametrize(
    ("bad", "why"), [(HALF, "half a character"), (DEEP, "nests too deep"), (LONG, "thousands of digits")]
)
def test_a_line_that_nobody_can_use_is_left_out_and_named_even_where_nothing_else_is_left(bad: bytes, why: str) -> None:
    found = read("issues.jsonl", bad + lines(issue("a")), lenient=True)
    assert [ticket["id"] for ticket in found.plan["tickets"]] == ["a"]
    assert [note for note in found.notes if note.startswith("left out: line 1 ") and why in note]
    for lenient in (False, True):
        with pytest.raises(TicketsInvalid) as told:
            read("issues.jsonl", bad, lenient=lenient)
        assert f"line 1 {'holds' if bad is HALF else 'is not JSON'}" in told.value.why
        assert why in told.value.why
        str(told.value).encode()
    assert told.value.what == "issues.jsonl has no open issue left"


@pytest.mark.parametrize("minutes", ["1" + "0" * 400, "1e999", "-1e999", "NaN", "1e300"])
def test_minutes_that_nothing_could_last_are_named_with_their_line(minutes: str) -> None:
    line = f'{{"id":"bd-1","title":"t","status":"open","estimated_minutes":{minutes}}}\n'
    with pytest.raises(TicketsInvalid) as told:
        read("it", line.encode())
    assert "line 1 has in estimated_minutes what is no number" in told.value.why


def test_a_number_beyond_bounds_in_what_is_not_ours_is_kept_as_it_is() -> None:
    line = f'{{"id":"bd-1","title":"t","status":"open","metadata":{{"theirs":1{"0" * 400}}}}}\n'.encode()
    found = read("it", line)
    assert found.original is not None
    assert found.original.data == line
