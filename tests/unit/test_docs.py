"""The documentation is held to the code: what is there is told, what is told is there."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import generate
import pytest
import typer
import yaml
from generate import commands, configuration, errors, events
from generate.configuration import EFFECTLESS
from generate.sources import Undocumented
from pydantic import BaseModel

from codeswarm.agents.base import Task
from codeswarm.agents.factory import KINDS
from codeswarm.cli import main
from codeswarm.config import Config, Loaded, Source, check
from codeswarm.domain.events import Event
from codeswarm.domain.ids import Commit
from codeswarm.domain.pipeline import SHIPPED, Phase
from codeswarm.domain.plan import Plan, read_plan
from codeswarm.domain.states import SESSION_MOVES, TICKET_MOVES
from codeswarm.domain.ticket import TicketSpec
from codeswarm.errors import CodeswarmError
from codeswarm.failpoints import POINTS
from codeswarm.sandbox.base import HOME, RUN, TMP, WORKSPACE, Inside
from codeswarm.tightening import tighten
from codeswarm.worker.gate import GateContext, _told
from tests.crash import harms_to_evidence, harms_to_ledger, harms_to_store
from tests.crash.harm import HARMS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


ARCHITECTURE = page("docs/architecture.md")
AGENTS = page("docs/how-to/agents.md")
TICKETS = page("docs/how-to/tickets.md")


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def code(text: str) -> Iterator[str]:
    """Every line of every fenced block, and every piece of code within a line."""
    fenced = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        yield from block.splitlines()
    yield from quoted(fenced.sub("", text))


class HalfTold(BaseModel):
    told: int = 1
    """Something."""
    bare: int = 2


# ── the reference ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_page_of_the_reference_is_made_from_the_code() -> None:
    written = {path.name for path in (ROOT / "docs/reference").glob("*.md")}
    assert written == {*generate.PAGES, "index.md"}


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_making_the_reference_again_changes_nothing(name: str) -> None:
    assert page(f"docs/reference/{name}") == generate.PAGES[name](), "run: make docs-reference"


@pytest.mark.parametrize(("name", "command"), commands.commands().items(), ids=str)
def test_every_command_has_help_an_example_and_a_place(name: str, command: Any) -> None:
    words, examples, _ = commands.parts_of(name, command)
    assert words
    assert all(example.startswith(f"codeswarm {name}") for example in examples)
    assert commands.group_of(name)


def test_a_command_without_an_example_is_undocumented() -> None:
    def bare() -> None:
        """Does something."""

    def told() -> None:
        """Does something.

        Example: codeswarm told
            --all
        Exit codes: 0 done,
        3 not done
        """

    app = typer.Typer()
    app.command()(bare)
    app.command()(told)
    found = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with pytest.raises(Undocumented, match="codeswarm bare has no help or no line"):
        commands.parts_of("bare", found["bare"])
    assert commands.parts_of("told", found["told"])[:2] == ("Does something.", ["codeswarm told --all"])
    assert commands.parts_of("told", found["told"])[2] == "0 done, 3 not done"
    with pytest.raises(Undocumented, match="codeswarm told stands below no heading"):
        commands.group_of("told")


def test_a_setting_without_a_description_is_undocumented() -> None:
    with pytest.raises(Undocumented, match=r"the setting section\.bare has no description"):
        configuration.settings("section", HalfTold)


def test_an_event_without_a_description_is_undocumented() -> None:
    bare = cast("type[Event]", HalfTold)
    with pytest.raises(Undocumented, match=r"HalfTold in .* has no docstring"):
        events.described(bare)
    with pytest.raises(Undocumented, match=r"HalfTold\.bare has no description"):
        list(events.fields(bare))


def test_an_error_without_a_meaning_or_a_way_out_is_undocumented() -> None:
    bare = type("Bare", (Exception,), {})
    with pytest.raises(Undocumented, match=r"Bare in .* has no docstring"):
        errors.told(bare)  # type: ignore[arg-type]
    bare.__doc__ = "Something went wrong."
    with pytest.raises(Undocumented, match="What to do"):
        errors.told(bare)  # type: ignore[arg-type]


def test_every_kind_of_error_is_raised_somewhere() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src/codeswarm").rglob("*.py")]
    for kind in errors.kinds():
        if not kind.__subclasses__():
            assert any(re.search(rf"(?<!class )\b{kind.__name__}\(", text) for text in sources), kind.__name__


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────

SETTINGS = {setting.key: setting for setting in configuration.all_settings()}


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_what_a_repository_may_set_is_as_documented(key: str) -> None:
    section, _, name = key.partition(".")
    sample = SETTINGS[key].default
    value = {name: "x" if sample is None else sample} if name and name not in ("ROLE", "NAME") else {"x": ["claude"]}
    kept, ignored = tighten({section: value}, Config())
    assert bool(kept) is (SETTINGS[key].repository != "no")
    assert bool(ignored) is not bool(kept)


def reads_setting(key: str) -> bool:
    """Whether anything but `config.py` itself looks at a setting."""
    section, _, name = key.partition(".")
    name = "copy_" if name == "copy" else name
    wanted = rf"config\.{section}\.{name}\b|(?<![.\w]){section}\.{name}\b(?!\()" if name else rf"config\.{section}\b"
    sources = [*(ROOT / "src/codeswarm/engine").glob("*.py"), *(ROOT / "src/codeswarm/cli").glob("*.py")]
    return any(re.search(wanted, source.read_text(encoding="utf-8")) for source in sources)


@pytest.mark.parametrize("key", sorted(key for key in SETTINGS if key.partition(".")[0] not in ("roles", "pipelines")))
def test_a_setting_without_effect_is_told_as_such(key: str) -> None:
    assert SETTINGS[key].has_effect is reads_setting(key)
    assert SETTINGS[key].has_effect is not bool(Loaded(Config(), {key: "codeswarm.toml"}).without_effect)
    assert (EFFECTLESS in SETTINGS[key].row[1]) is not SETTINGS[key].has_effect


def test_every_variable_that_is_read_is_documented() -> None:
    read = set(re.findall(r'"([A-Z][A-Z_]{2,}[A-Z])"', page("src/codeswarm/environment.py")))
    told = {name.partition("=")[0] for name in code(page("docs/how-to/configure.md"))}
    assert {"CODESWARM_DATA", "NO_COLOR"} <= read <= told


@pytest.mark.parametrize("place", [(path, i) for path in PAGES for i in range(len(blocks(path.read_text(), "toml")))])
def test_every_example_of_settings_can_be_used(place: tuple[Path, int]) -> None:
    path, number = place
    check(Source(path.name, tomllib.loads(blocks(path.read_text(encoding="utf-8"), "toml")[number])))


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────


VERBS = {
    name: {option for parameter in command.params for option in parameter.opts if option[0] == "-"}
    for name, command in commands.commands().items()
}
"""Each command as it is typed → its options."""
GROUPS = {name.split()[0] for name in VERBS if " " in name}
ANYWHERE = {*main.EVERYWHERE, "--help", "--version", "--install-completion"}


def named_commands(path: Path) -> Iterator[tuple[str, str]]:
    """(words behind `codeswarm`, the whole piece) as code names them."""
    for piece in code(path.read_text(encoding="utf-8")):
        for hit in re.finditer(r"(?<![\w.-])codeswarm ((?:(?!codeswarm )[^|;#`()])*)", piece):
            if re.match(r"[a-z]", hit[1]) and "git clone" not in piece:
                yield hit[1], piece


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_named_exists_and_takes_its_options(path: Path) -> None:
    wrong = []
    for words, piece in named_commands(path):
        first, *rest = words.split()
        verb = f"{first} {rest[0]}" if first in GROUPS and rest else first
        if verb not in VERBS and not (verb in GROUPS and not rest):
            wrong.append(piece)
            continue
        options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", words))
        if verb in VERBS and options - VERBS[verb] - ANYWHERE:
            wrong.append(piece)
    assert not wrong


def test_the_exit_codes_are_as_documented() -> None:
    def codes(kind: type[CodeswarmError]) -> set[int]:
        return {kind.exit_code}.union(*map(codes, kind.__subclasses__()))

    needs_person = 3  # no error: a session at rest, or a save that was refused
    assert set(main.EXIT_CODES) == {0, needs_person, main.INTERRUPTED} | codes(CodeswarmError)
    section = page("docs/reference/commands.md").partition("## Exit codes")[2]
    assert {int(cells[0]) for cells in rows(section) if cells[0].isdigit()} == set(main.EXIT_CODES)


# ── states, pipelines, agents ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("heading", "moves"), [("**Session**", SESSION_MOVES), ("**Ticket**", TICKET_MOVES)])
def test_the_state_machines_are_as_documented(heading: str, moves: dict[Any, frozenset[Any]]) -> None:
    table = ARCHITECTURE.partition(heading)[2].strip().partition("\n\n")[0]
    told = {
        state: {} if cells[1] == "—" else set(cells[1].split(", "))
        for cells in list(rows(table))[1:]
        for state in cells[0].split(", ")
    }
    assert told == {str(state): set(map(str, to)) or {} for state, to in moves.items()}


def test_every_failpoint_is_documented_and_every_documented_one_exists() -> None:
    section = ARCHITECTURE.partition("## Failpoints")[2].partition("\n## ")[0]
    assert {name for name in quoted(section) if re.fullmatch(r"[a-z]+\.[a-z_]+", name)} - {"failpoints.py"} == POINTS


def test_the_rooms_and_their_arrows_are_those_that_are_checked() -> None:
    contracts = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    drawn = " → ".join(layer.replace("codeswarm.", "").replace(":", "·") for layer in layers)
    assert drawn in ARCHITECTURE


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_shipped_pipelines_are_as_documented(name: str) -> None:
    def shown(phase: Phase) -> str:
        return f"{phase.name} ({phase.role}{f', {phase.gate}' if phase.gate else ''})"

    row = next(cells for cells in rows(TICKETS) if f"`{name}`" in cells[0])
    assert row[1] == " → ".join(map(shown, SHIPPED[name].phases))


def test_every_key_of_a_ticket_is_in_the_example_and_the_example_is_a_plan() -> None:
    example = yaml.safe_load(blocks(TICKETS, "yaml")[0])
    (ticket,) = example["tickets"]
    assert set(ticket) == set(TicketSpec.model_fields)
    assert isinstance(read_plan(example, SHIPPED), Plan)


def test_what_agents_and_gates_find_in_their_environment_is_documented(tmp_path: Path) -> None:
    inside = Inside(WORKSPACE, HOME, RUN, TMP)
    task = Task("s", "t", "p", "implementer", 1, 1, "", inside, RUN / "bundle", RUN / "result", "")
    assert set(task.environment()) <= set(code(AGENTS))
    told = _told(GateContext("s", "t", Commit("b"), Commit("h"), ()), tmp_path, RUN)
    assert all(f"{name}=" in page("docs/how-to/gates.md") for name in told)


def test_every_kind_of_agent_is_documented() -> None:
    assert all(f"`{kind}:" in AGENTS for kind in KINDS)


# ── links, make, dependencies, tests ─────────────────────────────────────────────────────────────────────────


def anchors(path: Path) -> set[str]:
    """The headings of a page, as links name them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_make_target_is_documented_and_every_named_one_exists() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", page("Makefile"), re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].split())
    named = {
        name
        for path in PAGES
        for piece in code(path.read_text(encoding="utf-8"))
        for name in re.findall(r"^\$? ?make ([a-z-]+)", piece)
    }
    assert named == targets


def test_every_dependency_is_explained_and_every_explained_one_is_one() -> None:
    project = tomllib.loads(page("pyproject.toml"))
    groups = [entry for group in project["dependency-groups"].values() for entry in group if isinstance(entry, str)]
    peers = page("bench/requirements.in").splitlines()
    wanted = [*project["project"]["dependencies"], *groups, *peers]
    from_npm = json.loads(page("tests/clis/package.json"))["dependencies"]
    names = {re.split(r"[\[<>=!~ ]", dependency)[0] for dependency in wanted} | set(from_npm)
    assert {name for cells in rows(page("docs/dependencies.md")) for name in quoted(cells[0])} == names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_of_ours_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py|tests/\w+/)`", text))
    assert all((ROOT / name).exists() for name in named)
    rooms = "|".join(entry.name for entry in (ROOT / "src/codeswarm").iterdir() if entry.is_dir())
    sources = set(re.findall(rf"`((?:{rooms})/\w+\.py)`", text))
    assert all((ROOT / "src/codeswarm" / name).exists() for name in sources)


def test_every_way_of_breaking_a_promise_is_told() -> None:
    promises = page("docs/explanation/promises.md")
    assert all(f"`tests/crash/{path.name}`" in promises for path in (ROOT / "tests/crash").glob("test_*.py"))
    assert harms_to_evidence and harms_to_ledger and harms_to_store, "importing them fills the list"
    assert f"{len(HARMS)} planted harms" in promises
