"""`gemini[:MODEL]`: the Gemini CLI, which speaks ACP: that adapter does the talking, and this one knows the program.

Facts (seen with 0.61): it takes its login only where a settings file names the kind of it; it trusts no folder that it
was not told to trust, so a repository's own servers and hooks stay out; it asks before whatever it runs. A conversation
that is taken up within the minute in which it was left is emptied by it, so none is taken up. An answer that breaks off
or is refused after it has used tools ends its turn in good order: there the files and the gate decide.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from codeswarm.agents.acp.agent import AcpAgent
from codeswarm.agents.acp.bridges import GEMINI
from codeswarm.agents.base import AgentSpec, Conversation, Health, Stage, Task
from codeswarm.agents.installed import Told, ask_version, node_unfit, unfit
from codeswarm.agents.login_file import refused, source
from codeswarm.environment import Login
from codeswarm.errors import AgentUnavailable
from codeswarm.host import which
from codeswarm.packages import npm_package
from codeswarm.vendors import GOOGLE

PACKAGE = "@google/gemini-cli"
LOGIN = "export GEMINI_API_KEY=…"
MINIMUM = (0, 50, 0)
"""Older ones were never held against this adapter."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class GeminiAgent:
    can = GEMINI.can

    def __init__(self, spec: AgentSpec, directory: Path, home: Path, login: Login) -> None:
        self.spec = spec
        self._directory = directory
        self._home = home
        self._login = login

    def check(self) -> Health:
        found = which("gemini", self._login.path)
        if found is None:
            return Health(works=False, what="gemini is not installed", fix=npm_package(PACKAGE))
        if broken := node_unfit("gemini", found, self._login.path):
            return broken
        if (bad := refused(self._login, "gemini", f"gemini ({found})")) is not None:
            return bad
        by = source(self._login, "gemini", self._login.of(GOOGLE.keys))
        if not by:
            return Health(works=False, what=f"gemini ({found}) has no login that agents may use", fix=LOGIN)
        version = version_of(Path(found).resolve())
        told = Told(version) if version else ask_version(found, self._login.path, _VERSION)
        if broken := unfit("gemini", found, told, MINIMUM, PACKAGE, on_path=True):
            return broken
        return Health(works=True, what=f"gemini ({found}), login from {by}")

    async def open(self, task: Task, stage: Stage) -> Conversation:
        found = which("gemini", self._login.path)
        if found is None:
            raise AgentUnavailable(
                "gemini is not installed", "no program of that name is on the PATH", npm_package(PACKAGE)
            )
        model = ["--model", model_of(self.spec.argument)] if self.spec.argument else []
        trust = ["--skip-trust"] if task.trusted else []
        spec = AgentSpec("acp", shlex.join([found, "--acp", *model, *trust]))
        return await AcpAgent(spec, self._directory, self._home, self._login, GEMINI).open(task, stage)


def model_of(argument: str) -> str:
    """`gemini:2.5-pro` is the model gemini-2.5-pro; its names are taken whole, too."""
    return f"gemini-{argument}" if argument[:1].isdigit() else argument


def version_of(program: Path) -> tuple[int, ...] | None:
    """As its package says: the program itself takes a second to answer. None: it is not packaged as we know it."""
    for folder in list(program.parents)[:3]:
        try:
            package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = _VERSION.match(str(package.get("version", ""))) if isinstance(package, dict) else None
        return tuple(map(int, found.groups())) if found else None
    return None
