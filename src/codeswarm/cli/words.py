"""Events in words: one line each, for lines, timelines and the board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codeswarm.cli.output import count, day_and_time, duration

Data = dict[str, Any]
MOST_IDS = 8
MOST_DOING = 30


def describe(kind: str, data: Data) -> str:
    """What happened, as a person would say it, in one line. A kind that is not known is told by its name."""
    teller = _TELLERS.get(kind)
    return (" ".join(teller(data).split()) if teller else "") or kind


def subject(kind: str, data: Data) -> str:
    """What an event is about: a ticket, a gate, or the session."""
    return str(data.get("ticket") or data.get("gate") or "session")


def vital(sign: Data, now_ms: int) -> str:
    """What an agent is at, in a few words: `thinking 4 min 10 s`, `running pytest -q 12 min 00 s`."""
    since = duration(sign["for_s"])
    match sign["state"]:
        case "running_command":
            return f"running {shortened(sign['doing'], MOST_DOING) or 'a command'} {since}"
        case "waiting_person":
            return f"waits for a person {since}"
        case "rate_limited" if sign["until_ms"] is not None:
            today, until = day_and_time(now_ms)[:10], day_and_time(sign["until_ms"])
            return f"rate-limited until {until.removeprefix(today).strip()}"
        case state:
            return f"{state.replace('_', '-')} {since}"


def agent_vital(agent: Data, now_ms: int) -> str:
    """The same, what it has used, and whether its worker still talks."""
    silent = f", its worker silent for {duration(agent['heard_s'])}" if agent["silent"] else ""
    return vital(agent["vital"], now_ms) + _used(agent) + silent


def _used(agent: Data) -> str:
    """What it has used so far; an agent that tells nothing is not taken for one that costs nothing."""
    usd, tokens = agent.get("usd"), agent.get("tokens")
    if usd is not None:
        return f", ${usd:.2f}"
    return f", {tokens:,} tokens" if tokens else ""


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _first_line(text: str) -> str:
    """Of a text that may have many, or none."""
    return next(iter(text.strip().splitlines()), "")


def _failure(data: Data) -> str:
    failure, again = data["failure"], data["report"].get("gate_runs") or []
    charged = "" if data["charged"] else " (not charged)"
    words = f"attempt {data['epoch']} failed: {failure['failure_class']}{charged}: {_first_line(failure['message'])}"
    return words + (f" [{count(len(again), 'gate run')}]" if again else "")


def _succeeded(data: Data) -> str:
    report = data["report"]
    parts = []
    if report.get("work"):
        parts.append(f"{count(len(report['work']['changed_files']), 'file')} changed")
        if report["work"]["restored"]:
            parts.append(f"contract files put back: {', '.join(report['work']['restored'])}")
    parts += [f"{run['name']} gate {run['outcome']} in {duration(run['duration_s'])}" for run in report["gate_runs"]]
    if report.get("verdict"):
        parts.append(str(report["verdict"]).replace("_", " "))
    return f"attempt {data['epoch']} succeeded" + (f": {', '.join(parts)}" if parts else "")


def _landed(data: Data) -> str:
    return f"landed as {data['new'][:10]} (landing {data['landing']}, {count(len(data['receipts']), 'receipt')})"


def _bounced(data: Data) -> str:
    files = f" in {', '.join(data['files'][:5])}" if data["files"] else ""
    detail = str(data["detail"]).splitlines()
    return f"landing {data['landing']} bounced: {data['reason'].replace('_', ' ')}{files}" + (
        f": {detail[0]}" if detail and not files else ""
    )


def _gate_finished(data: Data) -> str:
    for run in data["runs"]:
        if run.get("setup_failed"):
            return f"gate not run: {run['reason']}"
    known = " (as on the base)" if data["green"] else ""
    runs = ", ".join(
        f"`{run['command']}` {run['outcome']}{known if run['outcome'] == 'red' else ''}" for run in data["runs"]
    )
    return f"gate {'green' if data['green'] else 'red'}: {runs}"


def _started(data: Data) -> str:
    until = _until(data["settings"]["policy"].get("until"))
    return f"started on {data['base_branch']} at {data['base'][:10]} by {data['by']}{until}"


def _until(until: Data | None) -> str:
    return f", until {until['said']}" if until else ""


def _leased(data: Data) -> str:
    agent = f" with {data['agent']}" if data["agent"] else ""
    if by := data.get("visitor"):
        return f"{data['phase']} attempt {data['attempt']} leased to {data['worker']} for {by}"
    return f"{data['phase']} attempt {data['attempt']} leased to {data['worker']}{agent}"


def _snapshot(data: Data) -> str:
    left = f", left out: {', '.join(item['path'] for item in data['left_out'][:5])}" if data["left_out"] else ""
    return f"snapshot {data['commit'][:10]} of attempt {data['epoch']} ({count(data['files'], 'file')}{left})"


def _findings(data: Data) -> str:
    first = _first_line(data["findings"][0]["text"]) if data["findings"] else ""
    return f"changes asked for by {data['by']} ({count(len(data['findings']), 'finding')}): {first}"


def _begun(d: Data) -> str:
    more = [d["sandbox"], *(["goes on in its conversation"] if d["resumed"] else [])]
    return f"attempt {d['epoch']} runs ({', '.join([*more, *(f'without {lack}' for lack in d.get('lacks', ()))])})"


def _prepared(data: Data) -> str:
    conflicts = f", with conflicts in {', '.join(data['conflicts'])}" if data["conflicts"] else ""
    return f"attempt {data['epoch']} begins at {data['start'][:10]}{conflicts}"


def _refused(data: Data) -> str:
    commands = f"; run: {' && '.join(data['commands'])}" if data["commands"] else ""
    return (
        f"save refused: {data['detail']}{' (' + ', '.join(data['files'][:5]) + ')' if data['files'] else ''}{commands}"
    )


_PARKED = {
    "quota": "its quota is spent",
    "rate_limited": "it is asked for too much",
    "overloaded": "it is overloaded",
    "auth": "its login was refused",
    "unknown_model": "there is no such model",
    "missing": "it is not there",
}


def why_parked(why: str) -> str:
    return _PARKED.get(why, why)


def agent_name(agent: str) -> str:
    """An agent, or a CLI in all of its models, as a person calls it."""
    return agent.removesuffix(":*")


def _parked(data: Data) -> str:
    until = f"until {day_and_time(data['until_ms'])}" if data["until_ms"] else "until a person mends it"
    heard = f" (met in session {data['told_by']})" if data["told_by"] else ""
    detail = f": {_first_line(data['detail'])}" if data["detail"] else ""
    return f"{agent_name(data['agent'])} is parked {until}: {why_parked(data['why'])}{heard}{detail}"


def _unparked(data: Data) -> str:
    return f"{agent_name(data['agent'])} is back" + (f", says {data['by']}" if data["by"] else ": its time has come")


def _waiting(data: Data) -> str:
    what = "an agent" if data["reason"] == "quota" else data["reason"]
    return f"waits for {what}" + (f": {data['detail']}" if data["detail"] else "")


def _ids(tickets: list[Data]) -> str:
    more = f" and {len(tickets) - MOST_IDS} more" if len(tickets) > MOST_IDS else ""
    return ", ".join(ticket["id"] for ticket in tickets[:MOST_IDS]) + more


_PURPOSES = {
    "goal": "to plan the work",
    "delegation": "to plan more work",
    "proposals": "to judge what an agent proposes",
    "interfaces": "to settle interfaces",
    "answer": "for the final answer",
}

_LEFT = {
    "hand_back": "the agent goes on",
    "complete": "its work goes to the gate",
    "discard": "what was done is discarded",
    "leave": "the ticket rests as before",
}

_TELLERS: dict[str, Callable[[Data], str]] = {
    "SessionStarted": _started,
    "SessionActivated": lambda d: "active: work may be claimed",
    "SessionSuspended": lambda d: (
        f"suspended: {d['reason']}" + (f": {_first_line(d['detail'])}" if d["detail"] else "")
    ),
    "SessionResumed": lambda d: f"resumed by {d['by']}{_until(d.get('until'))}",
    "SessionAwaitingReview": lambda d: (
        f"awaits review: {d['reason'].replace('_', ' ')}" + (f" ({d['detail']})" if d["detail"] else "")
    ),
    "SessionFinalized": lambda d: f"finalized: {d['outcome']}" + (f": {d['reason']}" if d["reason"] else ""),
    "SessionCancelled": lambda d: f"cancelled by {d['by']}",
    "TranscriptsForgotten": lambda d: f"what agents were told and said was thrown away by {d['by']}: {d['reason']}",
    "PlanningRequested": lambda d: f"a planner is asked: {_PURPOSES.get(d['purpose'], d['purpose'])}",
    "PlanningFinished": lambda d: "planning done" + (f": {_first_line(d['result'])[:100]}" if d["result"] else ""),
    "PlanProposed": lambda d: f"plan {d['plan']} proposed: {count(len(d['tickets']), 'ticket')}",
    "PlanAccepted": lambda d: f"plan {d['plan']} accepted by {d['by']}",
    "PlanRejected": lambda d: f"plan {d['plan']} rejected by {d['by']}: {d['why']}",
    "TicketsAdded": lambda d: f"{count(len(d['tickets']), 'ticket')} added by {d['by']}: {_ids(d['tickets'])}",
    "SourceKept": lambda d: f"{d['source']['name']} is kept as it was ({d['source']['size']} bytes)",
    "TicketEdited": lambda d: f"edited by {d['by']}: {', '.join(d['changed'])}",
    "BlockersChanged": lambda d: f"waits for {', '.join(d['blocked_by']) or 'nothing any more'}, says {d['by']}",
    "AttemptLeased": _leased,
    "AttemptPrepared": _prepared,
    "AttemptStarted": _begun,
    "ConversationNamed": lambda d: f"attempt {d['epoch']} is the conversation {d['conversation']}",
    "AttemptGating": lambda d: f"attempt {d['epoch']} is at its gate",
    "SnapshotTaken": _snapshot,
    "WorkSalvaged": lambda d: (
        f"work of attempt {d['epoch']} salvaged as {d['commit'][:10]} ({count(d['files'], 'file')})"
    ),
    "CommitsKept": lambda d: f"its own commits of attempt {d['epoch']} kept: {', '.join(d['refs'])}",
    "HostDenied": lambda d: (
        f"attempt {d['epoch']} may not reach {d['host']}: {d['reason']}"
        + (f"; next: {d['next_step']}" if d["next_step"] else "")
    ),
    "AttemptSucceeded": _succeeded,
    "AttemptFailed": _failure,
    "AttemptTimedOut": _failure,
    "AttemptLost": lambda d: f"attempt {d['epoch']} lost: {d['reason']}",
    "AttemptCancelled": lambda d: f"attempt {d['epoch']} ended: {d['reason']}",
    "LateResultKept": lambda d: (
        f"late result of attempt {d['epoch']} kept" + (f" as {d['commit'][:10]}" if d["commit"] else "")
    ),
    "AgentParked": _parked,
    "AgentUnparked": _unparked,
    "AgentPassedOver": lambda d: (
        f"after {count(d['bursts'], 'refusal')} for too much at once the next attempt goes past {d['agent']}"
    ),
    "TicketEscalated": lambda d: f"{d['phase']} goes up to {d['agent']} after a red gate of {d['instead_of']}",
    "ChangesRequested": _findings,
    "ContractDisputed": lambda d: f"contract disputed: {d['reason']}",
    "TicketQueued": lambda d: "queued for landing",
    "TicketWaiting": _waiting,
    "BudgetBreached": lambda d: f"attempt {d['epoch']} hands back: {d['detail']}",
    "TicketReleased": lambda d: "ready: an agent is back" if d["by"] == "policy" else f"released by {d['by']}",
    "TicketHeld": lambda d: f"on hold ({d['by']}): {d['reason']}",
    "TicketFailed": lambda d: f"failed: {_first_line(d['reason'])}",
    "TicketRetried": lambda d: f"retried by {d['by']}",
    "TicketCancelled": lambda d: f"cancelled by {d['by']}" + (f": {d['reason']}" if d["reason"] else ""),
    "GateRequested": lambda d: (
        f"{d['purpose'].replace('_', ' ')} gate: {', '.join(c['command'] for c in d['commands'])}"
    ),
    "GateLeased": lambda d: f"gate runs on {d['worker']}",
    "GateFinished": _gate_finished,
    "GateLost": lambda d: f"gate could not be run: {d['reason']}",
    "GateAbandoned": lambda d: f"gate abandoned: {d['reason']}",
    "ReceiptsRecorded": lambda d: "receipts: " + ", ".join(f"{r['name']} {r['outcome']}" for r in d["receipts"]),
    "LandingMerged": lambda d: f"landing {d['landing']}: merged with the tip as {d['commit'][:10]}",
    "LandingBounced": _bounced,
    "TicketLanded": _landed,
    "CaughtUp": lambda d: f"integration caught up with the base branch: {d['new'][:10]}",
    "SaveRequested": lambda d: f"save to {d['into']} asked for by {d['by']}",
    "SaveIntended": lambda d: f"{d['checkpoint']}: about to move {d['into']} to {d['new'][:10]}",
    "CheckpointSaved": lambda d: f"saved: {d['checkpoint']}, {d['into']} at {d['new'][:10]} ({d['how']})",
    "SaveRefused": _refused,
    "ApprovalRequested": lambda d: f"approval {d['approval']} needed ({d['subject']}): {d['why']}",
    "ApprovalGiven": lambda d: f"approval {d['approval']} given by {d['by']}",
    "ApprovalGranted": lambda d: f"approval {d['approval']} granted",
    "ApprovalRejected": lambda d: f"approval {d['approval']} rejected by {d['by']}: {d['why']}",
    "ApprovalExpired": lambda d: f"approval {d['approval']} expired",
    "ApprovalUsed": lambda d: f"attempt {d['epoch']} was told the answer to approval {d['approval']}",
    "ApprovalVoided": lambda d: f"approval {d['approval']} voided: {d['reason']}",
    "AttachRequested": lambda d: (
        f"{d['by']} wants to take over " + ("the ticket" if d.get("at_rest") else f"attempt {d['epoch']}")
    ),
    "PersonAttached": lambda d: f"{d['by']} has taken over attempt {d['epoch']} ({d['to']})",
    "PersonDetached": lambda d: (
        f"{d['by']} has left attempt {d['epoch']}: {_LEFT.get(d['how'], d['how'])}"
        + (f": {_first_line(d['note'])}" if d["note"] else "")
    ),
    "MessageSent": lambda d: f"message {d['message']} from {d['by']}: {_first_line(d['text'])[:100]}",
    "MessageDelivered": lambda d: f"message {d['message']} {d['how']}",
    "SlotRestarted": lambda d: f"{d['worker']} restarted a slot: {_first_line(d['reason'])}",
    "CommandRejected": lambda d: f"{d['command']} refused: {d['reason']}" + (f"; {d['hint']}" if d["hint"] else ""),
    "Noted": lambda d: f"{d['what']}" + (f"; next: {d['next_step']}" if d["next_step"] else ""),
}

QUIET = frozenset(
    {"AttemptPrepared", "ConversationNamed", "ReceiptsRecorded", "SnapshotTaken", "GateLeased"}
    | {"ApprovalGranted", "ApprovalUsed"}
)
"""Told in timelines, but not while a person looks on."""
