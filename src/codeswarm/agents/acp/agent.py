"""`acp:COMMAND`: any program that speaks the Agent Client Protocol on its standard streams.

The protocol is spoken by the official library (`agent-client-protocol`), behind a guard (`acp_line`); what agents tell
is read in `acp_words`, and what is special about some of them stands in `acp_bridges`. An agent is offered neither
files nor terminals of ours: it uses its own tools, behind the walls that it runs in.

`acp:CODESWARM_MODEL=sonnet COMMAND` chooses a model, where the agent offers any. Importing the library takes most of a
second of processor time, once a worker: so it is imported here alone, and this file only when such an agent is opened.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from codeswarm.agents.acp.bridges import Bridge, bridge_in
from codeswarm.agents.base import AgentSpec, Health, Stage, Task
from codeswarm.agents.command import program_missing
from codeswarm.agents.installed import node_unfit, shown_for
from codeswarm.agents.login_file import login_file, refused, source
from codeswarm.environment import Login
from codeswarm.host import program, which
from codeswarm.packages import npm_package, system_packages

if TYPE_CHECKING:
    from codeswarm.agents.acp.talk import AcpConversation

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
MODEL = "CODESWARM_MODEL"


class AcpAgent:
    def __init__(
        self, spec: AgentSpec, directory: Path, home: Path, login: Login, bridge: Bridge | None = None
    ) -> None:
        """`directory` is where relative names in the command are looked up: where the person typed it."""
        self.spec = spec
        self.bridge = bridge or bridge_in(_words(spec.argument))
        self.can = self.bridge.can
        self._directory = directory
        self._home = home
        self._login = login

    def check(self) -> Health:
        if not self.spec.argument:
            return Health(works=False, what="acp: names no command", fix="--agent 'acp:gemini --acp'")
        if (missing := program_missing(self.spec.argument, self._directory)) is not None:
            return missing
        name = self._name()
        found = which(name, self._login.path) if "/" not in name else str(self._directory / name)
        if found is None:
            return Health(works=False, what=f"acp: there is no {name} on the PATH", fix=self._installed_by(name))
        if "node_modules" in Path(found).resolve().parts and (broken := node_unfit(name, found, self._login.path)):
            return broken
        given = self._login.of(self.bridge.variables)
        if (bad := refused(self._login, self.bridge.own, f"acp: {name}")) is not None:
            return bad
        by = source(self._login, self.bridge.own, {**given, **self._login.extra})
        if self.bridge.variables and not given and login_file(self._login, self.bridge.own) is None:
            fix = f"export {self.bridge.variables[0]}=…"
            return Health(works=False, what=f"acp: {name} has no login that agents may use", fix=fix)
        return Health(works=True, what=f"acp: {self.spec.argument}, given {by or 'no variable of yours'}")

    async def open(self, task: Task, stage: Stage) -> AcpConversation:
        from codeswarm.agents.acp.talk import AcpConversation, Terms  # noqa: PLC0415 - see above: the library is slow

        command, visible = program(self.spec.argument, self._directory, self._home)
        told, before = self.bridge.environment(self._login, stage), self.bridge.before(self._login, stage)
        environment = {**self._login.extra, **told, **task.environment()}
        terms = Terms(
            folder=str(task.inside.workspace),
            session=task.conversation if task.resume else "",
            model=self._model(),
            used=task.used,
            trusted=task.trusted,
            ask=task.ask,
        )
        own = login_file(self._login, self.bridge.own) is not None
        bridge = replace(self.bridge, method="") if own else self.bridge  # it says by itself how it is logged in
        conversation = AcpConversation(Path(self._name()).name, bridge, stage, terms)
        running = f"exec env {command}" if _is_simple(command) else command
        argv = ["/bin/sh", "-c", f"{before} && {running}" if before else running]
        await conversation.open(argv, environment, (*visible, *self.bridge.shown, *self._shown(environment)))
        return conversation

    def _installed_by(self, name: str) -> str:
        """How the missing program comes here, as far as we know it."""
        if name in ("node", "npm", "npx"):
            return system_packages("nodejs", "npm")
        if name in self.bridge.programs and self.bridge.package:
            return npm_package(self.bridge.package)
        return f"command -v {shlex.quote(name)}   # tells where it is, once it is installed"

    def _name(self) -> str:
        words = [word for word in _words(self.spec.argument) if not _ASSIGNMENT.match(word)]
        return words[0] if words else self.spec.argument

    def _model(self) -> str:
        assigned = (word.partition("=") for word in takewhile(_ASSIGNMENT.match, _words(self.spec.argument)))
        return next((value for name, _, value in assigned if name == MODEL), "")

    def _shown(self, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """What of the host the program needs to see: itself with its package, and a CLI that a variable names."""
        found = (
            which(self._name(), self._login.path) if "/" not in self._name() else str(self._directory / self._name())
        )
        named = [path for name, path in self._login.programs.items() if name in environment]
        paths = [Path(path) for path in (found, *named) if path]
        return tuple(
            shown for path in paths if path.exists() for shown in (*shown_for(path), *shown_for(path.resolve()))
        )


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _is_simple(command: str) -> bool:
    """Whether a shell may become the program: signals then reach it, and its exit code is its own."""
    return not set(command) & set(";&|<>()`\n")
