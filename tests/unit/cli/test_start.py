"""What a command loads before it answers: nobody waits for what they don't use."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer

from codeswarm.cli import main
from codeswarm.cli.later import LATER
from codeswarm.cli.verbs import VERBS
from codeswarm.ledger.sqlite import SqliteLedger
from tests.support.finished_session import make_repository
from tests.support.kernels import ONE, kernel_on

HEAVY = ("codeswarm.domain.events", "codeswarm.domain.session", "codeswarm.engine.engine", "codeswarm.wiring")
SLOW = (*HEAVY, "asyncio", "fastapi", "httpx2", "rich.console", "uvicorn", "yaml")
"""What takes longer to load than an answer from the ledger's tables takes."""


@pytest.fixture(scope="module")
def one_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a session of one ticket in its ledger."""
    folder = make_repository(tmp_path_factory.mktemp("start") / "repository")
    data = folder / ".git" / "codeswarm"
    data.mkdir()
    with closing(SqliteLedger(data / "ledger.sqlite3")) as ledger:
        asyncio.run(_begin(ledger))
    return folder


async def _begin(ledger: SqliteLedger) -> None:
    await kernel_on(ledger, ONE)


def loaded(folder: Path, *words: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    script = (
        "import sys\n"
        "from codeswarm.cli.main import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_the_version_loads_nothing_but_the_parser(tmp_path: Path) -> None:
    found = loaded(tmp_path, "--version")
    assert not found & {*SLOW, "pydantic", "sqlite3", "codeswarm.home", "importlib.metadata", "socket"}
    assert "codeswarm.cli.verbs" in found


def test_the_list_of_verbs_loads_none_of_them(tmp_path: Path) -> None:
    found = loaded(tmp_path, "--help")
    assert not found & {f"codeswarm.cli.{verb.where.partition(':')[0]}" for verb in VERBS.values()}
    assert not found & {*SLOW, "pydantic", "sqlite3"}


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["ticket", "list"], ["session", "list"]])
def test_what_only_looks_at_tables_loads_no_domain_and_no_router(words: list[str], one_session: Path) -> None:
    found = loaded(one_session, *words)
    assert not found & {*SLOW, "pydantic", "pydantic_core", "socket"}
    assert "sqlite3" in found


@pytest.mark.parametrize(
    ("words", "told"),
    [(["plan", "x", "--workers", "many"], "'--workers'"), (["-C", "nowhere", "status"], "nowhere")],
)
def test_what_is_given_is_checked_all_the_same(words: list[str], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "codeswarm.cli", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize("word", LATER)
def test_a_verb_of_later_is_said_to_be_one_with_a_next_step(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([word, "x", "--what", "y"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"error: `codeswarm {word}` is not part of this version\nwhy: " in told
    (step,) = re.findall(r"^do: codeswarm (--help|[a-z-]+)", told, re.MULTILINE)
    assert step in (*VERBS, "--help")
    assert "Did you mean" not in told


def test_the_readme_lists_every_verb_of_later_and_none_that_is_there() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    missing = text.partition("## What is not there yet")[2].partition("\n## ")[0]
    assert {*re.findall(r"`([a-z]+)`", missing)} == {*LATER}
    assert not {*LATER} & {*VERBS}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_in_the_list_is_told_by_the_beginning_of_its_own_help(name: str) -> None:
    command = typer.main.get_command(main.app).commands[name]  # type: ignore[attr-defined]
    whole, told = " ".join(command.help.split()), VERBS[name].told
    assert told.endswith(".")
    assert whole.startswith(told.removesuffix("."))
