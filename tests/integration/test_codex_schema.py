"""What we say to Codex's app server, and what we read of it, is in the schema that it gives of itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.codex.thread import CodexThread, Terms
from codeswarm.agents.codex.words import FAILURES, UNASKED
from tests.support import real_clis
from tests.support.spoken import Spoken

pytestmark = real_clis.needs_codex
TRANSCRIPT = Path(__file__).parents[1] / "unit" / "agents" / "transcripts" / "codex" / "success.jsonl"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, program = tmp_path_factory.mktemp("schema"), real_clis.codex()
    assert program is not None
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    command = [program, "app-server", "generate-json-schema", "--out", folder / "out"]
    subprocess.run(command, check=True, env=env, capture_output=True)
    found: dict[str, Any] = json.loads((folder / "out" / "codex_app_server_protocol.v2.schemas.json").read_text())
    return found["definitions"]


def methods(schema: dict[str, Any], kind: str) -> dict[str, str]:
    """Method → the name of what its parameters are."""
    found = {}
    for message in schema[kind]["oneOf"]:
        fields = message["properties"]
        found[fields["method"]["enum"][0]] = fields.get("params", {}).get("$ref", "").rpartition("/")[2]
    return found


def said(thread: str, last: str) -> Iterator[dict[str, Any]]:
    """What a conversation says, from its beginning to a word into its turn or an interruption."""

    async def talk() -> list[dict[str, Any]]:
        spoken = Spoken(TRANSCRIPT.read_bytes(), requests=5)
        talk = CodexThread(spoken, Terms(thread, "/codeswarm/workspace", "gpt-5.5", "never"))
        await talk.open(["codex"], {}, ())
        turn = asyncio.ensure_future(talk.turn("Do it."))
        while len(spoken.said) < 4:  # two answers, the news of a thread, and the turn's name
            await asyncio.sleep(0)
        await (talk.interrupt() if last == "turn/interrupt" else talk.say("Mind the gap."))
        await talk.close()
        await turn
        return spoken.sent

    yield from asyncio.run(talk())


@pytest.mark.parametrize(
    ("thread", "last"), [("", "turn/interrupt"), ("01a1fc22-e3c2-72e3-8ecf-27a1fefe1fe6", "turn/steer")]
)
def test_what_we_say_is_known_to_it(schema: dict[str, Any], thread: str, last: str) -> None:
    known = methods(schema, "ClientRequest")
    requests = [message for message in said(thread, last) if "id" in message]
    begin = "thread/resume" if thread else "thread/start"
    assert [message["method"] for message in requests] == ["initialize", begin, "turn/start", last]
    for message in requests:
        fields = schema[known[message["method"]]]
        given = {name for name, value in message["params"].items() if value is not None}
        assert given <= set(fields["properties"]), message["method"]
        assert given >= set(fields.get("required", ())), message["method"]


def test_what_it_is_asked_to_leave_out_and_what_is_read_are_known_to_it(schema: dict[str, Any]) -> None:
    known = methods(schema, "ServerNotification")
    read = {"item/started", "item/completed", "thread/tokenUsage/updated", "account/rateLimits/updated", "error"}
    assert {*UNASKED, *read, "turn/completed"} <= set(known)
    assert set(schema["TurnStatus"]["enum"]) >= {"completed", "failed", "interrupted"}


def test_the_names_of_errors_in_the_table_are_its_own(schema: dict[str, Any]) -> None:
    named = {name for kind in schema["CodexErrorInfo"]["anyOf"] for name in kind.get("enum", ())}
    assert {kind for row in FAILURES for kind in row.kinds} <= named
