"""The documentation is held to the code: what is there is told, what is told is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from codeswarm.agents.base import Task
from codeswarm.agents.factory import KINDS
from codeswarm.cli import main
from codeswarm.config import Config, Loaded, Source, check, tighten
from codeswarm.domain.events import Event
from codeswarm.domain.ids import Commit
from codeswarm.domain.pipeline import SHIPPED, Phase
from codeswarm.domain.plan import Plan, read_plan
from codeswarm.domain.states import SESSION_MOVES, TICKET_MOVES
from codeswarm.domain.ticket import TicketSpec
from codeswarm.errors import CodeswarmError
from codeswarm.failpoints import POINTS
from codeswarm.sandbox.base import HOME, RUN, TMP, WORKSPACE, Inside
from codeswarm.worker.gate import GateContext, _told

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NO_EFFECT = "**No effect yet**"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


CONFIGURATION = page("docs/reference/configuration.md")
COMMANDS = page("docs/reference/commands.md")
EVENTS = page("docs/reference/events.md")
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


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────


def settings() -> dict[str, Any]:
    """`section.key` → default; sections without keys of their own by their name."""
    found: dict[str, Any] = {}
    for section, value in Config():
        if isinstance(value, BaseModel):
            for name, field in type(value).model_fields.items():
                found[f"{section}.{field.alias or name}"] = getattr(value, name)
        elif section in ("roles", "pipelines"):
            found[f"{section}.{section[:-1].upper() if section == 'roles' else 'NAME'}"] = None
        else:
            found[section] = None
    return found


def documented_settings() -> dict[str, list[str]]:
    """Key → the cells of its row."""
    found = {key: cells for cells in rows(CONFIGURATION) for key in quoted(cells[0])}
    found.setdefault("roles.ROLE", []) if "`roles.ROLE" in CONFIGURATION else None
    return found


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    named = {key for key in documented_settings() if key == key.lower() or key in settings()}
    assert named == set(settings())


@pytest.mark.parametrize("key", sorted(key for key, cells in documented_settings().items() if len(cells) == 4))
def test_the_default_of_a_setting_is_as_documented(key: str) -> None:
    default, told = settings()[key], documented_settings()[key][1].strip("`")
    if key == "policy.approve":
        assert default is None, "what the page says of it is told by run"
    elif key == "policy.approvals":
        assert default == {}
    elif default is None:
        assert told == "—"
    else:
        assert tomllib.loads(f"value = {told}")["value"] == default


@pytest.mark.parametrize("key", sorted(key for key, cells in documented_settings().items() if len(cells) >= 3))
def test_what_a_repository_may_set_is_as_documented(key: str) -> None:
    cells = documented_settings()[key]
    may = cells[2] if len(cells) == 4 else "no"
    section, _, name = key.partition(".")
    default = settings()[key]
    sample = "x" if default is None else default
    kept, ignored = tighten({section: {name: sample}} if name else {section: {"x": 1}}, Config())
    if may == "yes":
        assert not ignored
        assert kept
    elif may == "no":
        assert ignored
        assert not kept


def reads_setting(key: str) -> bool:
    """Whether anything but `config.py` itself looks at a setting."""
    section, _, name = key.partition(".")
    name = "copy_" if name == "copy" else name
    wanted = rf"config\.{section}\.{name}\b|(?<![.\w]){section}\.{name}\b(?!\()" if name else rf"config\.{section}\b"
    sources = [*(ROOT / "src/codeswarm/engine").glob("*.py"), *(ROOT / "src/codeswarm/cli").glob("*.py")]
    return any(re.search(wanted, source.read_text(encoding="utf-8")) for source in sources)


@pytest.mark.parametrize(
    "key", sorted(key for key in settings() if key.partition(".")[0] not in ("roles", "pipelines"))
)
def test_a_setting_without_effect_is_told_as_such(key: str) -> None:
    has_none = documented_settings()[key][-1].startswith(NO_EFFECT)
    assert has_none is not reads_setting(key)
    assert has_none is bool(Loaded(Config(), {key: "codeswarm.toml"}).without_effect)


@pytest.mark.parametrize("place", [(path, i) for path in PAGES for i in range(len(blocks(path.read_text(), "toml")))])
def test_every_example_of_settings_can_be_used(place: tuple[Path, int]) -> None:
    path, number = place
    check(Source(path.name, tomllib.loads(blocks(path.read_text(encoding="utf-8"), "toml")[number])))


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────


def verbs() -> dict[str, set[str]]:
    """Each command as it is typed → its options."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        for sub_name, sub in getattr(command, "commands", {}).items():
            walk(sub, f"{name} {sub_name}".strip())
        if not hasattr(command, "commands"):
            found[name] = {option for parameter in command.params for option in parameter.opts if option[0] == "-"}

    walk(typer.main.get_command(main.app), "")
    return found


VERBS = verbs()
GROUPS = {name.split()[0] for name in VERBS if " " in name}
ANYWHERE = {*main.EVERYWHERE, "--help", "--version", "--install-completion"}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_command_is_documented_with_its_options(verb: str) -> None:
    told = [cells for cells in rows(COMMANDS) if any(f"codeswarm {verb}" in name for name in quoted(cells[0]))]
    assert told, f"{verb} is in no table of the commands page"
    text = " ".join(" ".join(cells) for cells in told)
    missing = {option for option in VERBS[verb] if option.startswith("--") and option not in text}
    assert not missing


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

    section = COMMANDS.partition("## Exit codes")[2].partition("\n## ")[0]
    told = {int(cells[0]) for cells in rows(section) if cells[0].isdigit()}
    assert told == {0, main.INTERRUPTED} | codes(CodeswarmError)


# ── events, states, pipelines, agents ────────────────────────────────────────────────────────────────────────


def test_every_kind_of_event_is_documented_and_every_documented_one_exists() -> None:
    told = {kind for cells in rows(EVENTS) for kind in quoted(cells[0])}
    assert told == set(Event.registry)


@pytest.mark.parametrize("cells", [cells for cells in rows(EVENTS) if quoted(cells[0])], ids=lambda cells: cells[0])
def test_the_data_of_an_event_is_as_documented(cells: list[str]) -> None:
    fields: set[str] = set().union(*(Event.registry[kind].model_fields for kind in quoted(cells[0])))
    told = {word.strip() for word in re.sub(r"\([^)]*\)", "", cells[2]).split(",")} - {""}
    assert told - {"charged"} <= fields
    assert fields - {"ticket", "epoch"} <= told


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
    assert set(task.environment()) <= set(quoted(AGENTS))
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
    wanted = [*project["project"]["dependencies"], *groups]
    names = {re.split(r"[\[<>=!~ ]", dependency)[0] for dependency in wanted}
    assert {name for cells in rows(page("docs/dependencies.md")) for name in quoted(cells[0])} == names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_of_ours_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py|tests/\w+/)`", text))
    assert all((ROOT / name).exists() for name in named)
    rooms = "|".join(entry.name for entry in (ROOT / "src/codeswarm").iterdir() if entry.is_dir())
    sources = set(re.findall(rf"`((?:{rooms})/\w+\.py)`", text))
    assert all((ROOT / "src/codeswarm" / name).exists() for name in sources)
