"""`codeswarm status`: what is, from the ledger, whether anyone hosts it or not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.last_words import last_words
from codeswarm.cli.output import count, day_and_time, duration, say, say_json, table
from codeswarm.cli.until import time_left
from codeswarm.cli.words import agent_name, agent_vital, why_parked
from codeswarm.domain.states import STOPS
from codeswarm.plain import money

MOST_ROWS = 60
ORDER = ("in_progress", "landing", "waiting", "failed", "on_hold", "ready", "pending", "complete", "cancelled")


def status(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
) -> None:
    """Show a session: its state, its tickets, what waits for a person.

    Example: codeswarm status
    """
    from codeswarm.ledger import views

    here: Here = context.obj
    with here.tables() as tables:
        found = views.overview(tables, views.find_session(tables, session), () if here.json else views.BRIEF)
    found["live"] = here.live
    words = (
        None if found["live"] else last_words(here.home.data.root, found["session"]["id"], found["session"]["version"])
    )
    found["last_words"] = words
    found["agents"] = agents_at_work(here, found["session"]["id"]) if found["live"] else []
    if here.json:
        say_json(found)
        return
    _tell(found)


def _tell(found: dict[str, Any]) -> None:
    session, counts = found["session"], found["counts"]
    live = "hosted by a live process" if found["live"] else "not live"
    why = session["detail"] or session["review_reason"].replace("_", " ")
    name = f" ({session['name']})" if session["name"] else ""
    say(f"session {session['id']}{name}: {session['status']}{': ' + why if why else ''} — {live}")
    if session["goal"]:
        say(f"goal: {session['goal']}")
    say(f"base {session['base_branch']} at {session['base'][:10]}, integration at {session['tip'][:10]}")
    if session["until_ms"] is not None and session["status"] in STOPS:
        say(time_left(session["until_ms"], time.time_ns() // 1_000_000))
    summary = ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in ORDER if state in counts)
    say(f"{session['landed']} of {session['tickets']} landed ({summary}); {_cost(session, found)}")
    for parked in found["parked"]:
        say(parked_line(session["id"], parked))
    for approval in found["approvals"]:
        about = approval["ticket"] or approval["subject"]
        say(f"? {approval['id']} ({about}): {approval['why']}   codeswarm approve {session['id']}/{approval['id']}")
    now_ms = time.time_ns() // 1_000_000
    at = {agent["ticket"]: agent_vital(agent, now_ms) for agent in found["agents"]}
    _tickets(session["id"], found["tickets"], at)
    _last_words(found["last_words"])
    for checkpoint in found["checkpoints"]:
        say(f"{checkpoint['checkpoint']}: {checkpoint['state']}, {day_and_time(checkpoint['at_ms'])}")


def parked_line(session: str, row: dict[str, Any]) -> str:
    """An agent that is sent nothing: until when, why, and what mends it where time does not."""
    agent, why = agent_name(row["agent"]), why_parked(row["why"])
    account = f" (account {row['account']})" if row["account"] else ""
    said = next(iter(row["detail"].strip().splitlines()), "")[:200]
    if row["until_ms"] is not None:
        return f"parked: {agent}{account} until {day_and_time(row['until_ms'])}: {why}: {said}"
    return f"parked: {agent}{account}: {why}: {said}   mend it (codeswarm doctor), then: codeswarm resume {session}"


def _last_words(said: dict[str, Any] | None) -> None:
    """What the background host said before it ended, where nothing has happened since."""
    if said is not None:
        say(f"its background host ended at {day_and_time(said['at_ms'])}, exit code {said['exit_code']}:")
        for line in said["words"]:
            say(f"  {line}")


def _cost(session: dict[str, Any], found: dict[str, Any]) -> str:
    live = so_far(found["agents"])
    if session["cost_unknown"] and not session["cost_usd"] and not session["subscription_usd"]:
        return f"cost unknown{live}"
    per, about = found["cost_per_landed_usd"], "≈ " if session["subscription_usd"] else ""
    each = f", {about}${per:.2f} per landed ticket" if per is not None else ""
    if session["landed"] and session["cost_unknown"]:
        each = ", per landed ticket unknown"
    unknown = f", {count(session['cost_unknown'], 'attempt')} unknown" if session["cost_unknown"] else ""
    return f"cost {money(session['cost_usd'], session['subscription_usd'] or 0)}{each}{unknown}{live}"


def so_far(agents: Sequence[Mapping[str, Any]]) -> str:
    """What those who are at work have used, beside what is counted already."""
    usd = sum(agent["usd"] or 0.0 for agent in agents)
    return f", and ${usd:.2f} so far by {count(len(agents), 'agent')} at work" if usd else ""


def agents_at_work(here: Here, session: str) -> list[dict[str, Any]]:
    """What running agents are at, as the live router has heard; nothing where it does not say."""
    from codeswarm.glance import glance

    return glance(here.home.data.socket, f"/sessions/{session}/agents") or []


def _tickets(session: str, tickets: list[dict[str, Any]], at: Mapping[str, str]) -> None:
    """What needs attention first; where there are many, the quiet ones only as a number."""
    ranked = sorted(tickets, key=lambda row: (ORDER.index(row["status"]), row["place"]))
    shown = ranked[:MOST_ROWS]
    table(("ticket", "state", "phase", "tries", "since", "why"), (_row(row, at) for row in shown))
    if len(ranked) > len(shown):
        say(f"and {len(ranked) - len(shown)} more: codeswarm ticket list {session}")


def _row(row: dict[str, Any], at: Mapping[str, str]) -> tuple[object, ...]:
    why = at.get(row["id"], "") if row["status"] == "in_progress" else ""
    why = why or (row["reason"].splitlines()[0] if row["reason"] else "")
    if row["blocked_by_failure"]:
        why = f"blocked by {', '.join(row['blocked_by_failure'])}"
    elif row["status"] == "pending":
        why = f"after {', '.join(row['blocked_by'])}"
    since = duration(time.time() - row["since_ms"] / 1000) if row["status"] in ("in_progress", "ready") else ""
    return row["id"], row["status"].replace("_", " "), row["phase"], row["epoch"] or "", since, why[:80]
