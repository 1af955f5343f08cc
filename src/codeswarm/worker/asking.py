"""Carries an agent's question to the router, for as long as it takes to be answered there."""

from __future__ import annotations

from codeswarm.agents.base import Permission, Question
from codeswarm.errors import RouterUnreachable
from codeswarm.protocol import AskRequest, Offer
from codeswarm.router_client import RouterRefused
from codeswarm.worker.line import Line

WAIT_S = 30.0
"""How long the router is asked to wait at a time."""


async def ask_router(line: Line, offer: Offer, question: Question) -> Permission:
    """The answer. It fails closed: where nobody can be asked any more it is a no."""
    body = AskRequest(
        epoch=offer.epoch,
        call=question.id[:500],
        command=question.command,
        cwd=question.folder,
        reason=question.reason,
        wait_s=WAIT_S,
    )
    try:
        while not (answer := await line.ask(offer.id, body)).answered:
            pass
    except (RouterRefused, RouterUnreachable) as error:
        return Permission(allowed=False, why=f"nobody can be asked any more: {error.what}")
    return Permission(allowed=answer.allowed, why=answer.why)
