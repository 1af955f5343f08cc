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

    def paths(self) -> frozenset[str]:
        return frozenset(self._files)

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
COREPACK = 'COREPACK_HOME="$PWD/.corepack"'
AS_IT_IS = "pnpm_config_pm_on_fail=ignore npm_config_manage_package_manager_versions=false"
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
            f"{COREPACK} CI=true yarn test",
            f"mkdir -p .corepack && echo '*' > .corepack/.gitignore && export {COREPACK} && "
            "YARN_ENABLE_GLOBAL_CACHE=false yarn install --immutable",
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
        ({"Makefile": "unit-test:\n\ttrue\n"}, "make unit-test", None),
        ({"justfile": "default:\n\n@test filter='': default\n  true\n"}, "just test", None),
        ({"Taskfile.yml": "version: 3\ntasks:\n  test:\n    cmds: [x]\n"}, "task test", None),
        (
            {"CMakeLists.txt": "project(it C)\nenable_testing()\n"},
            "cmake -S . -B build && cmake --build build --parallel && ctest --test-dir build --output-on-failure",
            None,
        ),
        (
            {"pom.xml": "", "mvnw": ""},
            'mvn -B -q -o -Dmaven.repo.local="$PWD/.m2" test',
            "mkdir -p .m2 && echo '*' > .m2/.gitignore && "
            '{ mvn -B -q -Dmaven.repo.local="$PWD/.m2" test || true; } && git clean -qfdx -e .m2',
        ),
        ({"src/it.py": "", **UNIT}, "PYTHONPATH=src python3 -m unittest discover -s tests", None),
        (
            {"src/it/__init__.py": "", "src/it/tests/__init__.py": "", "src/it/tests/test_it.py": "import unittest"},
            "PYTHONPATH=src python3 -m unittest discover -s src/it/tests -t src",
            None,
        ),
        ({"it/__init__.py": "", "it/tests/test_it.py": "def test_it(): ..."}, "PYTHONPATH=. pytest -q", None),
        (
            {**PLAIN, "src/it.py": "", "requirements.txt": "six"},
            "PYTHONPATH=src .venv/bin/python -m pytest -q",
            f"{VENV} -r requirements.txt pytest",
        ),
        (
            {"manage.py": "import django", "requirements.txt": "django", "app/tests.py": ""},
            ".venv/bin/python manage.py test --no-input",
            f"{VENV} -r requirements.txt",
        ),
        (
            {**PLAIN, "Pipfile": '[packages]\nsix = "==1.0"\nmine = {path = "."}\n[dev-packages]\npytest = "*"\n'},
            ".venv/bin/python -m pytest -q",
            f"{VENV} six==1.0 pytest",
        ),
        (
            {**PLAIN, "Pipfile": '[packages]\nsix = "*"\n', "Pipfile.lock": "{}"},
            ".venv/bin/python -m pytest -q",
            "PIPENV_VENV_IN_PROJECT=1 PIPENV_YES=1 pipenv sync --dev && echo '*' > .venv/.gitignore"
            " && .venv/bin/python -m pip install -q pytest",
        ),
        (
            {**PLAIN, "pyproject.toml": PACKAGE + '[tool.hatch.envs.default]\ndependencies = ["pytest", "six>=1"]\n'},
            ".venv/bin/python -m pytest -q",
            f"{VENV} -e . pytest 'six>=1'",
        ),
        (
            {**PLAIN, "pyproject.toml": PACKAGE + '[tool.pdm.dev-dependencies]\ntest = ["pytest", "-e ./x"]\n'},
            ".venv/bin/python -m pytest -q",
            f"{VENV} -e . pytest",
        ),
        (
            {**PLAIN, "pyproject.toml": '[tool.poetry]\n[tool.poetry.group.dev.dependencies]\nsix = "^1"\n'},
            ".venv/bin/python -m pytest -q",
            f"{VENV} -e . six pytest",
        ),
        (
            {
                **PLAIN,
                "setup.py": "",
                "noxfile.py": "session.install('six', '-r', 'more.txt', '.')\nsession.install(\"pytest>=8\")\n",
            },
            ".venv/bin/python -m pytest -q",
            f"{VENV} -e . six 'pytest>=8'",
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}, "packageManager": "pnpm@9.1.0"}'},
            f"{COREPACK} {AS_IT_IS} CI=true pnpm test",
            f"mkdir -p .corepack && echo '*' > .corepack/.gitignore && export {COREPACK} {AS_IT_IS} && "
            "pnpm install --no-lockfile",
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}}', "pnpm-workspace.yaml": "", "pnpm-lock.yaml": ""},
            "CI=true pnpm test",
            "pnpm install --frozen-lockfile",
        ),
        (
            {"package.json": '{"workspaces": ["a"]}', "a/package.json": '{"scripts": {"test": "x"}}'},
            "CI=true npm test --workspaces --if-present",
            "npm install --no-package-lock --no-audit --no-fund",
        ),
        (
            {"package.json": '{"dependencies": {"y": "1"}}', "bun.lock": "", "src/a.test.ts": ""},
            "CI=true bun test",
            "bun install --frozen-lockfile",
        ),
        (
            {"package.json": '{"devDependencies": {"jest": "1"}}', "pnpm-lock.yaml": ""},
            "CI=true pnpm exec jest",
            "pnpm install --frozen-lockfile",
        ),
        (
            {"go.work": "go 1.21\n\nuse (\n\t./a // one\n\t./b\n)\n", "a/go.mod": "", "b/go.mod": ""},
            'GOPATH="$PWD/.go" GOCACHE="$PWD/.go/cache" go test ./a/... ./b/...',
            "mkdir -p .go && echo '*' > .go/.gitignore && "
            'export GOPATH="$PWD/.go" GOCACHE="$PWD/.go/cache" && { go test -c -o /dev/null ./a/... ./b/... || true; }',
        ),
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


def test_a_wrapper_stands_in_for_a_maven_that_is_not_there() -> None:
    found = detect(InMemory({"pom.xml": "", "mvnw": "", "a/pom.xml": ""}), only("java"))
    told = settings(found)
    assert told["gates.fast"].startswith('MAVEN_USER_HOME="$PWD/.m2" sh mvnw -B -q -o ')
    assert told["workspace.setup_inputs"] == ["pom.xml", "a/pom.xml"]
    assert found.notes == ()


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


def test_who_wants_the_tests_of_all_kinds_is_told_the_set_up_of_all_too() -> None:
    package = '{"scripts": {"test": "x"}, "dependencies": {"y": "1"}}'
    files = {**PLAIN, "requirements.txt": "", "package.json": package, ".gitignore": "node_modules\n"}
    (*_, note) = detect(InMemory(files), everything).notes
    assert note.endswith(
        f"workspace.setup to: {VENV} -r requirements.txt pytest && npm install --no-package-lock --no-audit --no-fund"
    )


def test_the_kind_that_ci_runs_comes_first() -> None:
    files = {**MIXED, ".github/workflows/ci.yml": "steps:\n - run: npm test\n"}
    found = detect(InMemory(files), everything)
    assert found.kind == "Node"
    assert any(".github/workflows/ci.yml runs its tests" in note for note in found.notes)


def test_a_kind_with_tests_comes_before_one_without() -> None:
    files = {"pyproject.toml": PACKAGE, "Makefile": "test:\n\ttrue\n"}
    assert detect(InMemory(files), everything).kind == "Make"


def test_projects_side_by_side_are_each_set_up_and_tested_in_their_folder() -> None:
    files = {
        "README.md": "",
        "back end/pyproject.toml": PACKAGE,
        **{f"back end/{path}": text for path, text in PLAIN.items()},
        "front/package.json": '{"scripts": {"test": "x", "test:unit": "y"}, "dependencies": {"z": "1"}}',
        "front/inner/package.json": '{"scripts": {"test": "x"}}',
        "examples/it/package.json": '{"scripts": {"test": "x"}}',
        ".gitignore": "node_modules\n",
    }
    found = detect(InMemory(files), everything)
    told = settings(found)
    assert found.kind == "Python in back end, Node in front"
    assert found.notes == ()
    python, node = "(cd 'back end' && .venv/bin/python -m pytest -q)", "(cd front && CI=true npm"
    assert told["gates.fast"] == f"{python} && {node} run test:unit)"
    assert told["gates.full"] == f"{python} && {node} test)"
    setup = f"(cd 'back end' && {VENV} -e . pytest) && (cd front && npm install --no-package-lock --no-audit --no-fund)"
    assert told["workspace.setup"] == setup
    assert told["workspace.setup_inputs"] == ["back end/pyproject.toml", "front/package.json"]
    assert told["workspace.setup_network"] == ["@registries"]


def test_a_project_at_the_top_with_tests_speaks_for_its_folders() -> None:
    files = {"Makefile": "test:\n\ttrue\n", "a/package.json": '{"scripts": {"test": "x"}}'}
    assert settings(detect(InMemory(files), everything))["gates.fast"] == "make test"


def test_of_very_many_projects_the_first_are_taken_and_the_rest_is_said() -> None:
    files = {f"p{number}/package.json": '{"scripts": {"test": "x"}}' for number in range(10)}
    found = detect(InMemory(files), everything)
    assert found.gate is not None
    assert found.gate.count("npm test") == 8
    assert "only the first 8 projects are tested; left out: p8, p9" in found.notes


def test_what_others_wrote_makes_no_tests_of_this_project() -> None:
    files = {"it.py": "", "vendor/x/test_x.py": "import unittest", ".venv/test_y.py": "import unittest"}
    found = detect(InMemory(files), everything)
    assert (found.kind, found.gate, found.usual) == ("Python", None, "python3 -m compileall -q .")


@pytest.mark.parametrize(
    ("files", "kind", "usual"),
    [
        ({"gradlew": "", "build.gradle": ""}, "Gradle", "./gradlew test"),
        ({"README.md": "", "LICENSE": "", "docs/a.rst": ""}, "Documents", '! git grep -nE "^(<<<<<<<|>>>>>>>) "'),
        ({"It.sln": ""}, ".NET", "dotnet test"),
        ({"Rakefile": "", "Makefile": "all:\n"}, "Make", "bundle exec rake test"),
        ({"package.json": '{"scripts": {"lint": "x"}}'}, "Node", "npm run lint"),
        ({"Makefile": "all:\n\tcc it.c\n", "it.c": "", "helper.py": ""}, "Make", "make"),
        ({"CMakeLists.txt": "project(it)\n"}, "CMake", "cmake -S . -B build && cmake --build build --parallel"),
    ],
)
def test_of_other_kinds_the_usual_command_is_named_and_never_taken(
    files: dict[str, str], kind: str, usual: str
) -> None:
    found = detect(InMemory(files), everything)
    assert (found.kind, found.usual, found.gate) == (kind, usual, None)


def test_nothing_known_is_said_and_proposes_nothing() -> None:
    found = detect(InMemory({"README.md": "# It\n", "run.sh": "true\n"}), everything)
    assert (found.kind, found.values, found.gate, found.usual) == ("", (), None, "")
    assert found.notes


# ── hostile repositories ─────────────────────────────────────────────────────────────────────────────────────

NAMES = ["pyproject.toml", "setup.cfg", "tox.ini", "package.json", "go.mod", "Cargo.toml", "Cargo.lock", "Makefile"]
NAMES += ["Pipfile", "Pipfile.lock", "pdm.lock", "manage.py", "go.work", "justfile", "Taskfile.yml", "CMakeLists.txt"]
NAMES += ["pom.xml", "a/package.json", "b/pyproject.toml", "a/b/go.mod", "b/test_x.py", "pnpm-workspace.yaml"]
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
    assert "touch evil)" not in setup
