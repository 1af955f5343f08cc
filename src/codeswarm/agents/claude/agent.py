"""`claude[:MODEL]`: the Claude Code CLI, driven by stream-json both ways.

Facts (seen with 2.1): the CLI takes user turns as JSON lines on standard input and answers each with a `result` line;
it goes on in an earlier conversation by id, from the same folder and HOME; it retries refused keys for minutes when
left alone, exits 0 when interrupted, and can say `success` with `is_error`. So its retries are turned down, its
exit code is never believed alone, and what it claims is only a claim.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from codeswarm.agents.base import AgentSpec, ByHand, Capabilities, Health, Stage, Task
from codeswarm.agents.claude.asking import FLAGS
from codeswarm.agents.claude.by_hand import ready_for_a_person
from codeswarm.agents.claude.conversation import ClaudeConversation
from codeswarm.agents.installed import ask_version, unfit
from codeswarm.agents.login_file import login_file, refused, secrets_in, source
from codeswarm.egress.base import Endpoint
from codeswarm.environment import Login
from codeswarm.errors import AgentUnavailable
from codeswarm.host import is_system, which
from codeswarm.packages import npm_package
from codeswarm.vendors import ANTHROPIC

DEFAULT_MODEL = "sonnet"
HOSTS = ("api.anthropic.com", "console.anthropic.com", "platform.claude.com", "claude.ai")
"""What the CLI asks by itself with a token of an account."""
LOGIN_FOLDER = "CLAUDE_SECURESTORAGE_CONFIG_DIR"
"""Where the CLI looks for its own login and keeps the locks of that, and nothing else of its own."""
BYPASS = ("--permission-mode", "bypassPermissions")
NAME, RESUME = "--session-id", "--resume"
PACKAGE = "@anthropic-ai/claude-code"
LOGIN = "export ANTHROPIC_API_KEY=…   # with a plan: claude setup-token, then export CLAUDE_CODE_OAUTH_TOKEN=…"
MINIMUM = (2, 0, 0)
"""1.0 does not know --setting-sources, and would end every attempt at once."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+) \(Claude Code\)")

FIXED_ENVIRONMENT = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "IS_SANDBOX": "1",
}


def find_claude(path_variable: str) -> str | None:
    """The CLI on the PATH, or the one that the `claude-agent-sdk` package bundles."""
    if found := which("claude", path_variable):
        return found
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "_bundled" / "claude"
    return str(bundled) if bundled.exists() else None


KEPT = ".claude/projects/*/*.jsonl"
"""Where it keeps its conversations."""


class ClaudeAgent:
    can = Capabilities(
        resume=True,
        turns=True,
        inject=True,
        ask=True,
        cost=True,
        context_tokens=200_000,
        models=("opus", "sonnet", "haiku"),
    )

    def __init__(self, spec: AgentSpec, login: Login) -> None:
        self.spec = spec
        self._login = login

    def check(self) -> Health:
        found = find_claude(self._login.path)
        if found is None:
            return Health(works=False, what="claude is not installed", fix=npm_package(PACKAGE))
        if (bad := refused(self._login, "claude", f"claude ({found})")) is not None:
            return bad
        by = source(self._login, "claude", self._login.claude)
        if not by:
            return Health(
                works=False,
                what=f"claude ({found}) has no login that agents may use",
                fix=LOGIN,
            )
        told, on_path = ask_version(found, self._login.path, _VERSION), which("claude", self._login.path) is not None
        if broken := unfit("claude", found, told, MINIMUM, PACKAGE, on_path=on_path):
            return broken
        return Health(works=True, what=f"claude ({found}), login from {by}")

    async def open(self, task: Task, stage: Stage) -> ClaudeConversation:
        executable = self._executable()
        visible = () if is_system(executable) else (executable,)
        environment = {**FIXED_ENVIRONMENT, **credentials(self._login, stage), **task.environment()}
        conversation = ClaudeConversation(task.conversation, stage, task.used, str(task.inside.workspace))

        async def start(flag: str) -> None:
            await conversation.start(
                [str(executable), *self._flags(task), flag, task.conversation], environment, visible
            )

        await start(RESUME if task.resume else NAME)
        if task.resume:
            conversation.anew = lambda: start(NAME)
        return conversation

    def by_hand(self, task: Task, stage: Stage) -> ByHand:
        executable = self._executable()
        given = credentials(self._login, stage)
        argv = [str(executable), RESUME, task.conversation, "--model", self.spec.argument or DEFAULT_MODEL]
        argv += ["--setting-sources", "project"] if task.trusted else ["--setting-sources", "", "--strict-mcp-config"]
        argv += ["--permission-mode", "default"]  # the person is there to be asked
        ready = ready_for_a_person(str(task.inside.workspace), given.get("ANTHROPIC_API_KEY", ""))
        environment = {**FIXED_ENVIRONMENT, **given, **task.environment()}
        return ByHand((*ready, *argv), environment, () if is_system(executable) else (executable,), KEPT)

    def _executable(self) -> Path:
        program = find_claude(self._login.path)
        if program is None:
            raise AgentUnavailable(
                "claude is not installed", "no program of that name is on the PATH", npm_package(PACKAGE)
            )
        return Path(program).resolve()

    def _flags(self, task: Task) -> list[str]:
        model = self.spec.argument or DEFAULT_MODEL
        flags = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        flags += ["--model", model, *(FLAGS if task.ask else BYPASS)]
        flags += ["--setting-sources", "project"] if task.trusted else ["--setting-sources", "", "--strict-mcp-config"]
        return flags


def credentials(given: Login, stage: Stage) -> dict[str, str]:
    """What it logs in with. A key is put into its requests outside; a token of an account it wants itself, and its own
    file in place, for that is what it renews.
    """
    login = {**given.of(ANTHROPIC.variables), **given.claude}
    file = login_file(given, "claude")
    upstream = login.get(ANTHROPIC.endpoint, ANTHROPIC.address)
    if token := login.get("ANTHROPIC_AUTH_TOKEN"):  # the CLI's own order
        reached = stage.reach(Endpoint(upstream, "authorization", token, "Bearer"))
        return {"ANTHROPIC_AUTH_TOKEN": reached.secret, ANTHROPIC.endpoint: reached.url}
    if key := login.get("ANTHROPIC_API_KEY"):
        reached = stage.reach(Endpoint(upstream, "x-api-key", key))
        return {"ANTHROPIC_API_KEY": reached.secret, ANTHROPIC.endpoint: reached.url}
    stage.allow(*HOSTS)
    if ANTHROPIC.endpoint in login:
        login[ANTHROPIC.endpoint] = stage.reach(Endpoint(upstream)).url
    if file is not None:
        shared = stage.share(file.path, lambda: secrets_in(given, "claude"), locks=True)
        login[LOGIN_FOLDER] = str(shared.parent)
    return login
