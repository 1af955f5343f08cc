"""What a repository's files propose: the gate, the set-up, and the file that each was read from."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from codeswarm.config import Source, check
from codeswarm.detection.base import Has
from codeswarm.detection.detect import Detected, detect
from codeswarm.detection.settings_file import render


class InMemory:
    """A commit's files in memory."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def names(self, folder: str = "") -> frozenset[str]:
        prefix = f"{folder}/" if folder else ""
        within = (path.removeprefix(prefix) for path in self._files if path.startswith(prefix))
        return frozenset(name for name in within if "/" not in name)

    def folders(self) -> frozenset[str]:
        return frozenset(path.partition("/")[0] for path in self._files if "/" in path)

    def text(self, path: str) -> str | None:
        return self._files.get(path)


def everything(program: str) -> bool:
    return True


def only(*programs: str) -> Has:
    return lambda program: program in programs


def settings(detected: Detected) -> dict[str, Any]:
    return {value.key: value.value for value in detected.values}


def origins(detected: Detected) -> dict[str, str]:
    return {value.key: value.source for value in detected.values}


PLAIN = {"tests/test_it.py": "def test_it():\n    assert True\n"}
UNIT = {"tests/test_it.py": "import unittest\n"}
PACKAGE = '[project]\nname = "it"\nversion = "1"\n'
VENV = "python3 -m venv .venv && echo '*' > .venv/.gitignore && .venv/bin/python -m pip install -q"


@pytest.mark.parametrize(
    ("files", "gate", "setup"),
    [
        (PLAIN, "PYTHONPATH=. pytest -q", None),
        ({**PLAIN, "src/it.py": ""}, "PYTHONPATH=.:src pytest -q", None),
        (UNIT, "python3 -m unittest discover -s tests", None),
        ({**UNIT, "tests/__init__.py": ""}, "python3 -m unittest discover -s tests -t .", None),
        ({"it_test.py": "import unittest"}, "python3 -m unittest discover -p '*_test.py'", None),
        ({**PLAIN, "requirements.txt": "six"}, ".venv/bin/python -m pytest -q", f"{VENV} -r requirements.txt pytest"),
        (
            {**PLAIN, "requirements.txt": "six", "requirements-dev.txt": "pytest"},
            ".venv/bin/python -m pytest -q",
            f"{VENV} -r requirements-dev.txt -r requirements.txt",
        ),
        ({**PLAIN, "pyproject.toml": PACKAGE}, ".venv/bin/python -m pytest -q", f"{VENV} -e . pytest"),
        ({**UNIT, "pyproject.toml": PACKAGE}, ".venv/bin/python -m unittest discover -s tests", f"{VENV} -e ."),
        (
            {**PLAIN, "pyproject.toml": PACKAGE + '[project.optional-dependencies]\ntest = ["pytest>=8"]\n'},
            ".venv/bin/python -m pytest -q",
            f"{VENV} -e '.[test]'",
        ),
        (
            {**PLAIN, "pyproject.toml": PACKAGE + '[dependency-groups]\ndev = ["pytest>=8"]\n'},
            ".venv/bin/python -m pytest -q",
            "python3 -m venv .venv && echo '*' > .venv/.gitignore && "
            ".venv/bin/python -m pip install -q --upgrade 'pip>=25.1' && "
            ".venv/bin/python -m pip install -q -e . --group dev",
        ),
        (
            {**PLAIN, "pyproject.toml": PACKAGE, "uv.lock": "", "conftest.py": ""},
            ".venv/bin/python -m pytest -q",
            "uv sync --frozen --no-python-downloads && uv pip install --python .venv/bin/python pytest",
        ),
        (
            {
                **PLAIN,
                "pyproject.toml": PACKAGE + '[project.optional-dependencies]\ntests = ["pytest"]\n',
                "uv.lock": "",
            },
            ".venv/bin/python -m pytest -q",
            "uv sync --frozen --no-python-downloads --extra tests",
        ),
        (
            {
                **PLAIN,
                "pyproject.toml": '[tool.poetry]\nname="it"\n[tool.poetry.group.dev.dependencies]\npytest="*"\n',
                "poetry.lock": "",
            },
            ".venv/bin/python -m pytest -q",
            "POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction",
        ),
        (
            {**PLAIN, "setup.py": "", "tox.ini": "[testenv]\ndeps =\n  pytest\n  -r x.txt\n  py311: six>1  # why\n"},
            ".venv/bin/python -m pytest -q",
            f"{VENV} -e . pytest 'six>1'",
        ),
        ({"setup.cfg": "[metadata]\nname=it\n[tool:pytest]\n"}, ".venv/bin/python -m pytest -q", f"{VENV} -e . pytest"),
        ({"package.json": '{"scripts": {"test": "node --test"}}'}, "CI=true npm test", None),
        (
            {
                "package.json": '{"scripts": {"test": "jest"}, "devDependencies": {"jest": "1"}}',
                "package-lock.json": "",
            },
            "CI=true npm test",
            "npm ci --no-audit --no-fund",
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}}', "pnpm-lock.yaml": ""},
            "CI=true pnpm test",
            "pnpm install --frozen-lockfile",
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}}', "yarn.lock": ""},
            "CI=true yarn test",
            "yarn install --frozen-lockfile",
        ),
        (
            {
                "package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}, "packageManager": "yarn@4.1"}',
                "yarn.lock": "",
            },
            "CI=true yarn test",
            "yarn install --immutable",
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}}', "bun.lock": ""},
            "CI=true bun run test",
            "bun install --frozen-lockfile",
        ),
        (
            {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}', "a.test.js": ""},
            "node --test",
            None,
        ),
        (
            {"package.json": '{"devDependencies": {"vitest": "1"}}'},
            "CI=true npx --no-install vitest run",
            "npm install --no-package-lock --no-audit --no-fund",
        ),
        (
            {"go.mod": "module it\n"},
            'GOPATH="$PWD/.go" GOCACHE="$PWD/.go/cache" go test ./...',
            "mkdir -p .go && echo '*' > .go/.gitignore && "
            'export GOPATH="$PWD/.go" GOCACHE="$PWD/.go/cache" && { go test -c -o /dev/null ./... || true; }',
        ),
        ({"Cargo.toml": PACKAGE.replace("project", "package")}, "cargo test", None),
        ({"Cargo.toml": "[workspace]\n", "Cargo.lock": "version = 4\n"}, "cargo test --workspace", None),
        (
            {"Cargo.toml": '[package]\n[dependencies]\nx = "1"\n', "Cargo.lock": '[[package]]\nsource = "r"\n'},
            'CARGO_HOME="$PWD/.cargo-home" cargo test --offline',
            "CARGO_HOME=\"$PWD/.cargo-home\" cargo fetch --locked && echo '*' > .cargo-home/.gitignore",
        ),
        ({"Makefile": "all:\n\ntest lint: all\n\ttrue\n"}, "make test", None),
        ({"Makefile": "check:\n\ttrue\n"}, "make check", None),
    ],
)
def test_each_kind_is_detected(files: dict[str, str], gate: str, setup: str | None) -> None:
    found = settings(detect(InMemory(files), everything))
    assert (found["gates.fast"], found.get("workspace.setup")) == (gate, setup)


def test_every_value_names_the_file_that_it_came_from() -> None:
    files = {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}}', "package-lock.json": ""}
    assert origins(detect(InMemory(files), everything)) == {
        "gates.fast": "package.json",
        "workspace.setup": "package-lock.json",
        "workspace.setup_inputs": "package-lock.json",
        "workspace.setup_network": "package-lock.json",
    }


def test_modules_of_go_are_fetched_by_a_set_up_that_has_the_network() -> None:
    files = {"go.mod": "module it\nrequire (\n\tx v1\n)\n", "go.sum": "x"}
    found = settings(detect(InMemory(files), everything))
    assert "GOFLAGS=-modcacherw go mod download" in found["workspace.setup"]
    assert found["workspace.setup_inputs"] == ["go.mod", "go.sum"]
    assert found["workspace.setup_network"] == ["@registries"]
    vendored = settings(detect(InMemory({**files, "vendor/modules.txt": ""}), everything))
    assert "workspace.setup_network" not in vendored


def test_a_marker_for_slow_tests_makes_a_fast_and_a_full_gate() -> None:
    files = {**PLAIN, "pyproject.toml": '[tool.pytest.ini_options]\nmarkers = ["slow: takes a while"]\n'}
    found = settings(detect(InMemory(files), everything))
    assert found["gates.fast"] == "PYTHONPATH=. pytest -q -m 'not slow'"
    assert found["gates.full"] == "PYTHONPATH=. pytest -q"


def test_a_script_for_unit_tests_is_the_fast_gate_of_node() -> None:
    files = {"package.json": '{"scripts": {"test": "x", "test:unit": "y"}}'}
    found = settings(detect(InMemory(files), everything))
    assert (found["gates.fast"], found["gates.full"]) == ("CI=true npm run test:unit", "CI=true npm test")


def test_without_uv_a_locked_project_is_installed_by_pip_and_that_is_said() -> None:
    files = {**PLAIN, "pyproject.toml": PACKAGE, "uv.lock": ""}
    found = detect(InMemory(files), only("python3"))
    assert str(settings(found)["workspace.setup"]).startswith("python3 -m venv")
    assert any("uv.lock is not used" in note for note in found.notes)


def test_pytest_is_installed_where_it_is_not_on_the_path() -> None:
    found = settings(detect(InMemory(PLAIN), only("python3")))
    assert found["workspace.setup"] == f"{VENV} pytest"
    assert found["gates.fast"] == ".venv/bin/python -m pytest -q"


def test_a_missing_toolchain_is_said() -> None:
    found = detect(InMemory({"go.mod": "module it\n"}), only())
    assert "go is not on your PATH: install it before a run" in found.notes


def test_packages_that_git_does_not_ignore_are_said() -> None:
    files = {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}}'}
    assert any("node_modules" in note for note in detect(InMemory(files), everything).notes)
    ignored = {**files, ".gitignore": "/node_modules/\n"}
    assert not any("node_modules" in note for note in detect(InMemory(ignored), everything).notes)


# ── more than one kind ───────────────────────────────────────────────────────────────────────────────────────

MIXED = {**UNIT, "package.json": '{"scripts": {"test": "x"}}', "Makefile": "test:\n\ttrue\n"}


def test_of_several_kinds_one_is_chosen_and_the_others_are_said() -> None:
    found = detect(InMemory(MIXED), everything)
    assert found.kind == "Python"
    assert any("also found: Node: CI=true npm test; Make: make test" in note for note in found.notes)
    both = "python3 -m unittest discover -s tests && CI=true npm test && make test"
    assert any(both in note for note in found.notes)


def test_the_kind_that_ci_runs_comes_first() -> None:
    files = {**MIXED, ".github/workflows/ci.yml": "steps:\n - run: npm test\n"}
    found = detect(InMemory(files), everything)
    assert found.kind == "Node"
    assert any(".github/workflows/ci.yml runs its tests" in note for note in found.notes)


def test_a_kind_with_tests_comes_before_one_without() -> None:
    files = {"pyproject.toml": PACKAGE, "Makefile": "test:\n\ttrue\n"}
    assert detect(InMemory(files), everything).kind == "Make"


def test_nothing_known_is_said_and_proposes_nothing() -> None:
    found = detect(InMemory({"README.md": "# It\n"}), everything)
    assert (found.kind, found.values, found.gate) == ("", (), None)
    assert found.notes


# ── hostile repositories ─────────────────────────────────────────────────────────────────────────────────────

NAMES = ["pyproject.toml", "setup.cfg", "tox.ini", "package.json", "go.mod", "Cargo.toml", "Cargo.lock", "Makefile"]
NAMES += ["requirements.txt", "uv.lock", "tests/test_x.py", "noxfile.py", ".github/workflows/ci.yml", ".gitignore"]
PIECES = ["[project]\n", "name = 1\n", '{"scripts": ', "[[", "]]", "\0", "}" * 50, "[testenv]\ndeps=%(x)s\n", "test:\n"]
PIECES += [
    '{"scripts": {"test": 7}}',
    '{"dependencies": []}',
    "[tool.pytest]\nmarkers = 3\n",
    "\x1b[31m",
    "require (\n",
]
PIECES += [
    '[project]\noptional-dependencies = 4\ndependencies = "x"\n',
    "[tool]\npoetry = 1\n",
    "[" * 3000,
    "a\n" * 300,
]
PIECES += [
    "[dependency-groups]\ndev = [{include-group = 'x'}]\n",
    "workspace = 3\n",
    '{"workspaces": 1}',
    "[metadata]\n",
]


@pytest.mark.parametrize("seed", range(150))
def test_whatever_stands_in_the_files_the_answer_can_be_written_and_read(seed: int) -> None:
    draw = random.Random(seed)
    names = draw.sample(NAMES, draw.randint(1, len(NAMES)))
    files = {name: "".join(draw.choices(PIECES, k=draw.randint(0, 3))) for name in names}
    found = detect(InMemory(files), everything)
    check(Source("codeswarm.toml", tomllib.loads(render("main", found))))
    assert found == detect(InMemory(files), everything)


def test_names_of_packages_from_the_repository_can_not_end_the_command() -> None:
    files = {**PLAIN, "tox.ini": "[testenv]\ndeps =\n  x; touch evil\n  $(touch evil)\n"}
    setup = str(settings(detect(InMemory(files), everything))["workspace.setup"])
    assert "'x; touch evil'" in setup
    assert "'$(touch evil)'" in setup
