"""Python: pytest, unittest or Django's tests, and an environment of the workspace's own, by uv, poetry, pipenv or pip.

An environment that the person has activated is never used for a project that can be installed: it would hold the
person's checkout, and the gate would judge that instead of the workspace.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from codeswarm.detection.base import Files, Has, Proposal, Proposed, network_setup, table, texts
from codeswarm.detection.python_facts import Facts

_VENV = "python3 -m venv .venv && echo '*' > .venv/.gitignore"
_PYTHON = ".venv/bin/python"
_UNTESTED = "no Python tests were found"
_COMPILES = "python3 -m compileall -q ."
_MOST_TESTS = 20
"""So many test files are read to tell unittest from pytest."""


def look(files: Files, has: Has) -> Proposal | None:
    facts = Facts(files)
    if not facts.marks:
        return Proposal("Python", (), (_UNTESTED,), usual=_COMPILES, faint=True) if facts.has_program_at_top else None
    runner = _runner(facts)
    environment = _environment(facts, has, pytest=runner is not None and runner[0] == "pytest")
    notes = environment.notes
    if runner is None:
        notes = (*notes, _UNTESTED)
        return Proposal("Python", environment.values, notes, environment.tools, usual=_COMPILES)
    name, source, why = runner
    gates = {"pytest": _pytest, "django": _django, "unittest": _unittest}[name](facts, environment, source, why)
    return Proposal(
        "Python", (*gates, *environment.values), notes, environment.tools, (name, "tox", "nox", "manage.py test")
    )


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────


def _runner(facts: Facts) -> tuple[str, str, str] | None:
    """(pytest, django or unittest, the file that says so, how it says it)."""
    for source, why in _pytest_signs(facts):
        return "pytest", source, why
    if facts.is_django:
        return "django", "manage.py", "runs Django's tests"
    texts_of = {path: facts.files.text(path) or "" for path in facts.tests[:_MOST_TESTS]}
    for path, text in texts_of.items():
        if re.search(r"^\s*(?:import|from) pytest\b", text, re.MULTILINE):
            return "pytest", path, "imports pytest"
    for path, text in texts_of.items():
        if re.search(r"^\s*(?:import|from) unittest\b", text, re.MULTILINE):
            return "unittest", path, "imports unittest"
    return ("pytest", facts.tests[0], "has plain test functions") if facts.tests else None


def _pytest_signs(facts: Facts) -> Iterator[tuple[str, str]]:
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


def _pytest(facts: Facts, environment: _Environment, source: str, why: str) -> tuple[Proposed, ...]:
    run = f"{environment.pytest} -q"
    contract = Proposed("gates.contract", f"{run} {{files}} --junitxml {{report}}", source, "one contract's tests")
    slow = _slow_marker(facts)
    if slow is None:
        return (Proposed("gates.fast", run, source, why), contract)
    quick = f"{run} -m {shlex.quote(f'not {slow}')}"
    fast = Proposed("gates.fast", quick, source, f"the marker {slow} tells slow tests apart")
    return (fast, Proposed("gates.full", run, source, why), contract)


def _slow_marker(facts: Facts) -> str | None:
    ini = table(facts.pyproject, "tool", "pytest")
    told = table(ini, "ini_options").get("markers") or ini.get("markers")
    names = {line.partition(":")[0].partition("(")[0].strip() for line in texts(told)}
    return next((name for name in ("slow", "integration", "e2e") if name in names), None)


def _django(facts: Facts, environment: _Environment, source: str, why: str) -> tuple[Proposed, ...]:
    return (Proposed("gates.fast", f"{environment.python} manage.py test --no-input", source, why),)


def _unittest(facts: Facts, environment: _Environment, source: str, why: str) -> tuple[Proposed, ...]:
    folder = source.rpartition("/")[0]
    command = f"{environment.python} -m unittest discover" + (f" -s {shlex.quote(folder)}" if folder else "")
    top = _top_of_package(facts, folder)
    if top != folder:
        command += f" -t {shlex.quote(top) if top else '.'}"
    if source.endswith("_test.py"):
        command += " -p '*_test.py'"
    return (Proposed("gates.fast", command, source, why),)


def _top_of_package(facts: Facts, folder: str) -> str:
    """The folder that modules of this one are imported from."""
    while folder and "__init__.py" in facts.files.names(folder):
        folder = folder.rpartition("/")[0]
    return folder


# ── the environment ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Environment:
    values: tuple[Proposed, ...] = ()
    python: str = _PYTHON
    pytest: str = f"{_PYTHON} -m pytest"
    notes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ("python3",)


def _environment(facts: Facts, has: Has, *, pytest: bool) -> _Environment:
    notes: list[str] = []
    for lock, tool, described, make in _LOCKED:
        if not (facts.package == described if described == "pyproject.toml" else described in facts.names):
            continue
        if lock in facts.names and make is not None and has(tool):
            return _Environment(make(facts, pytest), tools=(tool,))
        if lock in facts.names:
            missing = f"{tool} is not on your PATH; " if make is not None else ""
            notes.append(f"{lock} is not used: {missing}pip installs what {described} asks for")
    source = "src" in facts.files.folders() and not facts.package
    if _asks_for_nothing(facts) and not pytest:
        return _Environment(python="PYTHONPATH=src python3" if source else "python3", notes=tuple(notes))
    if _asks_for_nothing(facts) and has("pytest"):
        found = f"PYTHONPATH={'.:src' if source else '.'} pytest"
        return _Environment(python="python3", pytest=found, notes=tuple(notes), tools=("pytest",))
    python = f"PYTHONPATH=src {_PYTHON}" if source else _PYTHON
    return _Environment(_pip(facts, pytest=pytest), python, f"{python} -m pytest", tuple(notes))


def _asks_for_nothing(facts: Facts) -> bool:
    return not (facts.package or facts.requirement_files or facts.named_elsewhere)


def _uv(facts: Facts, pytest: bool) -> tuple[Proposed, ...]:
    command = "uv sync --frozen --no-python-downloads"
    command += "".join(f" --extra {name}" for name in _needed(facts.extras, pytest=pytest))
    command += "".join(f" --group {name}" for name in _needed(facts.groups, pytest=pytest) if name != "dev")
    if pytest and facts.mention("pytest") is None:
        command += f" && uv pip install --python {_PYTHON} pytest"
    return network_setup(command, ("uv.lock", "pyproject.toml"), "uv.lock", "uv locked its packages")


def _poetry(facts: Facts, pytest: bool) -> tuple[Proposed, ...]:
    command = "POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction"
    command += "".join(f" --extras {name}" for name in _needed(facts.extras, pytest=pytest))
    if pytest and facts.mention("pytest") is None:
        command += f" && {_PYTHON} -m pip install -q pytest"
    return network_setup(command, ("poetry.lock", "pyproject.toml"), "poetry.lock", "poetry locked its packages")


def _pipenv(facts: Facts, pytest: bool) -> tuple[Proposed, ...]:
    command = "PIPENV_VENV_IN_PROJECT=1 PIPENV_YES=1 pipenv sync --dev && echo '*' > .venv/.gitignore"
    if pytest and facts.mention("pytest") is None:
        command += f" && {_PYTHON} -m pip install -q pytest"
    return network_setup(command, ("Pipfile.lock", "Pipfile"), "Pipfile.lock", "pipenv locked its packages")


_LOCKED: tuple[tuple[str, str, str, Callable[[Facts, bool], tuple[Proposed, ...]] | None], ...] = (
    ("uv.lock", "uv", "pyproject.toml", _uv),
    ("poetry.lock", "poetry", "pyproject.toml", _poetry),
    ("Pipfile.lock", "pipenv", "Pipfile", _pipenv),
    ("pdm.lock", "pdm", "pyproject.toml", None),
)
"""Lock file, program, the file that it locks, and the set-up with it; where there is none, pip does."""


def _needed(parts: dict[str, str], *, pytest: bool) -> list[str]:
    """The optional parts that tests need: the one that names pytest, else the first that is called so."""
    naming = [name for name, text in parts.items() if pytest and "pytest" in text]
    return naming[:1] or [name for name in parts if name != "all"][:1]


def _pip(facts: Facts, *, pytest: bool) -> tuple[Proposed, ...]:
    words = [f"-r {name}" for name in facts.requirement_files]
    extras, groups = _needed(facts.extras, pytest=pytest), _needed(facts.groups, pytest=pytest)
    if facts.package:
        words.append(f"-e '.[{extras[0]}]'" if extras else "-e .")
    words += [f"--group {name}" for name in groups]
    words += [shlex.quote(each) for each in facts.named_elsewhere]
    installed = " ".join([*(facts.files.text(name) or "" for name in facts.requirement_files), *words])
    installed += repr([facts.extras.get(name) for name in extras] + [facts.groups.get(name) for name in groups])
    installed += repr(facts.project.get("dependencies"))
    if pytest and "pytest" not in installed:
        words.append("pytest")
    upgrade = f" && {_PYTHON} -m pip install -q --upgrade 'pip>=25.1'" if groups else ""
    command = f"{_VENV}{upgrade} && {_PYTHON} -m pip install -q {' '.join(words)}"
    written = ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "Pipfile", "noxfile.py")
    read = [name for name in written if name in facts.names]
    inputs = [*facts.requirement_files, *read]
    source, why = facts.package or next(iter(inputs), ""), "pip installs what it names"
    if not source:
        source, why = facts.tests[0] if facts.tests else "conftest.py", "no pytest of yours is on your PATH"
    return network_setup(command, inputs, source, why)
