"""Finds, among the tools that a request offers, the one that runs a command or writes a file."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import Any

from codeswarm.testing.model_server.reply import Shell, Turn, Use, WriteFile
from codeswarm.testing.model_server.request import Request

_SHELLS = ("Bash", "run_shell_command", "exec_command", "shell_command", "shell", "container.exec", "local_shell")
_WRITERS = ("Write", "write_file")
_LONGEST_YIELD_MS = 30_000


class NoToolFits(LookupError):
    """The script wants something done for which the request offers no tool."""

    def __init__(self, wanted: str, request: Request) -> None:
        offered = ", ".join(request.tool_names) or "none"
        super().__init__(f"request {request.number} offers no tool to {wanted}; it offers: {offered}")


def with_real_tools(turn: Turn, request: Request) -> Turn:
    """`turn` with every Shell and WriteFile as a call of a tool that the request offers. Raises: NoToolFits."""
    parts = [_call(part, request) if isinstance(part, Shell | WriteFile) else part for part in turn.parts]
    return Turn(*parts, usage=turn.usage, stop=turn.stop)


def written(path: str, content: str) -> str:
    """A shell command that writes `content` to `path`, byte for byte, and makes its folders.

    The command holds the content: keep it under 100 kB, where systems limit the length of an argument.
    """
    folder = shlex.quote(str(PurePosixPath(path).parent))
    return f"mkdir -p -- {folder} && printf %s {shlex.quote(content)} > {shlex.quote(path)}"


def _call(part: Shell | WriteFile, request: Request) -> Use:
    return _run(part, request) if isinstance(part, Shell) else _write(part, request)


def _run(part: Shell, request: Request) -> Use:
    for name in _SHELLS:
        if name in request.tool_names:
            return Use(name, _shell_input(name, part, request))
    raise NoToolFits(f"run `{part.command}`", request)


def _shell_input(name: str, part: Shell, request: Request) -> dict[str, Any]:
    if name in ("Bash", "run_shell_command"):
        return {"command": part.command, "description": part.description}
    if name == "exec_command":
        # Without it a command that takes longer goes on in the background, and the turn with it.
        tool = request.tool(name)
        patience = {"yield_time_ms": _LONGEST_YIELD_MS} if tool and "yield_time_ms" in tool.parameters else {}
        return {"cmd": part.command, **patience}
    tool = request.tool(name)
    if name == "shell_command" or (tool is not None and "timeout_s" in tool.parameters):
        return {"command": part.command}
    return {"command": ["bash", "-lc", part.command]}


def _write(part: WriteFile, request: Request) -> Use:
    for name in _WRITERS:
        if name in request.tool_names:
            return Use(name, {"file_path": part.path, "content": part.content})
    if any(name in request.tool_names for name in _SHELLS):
        return _run(Shell(written(part.path, part.content), f"Write {part.path}"), request)
    if "apply_patch" in request.tool_names:
        return _patch(part, request)
    raise NoToolFits(f"write {part.path}", request)


def _patch(part: WriteFile, request: Request) -> Use:
    """A patch always ends its last line, whether `content` does or not."""
    lines = "".join(f"+{line}\n" for line in part.content.splitlines())
    text = f"*** Begin Patch\n*** Add File: {part.path}\n{lines}*** End Patch\n"
    tool = request.tool("apply_patch")
    return Use("apply_patch", text if tool and tool.kind == "custom" else {"input": text})
