"""Stands in for a coding CLI: `stand_in.py WIRE`, or `stand_in.py WIRE bare EVENTS` to say all of a turn unasked.

It answers what its adapter asks for in the shapes that the CLI has, and says as many things in a turn as the prompt
names. It is no agent, and imports nothing of ours.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

EVENTS = "EVENTS"
SAID = "I looked at the failing test and at what it calls; the name is built twice, once without its prefix."
Json = dict[str, Any]


def tell(*messages: Json) -> None:
    sys.stdout.write("".join(json.dumps(message) + "\n" for message in messages))
    sys.stdout.flush()


def said(wire: str, number: int) -> Json:
    """One thing that an agent says, as a line of its wire."""
    if wire == "claude":
        content = [{"type": "text", "text": SAID}]
        return {
            "type": "assistant",
            "message": {"id": f"m{number}", "role": "assistant", "content": content, "usage": {}},
        }
    if wire == "codex":
        item = {"type": "agentMessage", "id": f"i{number}", "text": SAID}
        return {"method": "item/completed", "params": {"threadId": "t", "turnId": "u", "item": item}}
    if wire == "command":
        return {"type": "assistant", "text": SAID}
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": SAID}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}


def say(wire: str, prompt: str) -> None:
    found = re.search(rf"{EVENTS}=(\d+)", prompt)
    count = int(found[1]) if found else 1
    for first in range(0, count, 100):
        tell(*(said(wire, number) for number in range(first, min(first + 100, count))))


def answer_claude(message: Json) -> None:
    if message.get("type") == "user":
        say("claude", str(message["message"]["content"]))
        tell({"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "modelUsage": {}})


def answer_rpc(wire: str, message: Json) -> None:
    method, id_ = str(message.get("method")), message.get("id")
    params = message.get("params") or {}
    if id_ is None:
        return
    results: Json = {
        "initialize": {"protocolVersion": 1, "agentInfo": {"name": wire, "version": "1"}},
        "session/new": {"sessionId": "s"},
        "thread/start": {"thread": {"id": "t"}},
        "turn/start": {"turn": {"id": "u", "status": "inProgress", "items": []}},
        "session/prompt": {"stopReason": "end_turn", "usage": {"totalTokens": 3, "inputTokens": 2, "outputTokens": 1}},
    }
    begins = method == "turn/start"
    if begins:
        tell({"id": id_, "result": results[method]})
    if begins or method == "session/prompt":
        say(wire, json.dumps(params))
    if begins:
        turn: Json = {"id": "u", "status": "completed", "items": [], "error": None}
        tell({"method": "turn/completed", "params": {"threadId": "t", "turn": turn}})
    else:
        tell({"jsonrpc": "2.0", "id": id_, "result": results.get(method, {})})


def main(wire: str, *words: str) -> None:
    if words[:1] == ("bare",):
        say(wire, f"{EVENTS}={words[1]}")
    elif wire == "command":
        say(wire, sys.stdin.read())
    else:
        for line in sys.stdin:
            message = json.loads(line)
            if wire == "claude":
                answer_claude(message)
            else:
                answer_rpc(wire, message)


if __name__ == "__main__":
    main(*sys.argv[1:])
