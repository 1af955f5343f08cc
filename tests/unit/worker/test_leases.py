"""What the agent of one lease makes known is taken out of what it says and makes itself, and of no other's."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

from codeswarm.agents.login_file import known_secrets
from codeswarm.awake import AwakeClock
from codeswarm.clock import SystemClock
from codeswarm.environment import Environment
from codeswarm.redaction import HIDDEN
from codeswarm.router_client import RouterClient
from codeswarm.worker.__main__ import WorkerOrder, tools_of
from codeswarm.worker.tools import Tools

KEY, HASH = "canary-Vt5Rm8Jc3Qy7", "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg"


async def two_leases(root: Path) -> tuple[Tools, Tools]:
    order = WorkerOrder(
        worker="w", socket=root / "s", workspaces=root / "cache", outbox=root / "outbox", slots=2, directory=root
    )
    environment = Environment({"PATH": "/usr/bin:/bin", "HOME": str(root), "ANTHROPIC_API_KEY": KEY})
    client = RouterClient(cast(Any, None))
    async with contextlib.AsyncExitStack() as at_the_end:
        secrets, clock = known_secrets(environment), AwakeClock(SystemClock())
        tools_with = tools_of(order, environment, secrets, client, clock, at_the_end)
        return tools_with("none"), tools_with("none")


async def test_what_an_agent_writes_into_a_login_is_no_secret_of_another_lease(tmp_path: Path) -> None:
    one, two = await two_leases(tmp_path)
    one.secrets.learn(HASH)
    for tools, hash_told in ((one, HIDDEN), (two, HASH)):
        letter = tools.outbox.unwritten("x", "/", {"hash": HASH, "key": KEY})
        assert letter.body == {"hash": hash_told, "key": HIDDEN}
        assert tools.secrets.stand_in(HASH.encode()) is (hash_told == HIDDEN)
    assert one.maker is two.maker, "what is costly is shared"
