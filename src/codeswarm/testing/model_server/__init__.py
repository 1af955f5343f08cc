"""A scripted model: coding CLIs can be tested whole, without an account and without a network.

It speaks the wires of Claude Code (Anthropic Messages), Codex (OpenAI Responses) and Gemini CLI on loopback, and Chat
Completions for our own loop. The test says what the model says, in words that are the same for all, and which faults it
meets.

    async def test_the_agent_writes_the_file_that_it_was_told_to():
        script = rules(
            when(lambda request: not request.mentions("House rules:"), Refuse(400, "the prompt lacks the house rules")),
            when("ticket 7", conversation([WriteFile("seven.txt", "7\\n"), Shell("git add -A"), Say("Done.")])),
            conversation([sequence([RateLimited(), Say("Nothing to do.")])]),
        )
        async with ModelServer(script) as server:
            await run_claude(env=server.environment("claude"))
            assert server.requests[0].last_user_text == "Do ticket 7."

Scripts are in `script`, what they answer is in `reply` and `faults`.
"""

from codeswarm.testing.model_server.faults import (
    ContextOverflow,
    DropBeforeHeaders,
    DropInStream,
    ErrorInStream,
    Fault,
    GarbageInStream,
    HangBeforeHeaders,
    HangInStream,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerError,
    SlowStream,
    Unauthorized,
    UnknownModel,
)
from codeswarm.testing.model_server.reply import Refuse, Say, Shell, Think, Tokens, Turn, Use, WriteFile
from codeswarm.testing.model_server.request import Request, Tool, Wire
from codeswarm.testing.model_server.script import (
    Answer,
    Reply,
    Script,
    ScriptEnded,
    conversation,
    rules,
    sequence,
    when,
)
from codeswarm.testing.model_server.server import ModelServer
from codeswarm.testing.model_server.threaded import ThreadedModelServer, running_model_server
from codeswarm.testing.model_server.tools import NoToolFits, written

__all__ = [
    "Answer",
    "ContextOverflow",
    "DropBeforeHeaders",
    "DropInStream",
    "ErrorInStream",
    "Fault",
    "GarbageInStream",
    "HangBeforeHeaders",
    "HangInStream",
    "ModelServer",
    "NoToolFits",
    "OutOfCredit",
    "Overloaded",
    "QuotaExhausted",
    "RateLimited",
    "Refuse",
    "Reply",
    "Request",
    "Say",
    "Script",
    "ScriptEnded",
    "ServerError",
    "Shell",
    "SlowStream",
    "Think",
    "ThreadedModelServer",
    "Tokens",
    "Tool",
    "Turn",
    "Unauthorized",
    "UnknownModel",
    "Use",
    "Wire",
    "WriteFile",
    "conversation",
    "rules",
    "running_model_server",
    "sequence",
    "when",
    "written",
]
