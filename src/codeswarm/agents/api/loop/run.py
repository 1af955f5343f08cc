"""The loop itself: ask the model, use the tools that it calls, until it calls none. Everything in it is bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.api.loop.answer import Answer, Call, Interrupted, Trouble
from codeswarm.agents.api.loop.conversation import Conversation, result
from codeswarm.agents.api.loop.endpoint import Endpoint
from codeswarm.agents.api.loop.patience import PAUSES_S, Patience
from codeswarm.agents.api.loop.talk import Ear, Voice, tell
from codeswarm.agents.api.loop.tools import TOOLS, Refused, Shell, edit, read_arguments

ANSWERS_MAX = 250
"""Of the model, in one turn."""
SHRINKS_MAX = 3
SHOWN = 4000

SYSTEM = """\
You are a coding agent at work on one task, alone: nobody watches, and nobody answers questions. You work in the \
current folder, a git repository, with two tools: `shell` runs a command, `edit` changes or makes a file. Look at what \
is there before you change it, make the smallest change that does the task well, and run the project's own tests where \
it has any. When the task is done, say in a few sentences what you did; your turn ends with the first answer that \
calls no tool."""
CUT_OFF = "Your last answer was cut off since it was too long. Go on in smaller steps."


def main(environment: Mapping[str, str]) -> int:
    """Turns as they are asked for, until nobody asks any more. Its exit code is 0 then; what failed is told by line."""
    wire, _, model = environment["CODESWARM_API"].partition("/")
    shell, endpoint = Shell(), Endpoint(wire, model, environment)

    def cut() -> None:
        endpoint.cut()
        shell.cut()

    def mend() -> None:
        endpoint.mend()
        shell.mend()

    file = Path(environment["HOME"]) / ".codeswarm-api" / f"{environment['CODESWARM_CONVERSATION']}.jsonl"
    conversation = Conversation(file, int(environment.get("CODESWARM_API_WINDOW") or 0) or 128_000)
    conversation.load()
    pauses = environment.get("CODESWARM_API_PAUSES_S")
    loop = Loop(Ear(cut, mend), endpoint, shell, conversation, read_pauses(pauses) if pauses else PAUSES_S)
    loop.run()
    return 0


def read_pauses(text: str) -> tuple[float, ...]:
    return tuple(float(pause) for pause in text.split())


class Loop:
    def __init__(
        self, ear: Ear, endpoint: Endpoint, shell: Shell, conversation: Conversation, pauses_s: Sequence[float]
    ) -> None:
        self._ear = ear
        self._endpoint = endpoint
        self._shell = shell
        self._conversation = conversation
        self._pauses_s = pauses_s
        self._voice = Voice()

    def run(self) -> None:
        self._ear.listen()
        while (prompt := self._ear.next_turn()) is not None:
            self._turn(prompt)

    def _turn(self, prompt: str) -> None:
        self._conversation.add({"role": "user", "text": prompt})
        try:
            answer = self._work()
        except Interrupted:
            self._break_off("interrupted", "the turn was interrupted")
        except Trouble as trouble:
            facts: dict[str, Any] = {"status": trouble.status, "kind": trouble.kind, "resets_at_s": trouble.resets_at_s}
            self._break_off("trouble", trouble.message, **facts)
        else:
            if answer.stop == "refused":
                self._break_off("refused", answer.text)
            else:
                self._end("done", said=answer.text)

    def _break_off(self, outcome: str, message: str, **facts: Any) -> None:
        left = self._ear.stop_turn()
        self._conversation.settle()
        if left:
            self._conversation.add({"role": "user", "text": left})
        self._end(outcome, message=message, **facts)

    def _end(self, outcome: str, **facts: Any) -> None:
        tell("ended", outcome=outcome, heard=self._ear.heard, usage=self._conversation.usage(), **facts)

    def _work(self) -> Answer:
        """Until an answer calls no tool. Raises: Trouble; Interrupted."""
        for _ in range(ANSWERS_MAX):
            answer = self._ask()
            self._conversation.take(answer)
            tell("usage", **self._conversation.usage())
            if answer.stop == "refused":
                return answer
            if answer.calls:
                results = [self._use(call, cut=answer.stop == "length") for call in answer.calls]
                self._conversation.add({"role": "tool", "results": results, "said": self._ear.said()})
            elif answer.stop == "length":
                self._conversation.add({"role": "user", "text": CUT_OFF})
            elif answer.stop == "done" and self._ear.end_turn():
                return answer
            elif text := self._ear.said():
                self._conversation.add({"role": "user", "text": text})
        raise Trouble(f"the turn came to no end within {ANSWERS_MAX} answers of the model", kind="endless")

    def _ask(self) -> Answer:
        """An answer: waited for where that helps, with less to read where there was too much of it."""
        self._conversation.shorten()
        shrinks, patience = 0, Patience(self._shell.rest, self._pauses_s)
        while True:
            try:
                return self._endpoint.ask(SYSTEM, self._conversation.messages, TOOLS, self._voice.hear)
            except Trouble as trouble:
                if overflows(trouble) and shrinks < SHRINKS_MAX and self._conversation.shrink():
                    shrinks += 1
                else:
                    patience.wait_or_raise(trouble)
            finally:
                self._voice.flush()

    def _use(self, call: Call, *, cut: bool) -> dict[str, Any]:
        """What a call gives. One that can't be done is told to the model, which goes on. Raises: Interrupted."""
        if cut:
            return result(call.id, CUT_OFF, failed=True)
        try:
            arguments = read_arguments(call.name, call.arguments)
            if call.name == "edit":
                tell("file_change", arguments["path"], tool="edit")
                return result(call.id, edit(arguments))
            tell("command_started", arguments["command"][:SHOWN], tool="shell")
            text = self._shell.run(arguments)
        except Refused as why:
            tell("command_completed", str(why), tool=call.name)
            return result(call.id, str(why), failed=True)
        tell("command_completed", text[-SHOWN:], tool="shell")
        return result(call.id, text)


def overflows(trouble: Trouble) -> bool:
    """Whether a refusal means that there was too much to read. Servers each have a wording of their own."""
    said = f"{trouble.kind} {trouble.message}".lower()
    known = (
        "context_length",
        "context length",
        "context window",
        "context size",
        "prompt is too long",
        "too many tokens",
    )
    return trouble.status in (400, 413, 422, None) and any(words in said for words in known)
