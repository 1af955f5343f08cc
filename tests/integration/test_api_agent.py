"""`api:`: the loop as a real program, against the scripted model on both of its wires, with every fault."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.api.agent import ApiAgent, ApiConversation
from codeswarm.agents.base import AgentSpec, Ending
from codeswarm.domain.results import FailureClass as F
from codeswarm.environment import Login
from codeswarm.testing.model_server import (
    Answer,
    ContextOverflow,
    DropBeforeHeaders,
    DropInStream,
    ErrorInStream,
    GarbageInStream,
    HangBeforeHeaders,
    HangInStream,
    ModelServer,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Say,
    ServerError,
    Shell,
    Think,
    Tokens,
    Turn,
    Unauthorized,
    UnknownModel,
    Use,
    WriteFile,
    conversation,
    sequence,
)
from codeswarm.testing.stage import OpenStage

WIRES = ("anthropic", "openai")
every_wire = pytest.mark.parametrize("wire", WIRES)


def agent_for(server: ModelServer, wire: str) -> ApiAgent:
    keys = server.environment("claude" if wire == "anthropic" else "codex")
    return ApiAgent(AgentSpec("api", f"{wire}/m-1"), Login(os.defpath, {}, keys), pauses_s=(0, 0))


async def one_turn(folder: Path, script: Answer, wire: str = "anthropic") -> tuple[Ending, OpenStage, ModelServer]:
    stage = OpenStage(folder)
    async with ModelServer(script) as server:
        talk = await agent_for(server, wire).open(stage.task(), stage)
        ending = await talk.turn("Do ticket 7.")
        assert await talk.close() is None
        server.errors.clear()
    return ending, stage, server


def heard(stage: OpenStage, kind: str) -> list[str]:
    return [activity.text for activity in stage.said if activity.type == kind]


@every_wire
async def test_a_model_writes_a_file_runs_a_command_and_says_so(tmp_path: Path, wire: str) -> None:
    work = [Turn(Think("hm"), Say("I write."), WriteFile("seven.txt", "7\n")), Shell("cat seven.txt"), Say("Done.")]
    ending, stage, server = await one_turn(tmp_path, conversation(work), wire)
    assert (ending.failure, ending.summary) == (None, "Done.")
    assert (ending.usage.input_tokens, ending.usage.output_tokens, ending.usage.cost_usd) == (3000, 150, None)
    assert (tmp_path / "workspace" / "seven.txt").read_text() == "7\n"
    assert heard(stage, "reasoning") == ["hm"]
    assert heard(stage, "assistant") == ["I write.", "Done."]
    assert heard(stage, "command_completed")[-1] == "7\n\n[exit code 0]"
    assert [request.turns for request in server.requests] == [0, 1, 2]


QUOTA_OVER_S = 1_800_000_000
FAULTS: list[tuple[Any, F]] = [
    (RateLimited(0), F.RATE_LIMITED),
    (RateLimited(3600), F.RATE_LIMITED),
    (QuotaExhausted(QUOTA_OVER_S), F.QUOTA),
    (OutOfCredit(), F.QUOTA),
    (Unauthorized(), F.AUTH),
    (UnknownModel(), F.UNKNOWN_MODEL),
    (ContextOverflow(), F.CONTEXT_OVERFLOW),
    (Turn(Say("I won't."), stop="refusal"), F.REFUSED),
]


@every_wire
@pytest.mark.parametrize(("fault", "class_"), FAULTS, ids=[type(fault).__name__ for fault, _ in FAULTS])
async def test_a_fault_has_its_class(tmp_path: Path, wire: str, fault: Any, class_: F) -> None:
    ending, _, server = await one_turn(tmp_path, fault, wire)
    assert ending.failure is not None
    assert ending.failure.failure_class is class_, ending.failure.message
    if fault == RateLimited(3600):
        told = (ending.failure.retry_at_ms or 0) / 1000 - time.time()
        assert 3500 < told <= 3601, "a wait that is too long for here is the cascade's to know"
    else:
        reset = QUOTA_OVER_S * 1000 if isinstance(fault, QuotaExhausted) else None
        assert ending.failure.retry_at_ms == reset
    assert len(server.requests) == (3 if fault == RateLimited(0) else 1)


BROKEN = (ServerError(), Overloaded(), ErrorInStream(), GarbageInStream(), DropBeforeHeaders(), DropInStream())


@every_wire
@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: type(fault).__name__)
async def test_what_breaks_once_is_asked_again(tmp_path: Path, wire: str, fault: Any) -> None:
    ending, stage, server = await one_turn(tmp_path, sequence([fault, Say("There.")]), wire)
    assert (ending.failure, ending.summary) == (None, "There.")
    assert len(server.requests) == 2
    assert len(heard(stage, "rate_limit")) == 1


async def test_what_stays_broken_is_overloaded_after_three_tries(tmp_path: Path) -> None:
    ending, _, server = await one_turn(tmp_path, DropInStream())
    assert ending.failure is not None
    assert ending.failure.failure_class is F.OVERLOADED
    assert len(server.requests) == 3


async def test_a_server_that_is_not_there_is_overloaded(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    login = Login(os.defpath, {}, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    talk = await ApiAgent(AgentSpec("api", "m-1"), login, pauses_s=(0, 0)).open(stage.task(), stage)
    ending = await talk.turn("Do it.")
    assert ending.failure is not None
    assert ending.failure.failure_class is F.OVERLOADED
    assert await talk.close() is None


@every_wire
async def test_a_call_that_can_t_be_done_is_told_to_the_model(tmp_path: Path, wire: str) -> None:
    bad = Turn(
        Use("shell", "{no json"),
        Use("shell", {}),
        Use("fly", {}),
        Use("edit", {"path": "a", "old": "x", "new": "y"}),
        Use("edit", {"path": "../b\0", "old": "", "new": "y"}),
    )
    ending, _, server = await one_turn(tmp_path, conversation([bad, Say("Oh.")]), wire)
    assert ending.failure is None
    told = str(server.requests[1].raw["messages"])
    assert "no tool 'fly'" in told
    assert "needs 'command'" in told
    assert "No such file" in told


async def test_too_much_to_read_is_shortened_and_asked_again(tmp_path: Path) -> None:
    flood = Shell("head -c 25000 /dev/zero | tr '\\0' 'x'")
    script = sequence([*[flood] * 8, ContextOverflow(), Say("Done.")])
    ending, _, server = await one_turn(tmp_path, script)
    assert (ending.failure, ending.summary) == (None, "Done.")
    assert "left out to save room" in server.requests[-1].text
    assert len(server.requests[-1].text) < len(server.requests[-2].text) - 25_000


async def test_an_answer_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    cut = Turn(Say("I begin"), Shell("touch half"), stop="length")
    ending, _, server = await one_turn(tmp_path, sequence([cut, Turn(Say("mm"), stop="length"), Say("Done.")]))
    assert (ending.failure, ending.summary) == (None, "Done.")
    assert not (tmp_path / "workspace" / "half").exists(), "a call of which a part may be missing is not made"
    assert server.requests[-1].text.count("cut off") == 2


async def test_a_model_that_never_ends_is_ended(tmp_path: Path) -> None:
    ending, _, server = await one_turn(tmp_path, Turn(Use("fly", {}), usage=Tokens(10, 1)))
    assert ending.failure is not None
    assert ending.failure.failure_class is F.TIMED_OUT
    assert len(server.requests) == 250


async def test_a_word_reaches_the_running_turn_between_two_calls(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    async with ModelServer(sequence([HangInStream(turn=Turn(Shell("true"))), Say("Blue, then.")])) as server:
        talk = await agent_for(server, "anthropic").open(stage.task(), stage)
        assert not await talk.say("too early"), "no turn runs"
        turn = asyncio.create_task(talk.turn("Paint it red."))
        await server.hanging()
        assert await talk.say("Make it blue.")
        server.release()
        assert (await turn).summary == "Blue, then."
        assert "Make it blue." in server.requests[1].text
        await talk.close()


async def test_a_word_at_the_last_moment_makes_another_turn_of_the_same(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    async with ModelServer(sequence([HangInStream(turn=Say("Red.")), Say("Blue.")])) as server:
        talk = await agent_for(server, "openai").open(stage.task(), stage)
        turn = asyncio.create_task(talk.turn("Paint it red."))
        await server.hanging()
        assert await talk.say("Make it blue.")
        server.release()
        assert (await turn).summary == "Blue."
        await talk.close()


async def interrupted(talk: ApiConversation, turn: asyncio.Task[Ending]) -> None:
    await talk.interrupt()
    ending = await turn
    assert ending.failure is not None
    assert ending.failure.failure_class is F.CANCELLED


@pytest.mark.parametrize("hang", [HangBeforeHeaders(), HangInStream()], ids=["headers", "stream"])
async def test_an_interrupt_ends_a_hanging_request_and_the_conversation_goes_on(tmp_path: Path, hang: Any) -> None:
    stage = OpenStage(tmp_path)
    async with ModelServer(sequence([hang, Say("Here I am.")])) as server:
        talk = await agent_for(server, "anthropic").open(stage.task(), stage)
        turn = asyncio.create_task(talk.turn("Think."))
        await server.hanging()
        await interrupted(talk, turn)
        assert (await talk.turn("Are you there?")).summary == "Here I am."
        assert await talk.close() is None


async def test_an_interrupt_ends_a_command_that_ignores_signals_and_its_children(tmp_path: Path) -> None:
    stubborn = "trap '' INT TERM; (trap '' INT TERM; sleep 600) & touch started; sleep 600"
    stage = OpenStage(tmp_path)
    async with ModelServer(sequence([Shell(stubborn), Say("Well.")])) as server:
        talk = await agent_for(server, "anthropic").open(stage.task(), stage)
        turn = asyncio.create_task(talk.turn("Sleep."))
        await until_exists(stage, tmp_path / "workspace" / "started")
        await interrupted(talk, turn)
        assert (await talk.turn("Go on.")).failure is None
        assert "[interrupted]" in str(server.requests[-1].raw)
        assert await talk.close() is None
    assert await stage.end_all() == ()


async def until_exists(stage: OpenStage, path: Path) -> None:
    while "command_started" not in {activity.type for activity in stage.said}:
        stage.heard.clear()
        await stage.heard.wait()
    while not path.exists():
        await asyncio.sleep(0.01)  # the shell tells nobody that it has got so far


@every_wire
async def test_a_later_program_goes_on_in_the_conversation(tmp_path: Path, wire: str) -> None:
    stage = OpenStage(tmp_path)
    async with ModelServer(conversation([Say("Seven."), Say("Still seven.")])) as server:
        agent = agent_for(server, wire)
        first = await agent.open(stage.task(), stage)
        await first.turn("Remember a number.")
        await first.close()
        again = await agent.open(stage.task(conversation=first.id, resume=True), stage)
        ending = await again.turn("Which was it?")
        assert (ending.summary, ending.usage.input_tokens) == ("Still seven.", 2000)
        assert server.requests[1].mentions("Remember a number.", "Seven.")
        await again.close()


async def test_a_program_that_dies_in_its_turn_is_lost(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    async with ModelServer(Shell("kill -9 $PPID")) as server:
        talk = await agent_for(server, "anthropic").open(stage.task(), stage)
        ending = await talk.turn("Die.")
    assert ending.failure is not None
    assert ending.failure.failure_class is F.LOST
