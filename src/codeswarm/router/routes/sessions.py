"""For people and their programs: sessions, their tickets, their timeline, and what can be asked of them."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import ApprovalId, SessionId, TicketId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.rejection import unknown
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Caps, Until
from codeswarm.domain.states import SuspendReason
from codeswarm.engine.engine import Engine
from codeswarm.engine.sessions import SessionRequest, Sessions, TicketsRequest, edited_plan
from codeswarm.errors import Refused
from codeswarm.ledger import views
from codeswarm.protocol import AgentOut
from codeswarm.router.routes.naming import Number, parse

PAGE = 500
Key = Annotated[str | None, Header(alias="Idempotency-Key")]


class SessionCommand(BaseModel):
    """A person's command to a session. Which other keys count depends on `command`."""

    model_config = ConfigDict(extra="forbid")

    command: Literal["pause", "resume", "stop", "cancel", "message", "save_checkpoint", "delegate_task"]
    by: str
    reason: str = ""
    now: bool = False
    text: str = ""
    ticket: str | None = None
    to: Literal["", "ff", "branch", "pr"] = ""
    into: str = ""
    budget_usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    budget_tokens: int | None = Field(None, gt=0, lt=1 << 53)
    role_budgets: dict[Role, Caps] = {}
    roles: dict[str, tuple[str, ...]] = {}
    until: Until | None = None
    target: int | None = Field(None, gt=0, lt=1 << 53)
    unpark: bool = False

    def meaning(self) -> cmd.Command:
        ticket = TicketId(self.ticket) if self.ticket else None
        match self.command:
            case "pause":
                return cmd.SuspendSession(reason=SuspendReason.PAUSED, detail=self.reason, by=self.by)
            case "stop":
                return cmd.SuspendSession(reason=SuspendReason.STOPPED, detail=self.reason, by=self.by)
            case "resume":
                return cmd.ResumeSession(
                    by=self.by,
                    budget_usd=self.budget_usd,
                    budget_tokens=self.budget_tokens,
                    role_budgets=self.role_budgets,
                    roles=self.roles,
                    until=self.until,
                    target=self.target,
                    unpark=self.unpark,
                )
            case "cancel":
                return cmd.CancelSession(by=self.by, reason=self.reason)
            case "message":
                return cmd.SendMessage(by=self.by, text=self.text, ticket=ticket)
            case "delegate_task":
                return cmd.DelegateTask(by=self.by, text=self.text)
            case "save_checkpoint":
                return cmd.RequestSave(by=self.by, to=self.to, into=self.into)


class Forget(BaseModel):
    """What agents were told and said in a session that is over is not wanted any more."""

    model_config = ConfigDict(extra="forbid")

    by: str
    reason: str = Field(min_length=1, max_length=500)


class TicketCommand(BaseModel):
    """A person's command to a ticket. Which other keys count depends on `command`."""

    model_config = ConfigDict(extra="forbid")

    command: Literal["hold", "release", "retry", "cancel", "edit", "split", "link", "unlink", "attach"]
    by: str
    reason: str = ""
    changes: dict[str, Any] = {}
    parts: tuple[dict[str, Any], ...] = ()
    blocked_by: tuple[str, ...] = ()

    def meaning(self, ticket: TicketId) -> cmd.Command:
        match self.command:
            case "edit":
                return cmd.EditTicket(ticket=ticket, changes=self.changes, by=self.by)
            case "split":
                return cmd.SplitTicket(ticket=ticket, parts=self.parts, by=self.by)
            case "link":
                return cmd.LinkTicket(ticket=ticket, blocked_by=self.blocked_by, by=self.by)
            case "unlink":
                return cmd.UnlinkTicket(ticket=ticket, blocked_by=self.blocked_by, by=self.by)
            case "hold":
                return cmd.HoldTicket(ticket=ticket, by=self.by, reason=self.reason)
            case "release":
                return cmd.ReleaseTicket(ticket=ticket, by=self.by)
            case "retry":
                return cmd.RetryTicket(ticket=ticket, by=self.by)
            case "attach":
                return cmd.AttachPerson(ticket=ticket, by=self.by)
            case "cancel":
                return cmd.CancelTicket(ticket=ticket, by=self.by, reason=self.reason)


class ApprovalAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer: Literal["approve", "reject"]
    by: str
    note: str = ""
    plan: dict[str, Any] | None = None
    """For a plan: a tickets file's content, which is taken instead of what was proposed."""

    def meaning(self, approval: ApprovalId, session: Session) -> cmd.Command:
        """Raises: TicketsInvalid."""
        if self.answer == "approve":
            tickets = () if self.plan is None else edited_plan(session, self.plan)
            return cmd.GiveApproval(approval=approval, by=self.by, note=self.note, tickets=tickets)
        return cmd.RejectApproval(approval=approval, by=self.by, why=self.note)


def command_routes(engine: Engine, sessions: Sessions) -> APIRouter:
    """What changes something."""
    routes = APIRouter(tags=["sessions"])
    keyed = asyncio.Lock()
    """A request that is sent again while the first one is still at work must find that one's answer."""

    @routes.post("/sessions", status_code=201)
    async def start(body: SessionRequest, key: Key = None) -> dict[str, Any]:
        if key is None:
            return await begin(body, None)
        async with keyed:
            return await begin(body, key)

    async def begin(body: SessionRequest, key: str | None) -> dict[str, Any]:
        if key and (known := engine.kernel.ledger.reply(key)):
            row = _find(engine, json.loads(known)["session"])
            base = {"branch": row["base_branch"], "commit": row["base"]}
            return {"session": row["id"], "base": base, "unseen": [], "notes": []}
        started = await sessions.start(body, key)
        return {
            "session": started.session,
            "base": {"branch": started.base.branch, "commit": started.base.commit},
            "unseen": list(started.unseen),
            "notes": list(started.notes),
        }

    @routes.post("/sessions/{session}/commands")
    async def command(session: str, body: SessionCommand) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        records = await engine.ask(id_, body.meaning())
        if body.command in ("stop", "cancel") and (body.now or body.command == "cancel"):
            engine.desk.cancel_all(f"{body.command} was asked for by {body.by}", id_)
        return {"session": id_, "events": [views.wire(record) for record in records]}

    @routes.post("/sessions/{session}/forget")
    async def forget(session: str, body: Forget) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        await engine.forget_transcripts(id_, body.by, body.reason)
        return {"session": id_}

    @routes.post("/sessions/{session}/tickets", status_code=201)
    async def add_tickets(session: str, body: TicketsRequest) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        records = await sessions.add(id_, body)
        return {"session": id_, "events": [views.wire(record) for record in records]}

    @routes.post("/sessions/{session}/tickets/{ticket}/commands")
    async def ticket_command(session: str, ticket: str, body: TicketCommand) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        records = await engine.ask(id_, body.meaning(TicketId(ticket)))
        return {"session": id_, "events": [views.wire(record) for record in records]}

    @routes.post("/sessions/{session}/approvals/{approval}")
    async def answer(session: str, approval: str, body: ApprovalAnswer) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        records = await engine.ask(id_, body.meaning(ApprovalId(approval), engine.kernel.session(id_)))
        return {"session": id_, "events": [views.wire(record) for record in records]}

    return routes


def view_routes(engine: Engine) -> APIRouter:
    """What only looks."""
    routes = APIRouter(tags=["sessions"])
    ledger = engine.kernel.ledger

    @routes.get("/sessions")
    def list_sessions() -> list[dict[str, Any]]:
        return views.rows(ledger, "sessions")

    @routes.get("/sessions/{session}")
    def show(session: str) -> dict[str, Any]:
        return views.overview(ledger, _find(engine, session))

    @routes.get("/sessions/{session}/timeline")
    def timeline(session: str, after: Number = 0, limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        records = ledger.after(after, limit, id_)
        return {"events": [views.wire(record) for record in records], "next": records[-1].seq if records else after}

    @routes.get("/sessions/{session}/tickets")
    def tickets(session: str) -> list[dict[str, Any]]:
        return views.rows(ledger, "tickets", session=_find(engine, session)["id"])

    @routes.get("/sessions/{session}/triage")
    async def triage(session: str, limit: Annotated[int, Query(ge=1, le=PAGE)] = 10) -> dict[str, Any]:
        from codeswarm.triage import items, ranking  # noqa: PLC0415 - a graph library, for who asks

        state = engine.kernel.session(SessionId(_find(engine, session)["id"]))
        triaged = await asyncio.to_thread(ranking.triage, items.of_session(state), engine.clock.now_ms())
        return ranking.document(triaged, limit)

    @routes.get("/sessions/{session}/tickets/{ticket}")
    def ticket_(session: str, ticket: str) -> dict[str, Any]:
        id_ = SessionId(_find(engine, session)["id"])
        row = views.find_ticket(ledger, id_, ticket)
        return {**row, "attempts": views.rows(ledger, "attempts", session=id_, ticket=ticket)}

    @routes.get("/sessions/{session}/agents")
    async def agents(session: str) -> list[AgentOut]:
        return engine.desk.agents(SessionId(_find(engine, session)["id"]))

    @routes.get("/sessions/{session}/checkpoints")
    def checkpoints(session: str) -> list[dict[str, Any]]:
        return views.rows(ledger, "checkpoints", session=_find(engine, session)["id"])

    @routes.get("/sessions/{session}/diff")
    async def diff(session: str, stat: bool = False) -> dict[str, str]:
        row = _find(engine, session)
        patch = await asyncio.to_thread(engine.store.patch, row["base"], row["tip"], stat=stat)
        return {"old": row["base"], "new": row["tip"], "diff": patch.decode(errors="replace")}

    @routes.get("/approvals")
    def approvals(state: str = "open") -> list[dict[str, Any]]:
        return views.rows(ledger, "approvals", state=state)

    @routes.get("/attempts/{attempt}/transcript")
    def transcript(attempt: str, offset: Number = 0) -> dict[str, Any]:
        session, ticket, epoch = parse(attempt)
        if not views.rows(ledger, "attempts", session=session, ticket=ticket, epoch=epoch):
            raise Refused(
                unknown(f"there is no attempt {attempt!r}", f"codeswarm status {session}", "nobody has begun it")
            )
        data = b""
        if (file := engine.artifacts.open_transcript(session, ticket, epoch)) is not None:
            with file:
                file.seek(offset)
                data = file.read(1 << 20)
        return {"offset": offset, "next": offset + len(data), "text": data.decode(errors="replace")}

    return routes


def _find(engine: Engine, session: str) -> dict[str, Any]:
    return views.find_session(engine.kernel.ledger, session)
