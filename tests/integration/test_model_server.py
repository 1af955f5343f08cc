"""The scripted model server: what it answers on each wire, and how scripts decide on that."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from codeswarm.testing.model_server import (
    Answer,
    ModelServer,
    NoToolFits,
    RateLimited,
    Refuse,
    Request,
    Say,
    ScriptEnded,
    Shell,
    Think,
    Tokens,
    Turn,
    Use,
    WriteFile,
    conversation,
    rules,
    sequence,
    when,
    written,
)
from tests.support.model_wires import LONG, WIRES, ask, calls, events, every_wire, openai, reported, said

# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────


@every_wire
async def test_a_streamed_answer_says_thinks_and_calls_what_the_script_says(wire: str) -> None:
    turn = Turn(Think("Hm."), Say(LONG), Shell("ls -l", "List"), WriteFile("a/b.txt", "it's\n"))
    async with ModelServer(turn) as server:
        response = await ask(server, wire)
    found = events(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert said(found) == LONG
    assert (
        calls(found)
        == {
            "anthropic": [
                ("Bash", {"command": "ls -l", "description": "List"}),
                ("Write", {"file_path": "a/b.txt", "content": "it's\n"}),
            ],
            "openai": [
                ("exec_command", {"cmd": "ls -l", "yield_time_ms": 30000}),
                ("exec_command", {"cmd": written("a/b.txt", "it's\n"), "yield_time_ms": 30000}),
            ],
            "openai_chat": [
                ("exec_command", {"cmd": "ls -l", "yield_time_ms": 30000}),
                ("exec_command", {"cmd": written("a/b.txt", "it's\n"), "yield_time_ms": 30000}),
            ],
            "gemini": [
                ("run_shell_command", {"command": "ls -l", "description": "List"}),
                ("write_file", {"file_path": "a/b.txt", "content": "it's\n"}),
            ],
        }[wire]
    )


async def test_every_wire_ends_its_stream_in_its_own_way() -> None:
    async with ModelServer(
        sequence([Say("Hi."), Turn(Shell("ls")), Turn(Say("I was"), stop="length")] * len(WIRES))
    ) as server:
        endings = {wire: [events(await ask(server, wire)) for _ in range(3)] for wire in WIRES}
    assert [e[-1]["type"] for e in endings["anthropic"]] == ["message_stop"] * 3
    stops = [e[-2]["delta"]["stop_reason"] for e in endings["anthropic"]]
    assert stops == ["end_turn", "tool_use", "max_tokens"]
    openais = [e[-1]["type"] for e in endings["openai"]]
    assert openais == ["response.completed", "response.completed", "response.incomplete"]
    chats = [e[-2]["choices"][0]["finish_reason"] for e in endings["openai_chat"]]
    assert chats == ["stop", "tool_calls", "length"]
    reasons = [e[-1]["candidates"][0]["finishReason"] for e in endings["gemini"]]
    assert reasons == ["STOP", "STOP", "MAX_TOKENS"]


async def test_events_of_the_openai_wire_are_numbered_and_every_item_is_added_and_done() -> None:
    async with ModelServer(Turn(Say("Hi."), Use("exec_command", {"cmd": "ls"}))) as server:
        found = events(await ask(server, "openai"))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    kinds = [event["type"].removeprefix("response.") for event in found]
    assert kinds[:3] == ["created", "in_progress", "output_item.added"]
    assert kinds.count("output_item.added") == kinds.count("output_item.done") == 2
    assert [item["type"] for item in found[-1]["response"]["output"]] == ["message", "function_call"]


@every_wire
async def test_usage_is_what_the_script_says_and_the_cached_part_is_counted_as_the_wire_counts_it(wire: str) -> None:
    async with ModelServer(Turn(Say("Hi."), usage=Tokens(900, 30, cached=400))) as server:
        usage = reported(events(await ask(server, wire)))
    expected: dict[str, dict[str, Any]] = {
        "anthropic": {"input_tokens": 500, "cache_read_input_tokens": 400, "output_tokens": 30},
        "openai": {"input_tokens": 900, "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 30},
        "openai_chat": {"prompt_tokens": 900, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens": 30},
        "gemini": {"promptTokenCount": 900, "cachedContentTokenCount": 400, "candidatesTokenCount": 30},
    }
    assert expected[wire].items() <= usage.items()


@every_wire
async def test_an_answer_that_is_not_streamed_is_one_json(wire: str) -> None:
    async with ModelServer(Say(LONG)) as server:
        response = await ask(server, wire, stream=False)
    assert response.headers["content-type"] == "application/json"
    assert LONG in response.text
    assert "usage" in response.text


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("shell", {"command": ["bash", "-lc", "ls"]}),
        ("shell_command", {"command": "ls"}),
        ("exec_command", {"cmd": "ls", "yield_time_ms": 30000}),
    ],
)
async def test_a_command_goes_to_whichever_shell_codex_offers(name: str, given: dict[str, Any]) -> None:
    async with ModelServer(Shell("ls")) as server, httpx2.AsyncClient(base_url=server.url) as client:
        found = events(await client.post("/responses", json=openai("Do it.", name) | {"stream": True}))
    assert calls(found) == [(name, given)]


async def test_codex_gets_a_local_shell_call_or_a_patch_where_it_offers_nothing_else() -> None:
    async with (
        ModelServer(sequence([Shell("ls"), WriteFile("new.txt", "one\ntwo\n")])) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        shell = await client.post("/v1/responses", json={"input": "x", "tools": [{"type": "local_shell"}]})
        offered = [{"type": "custom", "name": "apply_patch"}]
        patch = await client.post("/v1/responses", json={"input": "x", "tools": offered})
    assert shell.json()["output"][0]["action"] == {"type": "exec", "env": {}, "command": ["bash", "-lc", "ls"]}
    assert patch.json()["output"][0]["type"] == "custom_tool_call"
    assert "*** Add File: new.txt\n+one\n+two\n" in patch.json()["output"][0]["input"]


def test_a_written_file_has_every_byte_of_its_content(tmp_path: Path) -> None:
    content = 'it\'s $HOME\\n "quoted" `x`\n%s\n\n'
    subprocess.run(["/bin/sh", "-c", written("deep er/a.txt", content)], cwd=tmp_path, check=True)
    assert (tmp_path / "deep er/a.txt").read_text() == content


# ── requests and scripts ─────────────────────────────────────────────────────────────────────────────────────


@every_wire
async def test_a_request_reads_the_same_on_every_wire(wire: str) -> None:
    async with ModelServer(Say("Hi.")) as server:
        await ask(server, wire, prompt="Do ticket 7.")
        request = await server.arrived()
    assert (request.wire, request.model, request.number, request.turns) == (wire, "m-1", 1, 1)
    assert request.system_text == "Be brief.\nYou are in a folder."
    assert request.last_user_text == "Do ticket 7."
    assert request.mentions("a folder", "ticket 7", "it printed this")
    assert request.text.index("Be brief.") < request.text.index("ticket 7") < request.text.index("it printed this")
    assert not request.is_side_call
    assert request.stream
    assert request.headers["content-type"] == "application/json"
    assert request.raw["tools"]


async def test_rules_pick_the_first_that_fits_and_a_conversation_goes_by_its_turns() -> None:
    async def slowly(request: Request) -> Say:
        return Say(f"slowly {request.number}")

    script = rules(
        when(lambda request: not request.mentions("rules"), Refuse(409, "no rules")),
        when("ticket 7", conversation([Say("never"), slowly], then=Say("late"))),
        Say("anything else"),
    )
    async with ModelServer(script) as server:
        assert (await ask(server, "anthropic")).status_code == 409
        assert said(events(await ask(server, "anthropic", prompt="rules: ticket 7"))) == "slowly 2"
        assert said(events(await ask(server, "anthropic", prompt="rules: ticket 8"))) == "anything else"


async def test_a_sequence_goes_by_requests_and_side_calls_do_not_move_it_on() -> None:
    title = {"model": "m-1", "messages": [{"role": "user", "content": "A title, please."}]}
    async with (
        ModelServer(sequence([RateLimited(), Say("one")], then=Say("more"), side=Say("A title"))) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        assert (await ask(server, "gemini")).status_code == 429
        assert "A title" in (await client.post("/v1/messages", json=title)).text
        assert [said(events(await ask(server, "gemini"))) for _ in range(3)] == ["one", "more", "more"]
    assert [request.is_side_call for request in server.requests] == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (sequence([]), ScriptEnded),
        (conversation([Say("only one")]), ScriptEnded),
        (when("something else", Say("no")), ScriptEnded),
        (lambda request: request.raw["nothing"], KeyError),
    ],
)
@every_wire
async def test_an_error_in_the_script_is_answered_and_raised_at_the_end(
    wire: str, script: Answer, error: type[Exception]
) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with ModelServer(script) as server:
            response = await ask(server, wire)
            assert response.status_code == 500
            assert error.__name__ in response.text
    assert raised.group_contains(error)


@pytest.mark.parametrize("stray", ["text", None, Turn])
def test_a_turn_of_something_else_is_an_error_where_it_is_made(stray: Any) -> None:
    with pytest.raises(TypeError, match="no such part"):
        Turn(stray)


async def test_a_tool_that_nobody_offers_is_an_error_that_says_what_is_offered() -> None:
    async with ModelServer(sequence([WriteFile("a", "b")])) as server, httpx2.AsyncClient() as client:
        body = {"input": "x", "tools": [{"type": "function", "name": "view_image"}]}
        response = await client.post(f"{server.url}/v1/responses", json=body)
        assert "offers no tool to write a; it offers: view_image" in response.text
        assert isinstance(server.errors.pop(), NoToolFits)


async def test_the_failure_of_a_test_is_not_hidden_by_that_of_its_script() -> None:
    with pytest.raises(AssertionError, match="the test's own") as raised:
        async with ModelServer(sequence([])) as server:
            await ask(server, "gemini")
            raise AssertionError("the test's own")
    assert any("ScriptEnded" in note for note in raised.value.__notes__)
