"""Python: pytest or unittest, and an environment of the workspace's own, made by uv, poetry or pip.

An environment that the person has activated is never used for a project that can be installed: it would hold the
person's checkout, and the gate would judge that instead of the workspace.
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from codeswarm.detection.base import Files, Has, Proposal, Proposed, network_setup, table, texts, toml

_REQUIREMENTS = re.compile(r"(?:requirements(?:[-_.](?:dev|test|tests|testing))?|(?:dev|test)[-_]requirements)\.txt")
_TEST_FILE = re.compile(r"test_\w+\.py|\w+_test\.py")
_EXTRAS = ("test", "tests", "testing", "dev", "all")
_VENV = "python3 -m venv .venv && echo '*' > .venv/.gitignore"
_PYTHON = ".venv/bin/python"
_MOST_TESTS = 20
"""So many test files are read to tell unittest from pytest."""
_MOST_DEPENDENCIES = 50


def look(files: Files, has: Has) -> Proposal | None:
    facts = _Facts(files)
    if not facts.marks:
        return None
    runner = _runner(facts)
    environment = _environment(facts, has, pytest=runner is not None and runner[0] == "pytest")
    notes = environment.notes
    if runner is None:
        return Proposal("Python", environment.values, (*notes, "no Python tests were found"), environment.tools)
    name, source, why = runner
    gates = _pytest(facts, environment, source, why) if name == "pytest" else _unittest(facts, environment, source, why)
    return Proposal("Python", (*gates, *environment.values), notes, environment.tools, (name, "tox", "nox"))


class _Facts:
    """What the files of a Python project say."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.names = files.names()
        self.pyproject = toml(files, "pyproject.toml")
        self.project = table(self.pyproject, "project")
        self.tox = _ini(files.text("tox.ini"))
        self.setup_cfg = _ini(files.text("setup.cfg"))

    @cached_property
    def requirement_files(self) -> list[str]:
        nested = [f"requirements/{name}" for name in ("base.txt", "dev.txt", "test.txt", "tests.txt")]
        within = self.files.names("requirements")
        top = sorted(name for name in self.names if _REQUIREMENTS.fullmatch(name))
        return [*top, *(path for path in nested if path.partition("/")[2] in within)]

    @cached_property
    def tests(self) -> list[str]:
        """Test files at the top and in the usual folders."""
        found = [name for name in sorted(self.names) if _TEST_FILE.fullmatch(name)]
        for folder in ("tests", "test", "tests/unit"):
            found += [f"{folder}/{name}" for name in sorted(self.files.names(folder)) if _TEST_FILE.fullmatch(name)]
        return found

    @cached_property
    def package(self) -> str | None:
        """The file that makes it something that can be installed."""
        if self.project or table(self.pyproject, "build-system") or table(self.pyproject, "tool", "poetry"):
            return "pyproject.toml"
        if "setup.py" in self.names:
            return "setup.py"
        return "setup.cfg" if self.setup_cfg.has_section("metadata") else None

    @property
    def marks(self) -> bool:
        """Whether it is a Python project at all. `pyproject.toml` alone is not enough: tools keep settings there."""
        signs = {"tox.ini", "noxfile.py", "pytest.ini", "conftest.py", "uv.lock", "poetry.lock", "Pipfile"}
        return bool(self.package or self.requirement_files or self.tests or signs & self.names)

    @cached_property
    def extras(self) -> dict[str, str]:
        """Optional parts that tests may need → their requirements as one text."""
        found = table(self.project, "optional-dependencies") | _options(self.setup_cfg, "options.extras_require")
        return {name: "\n".join(texts(found[name]) or [str(found[name])]) for name in _EXTRAS if name in found}

    @cached_property
    def groups(self) -> dict[str, str]:
        found = table(self.pyproject, "dependency-groups")
        return {name: "\n".join(texts(found[name])) for name in _EXTRAS if name in found}

    @cached_property
    def tox_dependencies(self) -> list[str]:
        lines = _options(self.tox, "testenv").get("deps", "").splitlines()
        plain = [line.split("#")[0].split(":", 1)[-1].strip() for line in lines]
        return [line for line in plain if line and line[0] not in "-{."][:_MOST_DEPENDENCIES]

    def mention(self, word: str) -> str | None:
        """The file that names a package among what is depended on."""
        wanted = re.compile(rf"(?<![\w-]){word}(?![\w-])")
        poetry = table(self.pyproject, "tool", "poetry")
        declared = (self.project.get("dependencies"), self.extras, self.groups, poetry)
        if wanted.search(repr(declared)):
            return "pyproject.toml" if self.pyproject else "setup.cfg"
        for name in (*self.requirement_files, "tox.ini", "noxfile.py", "setup.py", "Pipfile"):
            if wanted.search(self.files.text(name) or ""):
                return name
        return None


def _ini(text: str | None) -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(strict=False, interpolation=None)
    try:
        found.read_string(text or "")
    except configparser.Error:
        return configparser.RawConfigParser()
    return found


def _options(ini: configparser.RawConfigParser, section: str) -> dict[str, str]:
    return dict(ini.items(section)) if ini.has_section(section) else {}


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────


def _runner(facts: _Facts) -> tuple[str, str, str] | None:
    """(pytest or unittest, the file that says so, how it says it)."""
    for source, why in _pytest_signs(facts):
        return "pytest", source, why
    texts_of = {path: facts.files.text(path) or "" for path in facts.tests[:_MOST_TESTS]}
    for path, text in texts_of.items():
        if re.search(r"^\s*(?:import|from) pytest\b", text, re.MULTILINE):
            return "pytest", path, "imports pytest"
    for path, text in texts_of.items():
        if re.search(r"^\s*(?:import|from) unittest\b", text, re.MULTILINE):
            return "unittest", path, "imports unittest"
    return ("pytest", facts.tests[0], "has plain test functions") if facts.tests else None


def _pytest_signs(facts: _Facts) -> Iterator[tuple[str, str]]:
    if "pytest" in table(facts.pyproject, "tool"):
        yield "pyproject.toml", "[tool.pytest]"
    for name in ("pytest.ini", ".pytest.ini", "conftest.py"):
        if name in facts.names:
            yield name, ""
    if "conftest.py" in facts.files.names("tests"):
        yield "tests/conftest.py", ""
    if facts.setup_cfg.has_section("tool:pytest"):
        yield "setup.cfg", "[tool:pytest]"
    if facts.tox.has_section("pytest"):
        yield "tox.ini", "[pytest]"
    if source := facts.mention("pytest"):
        yield source, "names pytest"


def _pytest(facts: _Facts, environment: _Environment, source: str, why: str) -> tuple[Proposed, ...]:
    run = f"{environment.pytest} -q"
    contract = Proposed("gates.contract", f"{run} {{files}} --junitxml {{report}}", source, "one contract's tests")
    slow = _slow_marker(facts)
    if slow is None:
        return (Proposed("gates.fast", run, source, why), contract)
    quick = f"{run} -m {shlex.quote(f'not {slow}')}"
    fast = Proposed("gates.fast", quick, source, f"the marker {slow} tells slow tests apart")
    return (fast, Proposed("gates.full", run, source, why), contract)


def _slow_marker(facts: _Facts) -> str | None:
    ini = table(facts.pyproject, "tool", "pytest")
    told = table(ini, "ini_options").get("markers") or ini.get("markers")
    names = {line.partition(":")[0].partition("(")[0].strip() for line in texts(told)}
    return next((name for name in ("slow", "integration", "e2e") if name in names), None)


def _unittest(facts: _Facts, environment: _Environment, source: str, why: str) -> tuple[Proposed, ...]:
    folder = source.rpartition("/")[0]
    top = " -t ." if folder and "__init__.py" in facts.files.names(folder) else ""
    command = f"{environment.python} -m unittest discover" + (f" -s {folder}{top}" if folder else "")
    if source.endswith("_test.py"):
        command += " -p '*_test.py'"
    return (Proposed("gates.fast", command, source, why),)


# ── the environment ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Environment:
    values: tuple[Proposed, ...] = ()
    python: str = _PYTHON
    pytest: str = f"{_PYTHON} -m pytest"
    notes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ("python3",)


def _environment(facts: _Facts, has: Has, *, pytest: bool) -> _Environment:
    notes: list[str] = []
    for lock, tool, make in (("uv.lock", "uv", _uv), ("poetry.lock", "poetry", _poetry)):
        if lock not in facts.names or facts.package != "pyproject.toml":
            continue
        if has(tool):
            return _Environment(make(facts, pytest), tools=(tool,))
        notes.append(f"{lock} is not used: {tool} is not on your PATH; pip installs what pyproject.toml asks for")
    if _asks_for_nothing(facts):
        if not pytest:
            return _Environment(python="python3", notes=tuple(notes))
        if has("pytest"):
            path = "PYTHONPATH=.:src" if "src" in facts.files.folders() else "PYTHONPATH=."
            return _Environment(python="python3", pytest=f"{path} pytest", notes=tuple(notes), tools=("pytest",))
    return _Environment(_pip(facts, pytest=pytest), notes=tuple(notes))


def _asks_for_nothing(facts: _Facts) -> bool:
    return not (facts.package or facts.requirement_files or facts.tox_dependencies)


def _uv(facts: _Facts, pytest: bool) -> tuple[Proposed, ...]:
    command = "uv sync --frozen --no-python-downloads"
    command += "".join(f" --extra {name}" for name in _needed(facts.extras, pytest=pytest))
    command += "".join(f" --group {name}" for name in _needed(facts.groups, pytest=pytest) if name != "dev")
    if pytest and facts.mention("pytest") is None:
        command += f" && uv pip install --python {_PYTHON} pytest"
    return network_setup(command, ("uv.lock", "pyproject.toml"), "uv.lock", "uv locked its packages")


def _poetry(facts: _Facts, pytest: bool) -> tuple[Proposed, ...]:
    command = "POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction"
    command += "".join(f" --extras {name}" for name in _needed(facts.extras, pytest=pytest))
    if pytest and facts.mention("pytest") is None:
        command += f" && {_PYTHON} -m pip install -q pytest"
    return network_setup(command, ("poetry.lock", "pyproject.toml"), "poetry.lock", "poetry locked its packages")


def _needed(parts: dict[str, str], *, pytest: bool) -> list[str]:
    """The optional parts that tests need: the one that names pytest, else the first that is called so."""
    naming = [name for name, text in parts.items() if pytest and "pytest" in text]
    return naming[:1] or [name for name in parts if name != "all"][:1]


def _pip(facts: _Facts, *, pytest: bool) -> tuple[Proposed, ...]:
    words = [f"-r {name}" for name in facts.requirement_files]
    extras, groups = _needed(facts.extras, pytest=pytest), _needed(facts.groups, pytest=pytest)
    if facts.package:
        words.append(f"-e '.[{extras[0]}]'" if extras else "-e .")
    words += [f"--group {name}" for name in groups]
    words += [shlex.quote(each) for each in facts.tox_dependencies]
    installed = " ".join([*(facts.files.text(name) or "" for name in facts.requirement_files), *words])
    installed += repr([facts.extras.get(name) for name in extras] + [facts.groups.get(name) for name in groups])
    installed += repr(facts.project.get("dependencies"))
    if pytest and "pytest" not in installed:
        words.append("pytest")
    upgrade = f" && {_PYTHON} -m pip install -q --upgrade 'pip>=25.1'" if groups else ""
    command = f"{_VENV}{upgrade} && {_PYTHON} -m pip install -q {' '.join(words)}"
    read = [name for name in ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini") if name in facts.names]
    inputs = [*facts.requirement_files, *read]
    source, why = facts.package or next(iter(inputs), ""), "pip installs what it names"
    if not source:
        source, why = facts.tests[0] if facts.tests else "conftest.py", "pytest is not on your PATH"
    return network_setup(command, inputs, source, why)
