"""The commands: every one with its arguments, options, an example, and the exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from codeswarm.cli import main
from codeswarm.cli.verbs import GROUPS
from generate.markdown import capital, code, document, paragraph, sentence, table
from generate.sources import Undocumented

INTRODUCTION = """\
`codeswarm COMMAND --help` says the same. SESSION is an id, a unique prefix of one, or a `--name`; left out, the latest
one. TICKET is `[SESSION/]ID`. [Use it from scripts](../how-to/script.md) tells what programs can rely on."""
PLACEHOLDERS = {int: "N", float: "X", str: "TEXT", list[str]: "TEXT"}


def commands() -> dict[str, Any]:
    """Each command as it is typed behind `codeswarm`."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        below = getattr(command, "commands", None)
        if below is None:
            found[name] = command
        for sub_name, sub in (below or {}).items():
            walk(sub, f"{name} {sub_name}".strip())

    walk(root(), "")
    return found


def root() -> Any:
    return typer.main.get_command(main.app)


def group_of(name: str) -> str:
    """The heading that a command stands below. Raises: Undocumented."""
    verb = name.split(maxsplit=1)[0]
    for group, verbs in GROUPS.items():
        if verb in verbs:
            return group
    raise Undocumented(f"codeswarm {name} stands below no heading: put it into GROUPS in cli/verbs.py")


def grouped() -> dict[str, list[str]]:
    """Heading → the commands below it, in the order of the help. Raises: Undocumented."""
    found = [(name.split(maxsplit=1)[0], name) for name in commands() if group_of(name)]
    return {
        group: [name for wanted in verbs for verb, name in found if verb == wanted] for group, verbs in GROUPS.items()
    }


def parts_of(name: str, command: Any) -> tuple[str, list[str], str]:
    """(help, examples, exit codes) of a docstring. Raises: Undocumented."""
    text = command.help or ""
    examples = re.findall(r"^Example: (codeswarm .+(?:\n {4,}.+)*)$", text, re.MULTILINE)
    codes = re.search(r"^Exit codes: ((?:.+\n?)+)", text, re.MULTILINE)
    words = re.sub(r"^(?:Example|Exit codes): (?:.+\n?)+", "", text, flags=re.MULTILINE).strip()
    if not words or not examples:
        raise Undocumented(f'codeswarm {name} has no help or no line "Example: codeswarm …" in its docstring')
    return words, [" ".join(example.split()) for example in examples], " ".join(codes[1].split()) if codes else ""


def _parameters(name: str, command: Any) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if parameter.hidden or parameter.name == "help":
            continue
        if not parameter.help:
            raise Undocumented(f"{parameter.opts[-1]} of codeswarm {name} has no help")
        yield _typed(parameter), sentence(parameter.help) + _bounds(parameter)


def _typed(parameter: Any) -> str:
    """As it is typed: `--workers N`, `-f`, `[SESSION]`."""
    if parameter.param_type_name == "argument":
        shown = (parameter.metavar or parameter.name.upper()).strip("[]")
        return code(shown if parameter.required else f"[{shown}]")
    value = "" if parameter.is_flag else f" {parameter.metavar or _placeholder(parameter)}"
    repeated = " …" if parameter.multiple else ""
    return ", ".join(code(f"{option}{value}") for option in parameter.opts) + repeated


def _placeholder(parameter: Any) -> str:
    return PLACEHOLDERS.get(parameter.type_descriptor.annotation, "PATH")


def _bounds(parameter: Any) -> str:
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least and most:
        return f" {least:g} to {most:g}."
    return f" At least {least:g}." if least else ""


def _command(name: str, command: Any) -> Iterator[str]:
    words, examples, codes = parts_of(name, command)
    yield f"### codeswarm {name}"
    yield "\n\n".join(paragraph(part) for part in words.split("\n\n"))
    yield "```console\n" + "\n".join(f"$ {example}" for example in examples) + "\n```"
    if rows := list(_parameters(name, command)):
        yield table(("argument or option", "meaning"), rows)
    if codes:
        yield paragraph(f"Exit codes: {sentence(codes)}")


def _group(title: str, names: list[str], known: dict[str, Any]) -> Iterator[str]:
    yield f"## {title}"
    for name in names:
        yield from _command(name, known[name])


def page() -> str:
    known = commands()
    everywhere = [row for row in _parameters("", root()) if "completion" not in row[0]]
    return document(
        "Commands",
        INTRODUCTION,
        *(part for group, names in grouped().items() for part in _group(group, names, known)),
        "## Options of every command",
        "They may stand anywhere on the line.",
        table(("option", "meaning"), everywhere),
        "## Exit codes",
        table(
            ("code", "meaning"), ((str(number), capital(sentence(text))) for number, text in main.EXIT_CODES.items())
        ),
    )
