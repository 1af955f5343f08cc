"""`codeswarm example`: a tickets file, and an agent that is no model, to begin with and to change."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.resources import files
from typing import Annotated

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import say_json


class Kind(StrEnum):
    """What there is an example of."""

    AGENT = "agent"
    TICKETS = "tickets"


_FILES = {Kind.AGENT: "agent.sh", Kind.TICKETS: "tickets.yaml"}
TRY = (
    "codeswarm example agent > ../agent.sh && chmod +x ../agent.sh",
    "codeswarm run 'write down what was asked' --agent 'command:../agent.sh'",
)
"""From nothing to a landed ticket without any model."""


def example(
    context: typer.Context,
    what: Annotated[
        Kind, typer.Argument(help="agent: a program as an agent, with all that it finds; tickets: a file.")
    ],
) -> None:
    """Print a file to begin with: a tickets file, or an agent that is no model.

    Example: codeswarm example agent > ../agent.sh
    """
    here: Here = context.obj
    text = (files("codeswarm.cli.examples") / _FILES[what]).read_text(encoding="utf-8")
    if here.json:
        say_json({"name": _FILES[what], "content": text})
    else:
        sys.stdout.write(text)
