"""The real ACP agents meet every fault of the scripted model; each turn ends as what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.domain.results import FailureClass as F
from codeswarm.testing.model_server import (
    ContextOverflow,
    DropInStream,
    ErrorInStream,
    ModelServer,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Reply,
    Request,
    Say,
    ServerError,
    Turn,
    Unauthorized,
    UnknownModel,
)
from codeswarm.testing.stage import OpenStage
from tests.support.acp_agents import agent_for, needs

FAULTS: dict[str, tuple[Reply, F]] = {
    "a burst": (RateLimited(1), F.RATE_LIMITED),
    "a spent quota": (QuotaExhausted(1_900_000_000), F.QUOTA),
    "no credit": (OutOfCredit(), F.QUOTA),
    "an overload": (Overloaded(), F.OVERLOADED),
    "a server error": (ServerError(), F.OVERLOADED),
    "an unknown model": (UnknownModel(), F.UNKNOWN_MODEL),
    "too long a prompt": (ContextOverflow(), F.CONTEXT_OVERFLOW),
    "a refusal": (Turn(Say("I won't."), stop="refusal"), F.REFUSED),
    "an error within": (ErrorInStream(), F.OVERLOADED),
    "a line that drops": (DropInStream(), F.OVERLOADED),
    "a wrong key": (Unauthorized(), F.AUTH),
}
OTHERWISE: dict[tuple[str, str], F | None] = {
    # A plan's spent window and a burst are the same 429 to it, where no plan is logged in.
    ("claude", "a spent quota"): F.RATE_LIMITED,
    # It ends such turns in good order; that nothing was counted tells that there was no answer.
    ("gemini", "an error within"): F.CRASHED,
    ("gemini", "a refusal"): None,
}
MODELS = {"claude": "sonnet", "codex": "gpt-5.5", "gemini": "gemini-2.5-pro"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs(kind)) for kind in MODELS])
async def test_every_fault_ends_a_turn_in_its_own_class(tmp_path: Path, kind: str) -> None:
    says: list[Reply] = [Say("Well.")]

    def script(request: Request) -> Reply:
        return Say("ok") if request.is_side_call else says[0]

    found: dict[str, F | None] = {}
    stage = OpenStage(tmp_path)
    async with ModelServer(script) as server:
        talk = await agent_for(kind, server, MODELS[kind]).open(stage.task(), stage)
        for name, (fault, _) in FAULTS.items():
            says[0] = fault
            ending = await talk.turn("Do ticket 7.")
            found[name] = ending.failure.failure_class if ending.failure else None
        await talk.close()
        await stage.end_all()
    assert found == {name: OTHERWISE.get((kind, name), class_) for name, (_, class_) in FAULTS.items()}


@needs("codex")
async def test_a_model_that_is_not_offered_is_told_by_the_first_turn(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    async with ModelServer(Say("Well.")) as server:
        talk = await agent_for("codex", server, "no-such-model").open(stage.task(), stage)
        ending = await talk.turn("Do it.")
        await talk.close()
    assert ending.failure is not None
    assert ending.failure.failure_class is F.UNKNOWN_MODEL
