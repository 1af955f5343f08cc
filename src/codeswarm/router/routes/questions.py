"""For workers: what their agents ask and who takes them over."""

from __future__ import annotations

from fastapi import APIRouter, Request

from codeswarm.domain import commands as cmd
from codeswarm.engine.engine import Engine
from codeswarm.protocol import AnswerOut, AskRequest, VisitRequest
from codeswarm.router.routes.leases import unless_gone
from codeswarm.router.routes.naming import attempt_lease


def question_routes(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["work"])

    @routes.post("/leases/{lease}/ask")
    async def ask(lease: str, body: AskRequest, request: Request) -> AnswerOut:
        session, ticket = attempt_lease(lease, body.epoch)
        command = cmd.AskPermission(
            ticket=ticket, epoch=body.epoch, call=body.call, command=body.command, cwd=body.cwd, reason=body.reason
        )
        answer = await unless_gone(request, engine.questions.ask(session, command, body.wait_s))
        if answer is None:
            return AnswerOut(answered=False)
        return AnswerOut(answered=True, allowed=answer.allowed, by=answer.by, why=answer.why)

    @routes.post("/leases/{lease}/visit", status_code=204)
    async def visit(lease: str, body: VisitRequest) -> None:
        session, ticket = attempt_lease(lease, body.epoch)
        key = {"ticket": ticket, "epoch": body.epoch}
        begun = cmd.BeginVisit(**key, to=body.to) if body.to else None
        await engine.kernel.execute(session, begun or cmd.EndVisit(**key, how=body.how, note=body.note))

    return routes
