"""For workers: leases, from claim to end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import GateId, SessionId, TicketId, WorkerId, is_gate
from codeswarm.domain.results import Failure, FailureClass, Report
from codeswarm.engine.engine import Engine
from codeswarm.engine.threads import in_thread
from codeswarm.protocol import (
    ClaimRequest,
    CompleteRequest,
    ConversationRequest,
    DeliveredRequest,
    DeniedRequest,
    GatingRequest,
    HandBackOut,
    Heartbeat,
    MessageOut,
    Offer,
    Offers,
    Preparation,
    PrepareRequest,
    Problem,
    PulseOut,
    ReleaseRequest,
    RestartRequest,
    StartRequest,
    WorkerHello,
)
from codeswarm.router.problems import respond
from codeswarm.router.routes.naming import attempt_lease, lease_of, parse

T = TypeVar("T")


class FailRequest(BaseModel):
    """The short form of a failed end."""

    epoch: int
    reason: str
    failure_class: FailureClass = FailureClass.CRASHED


def lease_routes(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["work"])

    @routes.post("/workers", status_code=204)
    async def hello(body: WorkerHello) -> None:
        engine.workers.greet(body)

    @routes.post("/workers/restarts", status_code=204)
    async def restarted(body: RestartRequest) -> None:
        command = cmd.ReportRestart(worker=WorkerId(body.worker), reason=body.reason)
        await engine.kernel.execute(SessionId(body.session), command)

    @routes.post("/leases", response_model=Offers, responses={204: {"description": "no work"}})
    async def claim(body: ClaimRequest, request: Request) -> Offers | Response:
        wanted = cmd.Claim(
            worker=WorkerId(body.worker),
            roles=body.roles,
            labels=body.labels,
            agents=body.capabilities,
            accounts=body.accounts,
            visits=body.visits,
        )
        offer = await unless_gone(request, _claim(engine, wanted, body.wait_s))
        return Response(status_code=204) if offer is None else Offers(leases=(offer,))

    @routes.post("/leases/{lease}/heartbeat")
    async def heartbeat(lease: str, body: Heartbeat, request: Request) -> PulseOut:
        session, subject, _ = lease_of(lease, body.epoch)
        waiting = engine.desk.heartbeat(
            session,
            subject,
            body.epoch,
            body.messages_seen,
            body.wait_s,
            usage=body.usage,
            windows=body.windows,
            handing_back=body.handing_back,
            attending=body.attending,
            vital=body.vital,
        )
        pulse = await unless_gone(request, waiting)
        if pulse is None:
            return PulseOut()
        messages = tuple(MessageOut(number=m.number, by=m.by, text=m.text) for m in pulse.messages)
        back = pulse.hand_back
        hand_back = None if back is None else HandBackOut(why=back.why, seconds=back.seconds, tokens=back.tokens)
        return PulseOut(cancel=pulse.cancel, messages=messages, hand_back=hand_back, attach=pulse.attach)

    @routes.post("/leases/{lease}/prepare")
    async def prepare(lease: str, body: PrepareRequest) -> Preparation:
        session, ticket = attempt_lease(lease, body.epoch)
        return await engine.attempts.prepare(session, ticket, body.epoch, resume=body.resume)

    @routes.post("/leases/{lease}/start", status_code=204)
    async def start(lease: str, body: StartRequest) -> None:
        session, ticket = attempt_lease(lease, body.epoch)
        command = cmd.StartAttempt(
            ticket=ticket,
            epoch=body.epoch,
            sandbox=body.sandbox,
            conversation=body.conversation,
            resumed=body.resumed,
            lacks=body.lacks,
            told=body.told,
        )
        await engine.kernel.execute(session, command)

    @routes.post("/leases/{lease}/conversation", status_code=204)
    async def conversation(lease: str, body: ConversationRequest) -> None:
        session, ticket = attempt_lease(lease, body.epoch)
        command = cmd.NameConversation(ticket=ticket, epoch=body.epoch, conversation=body.conversation)
        await engine.kernel.execute(session, command)

    @routes.post("/leases/{lease}/gating", status_code=204)
    async def gating(lease: str, body: GatingRequest) -> None:
        session, ticket = attempt_lease(lease, body.epoch)
        await engine.kernel.execute(session, cmd.BeginGating(ticket=ticket, epoch=body.epoch, commit=body.commit))

    @routes.post("/leases/{lease}/delivered", status_code=204)
    async def delivered(lease: str, body: DeliveredRequest) -> None:
        session, ticket = attempt_lease(lease, body.epoch)
        command = cmd.DeliverMessage(message=body.message, ticket=ticket, epoch=body.epoch, how=body.how)
        await engine.kernel.execute(session, command)

    @routes.post("/leases/{lease}/denied", status_code=204)
    async def denied(lease: str, body: DeniedRequest) -> None:
        session, ticket = attempt_lease(lease, body.epoch)
        command = cmd.ReportDenied(ticket=ticket, epoch=body.epoch, host=body.host, why=body.why, hint=body.hint)
        await engine.kernel.execute(session, command)

    @routes.post("/leases/{lease}/complete", response_model=None)
    async def complete(lease: str, body: CompleteRequest) -> Response:
        session, subject, epoch = lease_of(lease, body.epoch)
        if is_gate(subject):
            await engine.attempts.complete_gate(session, GateId(subject), epoch, body)
            return Response(status_code=204)
        return _ended(lease, await engine.attempts.complete(session, TicketId(subject), epoch, body))

    @routes.post("/leases/{lease}/fail", response_model=None)
    async def fail(lease: str, body: FailRequest) -> Response:
        session, ticket = attempt_lease(lease, body.epoch)
        failure = Failure(failure_class=body.failure_class, message=body.reason)
        report = CompleteRequest(epoch=body.epoch, report=Report(failure=failure))
        return _ended(lease, await engine.attempts.complete(session, ticket, body.epoch, report))

    @routes.post("/leases/{lease}/release", status_code=204)
    async def release(lease: str, body: ReleaseRequest) -> None:
        session, subject, epoch = lease_of(lease, body.epoch)
        await engine.attempts.release(session, subject, epoch, body)

    return routes


async def _claim(engine: Engine, wanted: cmd.Claim, wait_s: float) -> Offer | None:
    """A lease as an offer. Where none can be made of it, or nobody waits for it any more, it is given back."""
    leased = await engine.desk.claim(wanted, wait_s)
    if leased is None:
        return None
    try:
        return await in_thread(engine.offers.offer, engine.kernel.session(leased.session), leased)
    except BaseException:
        engine.desk.give_back(leased, f"{wanted.worker} could not be told of it")
        raise


def _ended(lease: str, counted: bool) -> Response:
    if counted:
        return Response(status_code=204)
    session, subject, _ = parse(lease)
    return respond(
        Problem(
            title="the lease was over: the result changed nothing, and its work is kept",
            status=409,
            detail="it ran out or was taken back before this was told",
            hint=f"codeswarm work {session}/{subject}",
        )
    )


async def unless_gone(request: Request, waiting: Coroutine[Any, Any, T]) -> T | None:
    """The result of a long wait, or None where the caller hung up: then the wait is cancelled and gives back."""
    work = asyncio.create_task(waiting)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        gone.cancel()
        work.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
