"""What the files of a Python project say: its packages, its tests, and what it depends on, wherever that is written."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from codeswarm.detection.base import Files, table, texts, toml

_REQUIREMENTS = re.compile(r"(?:requirements(?:[-_.](?:dev|test|tests|testing))?|(?:dev|test)[-_]requirements)\.txt")
_TEST_FILE = re.compile(r"test_\w+\.py|\w+_test\.py")
_INIT = re.compile(r"[^/]+/__init__\.py")
_EXTRAS = ("test", "tests", "testing", "dev", "all")
_MOST_DEPENDENCIES = 50
_PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w, -]+\])?\s*([<>=!~;@ ].*)?")
"""What may be asked of pip by name; a path, an option and the name of a file are none."""
_FOREIGN = {"node_modules", "site-packages", "vendor", "third_party", "venv", "testdata", "fixtures", "examples"}
PROJECT_FILES = ("pyproject.toml", "setup.py", "requirements.txt", "package.json", "go.mod", "Cargo.toml", "pom.xml")
"""Where one of them stands in a folder, that is a project of its own."""


class Facts:
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
        return found or self._deeper_tests

    @property
    def _deeper_tests(self) -> list[str]:
        """Within packages, `src` or folders of tests: not what others wrote, nor those of a project of its own."""
        paths = self.files.paths()
        tops = {"src", "test", "tests"} | {path.partition("/")[0] for path in paths if _INIT.fullmatch(path)}
        own = {path.rpartition("/")[0] for path in paths if "/" in path and path.rpartition("/")[2] in PROJECT_FILES}
        found = [path for path in paths if "/" in path and _TEST_FILE.fullmatch(path.rpartition("/")[2])]
        found = [path for path in found if path.partition("/")[0] in tops]
        ours = [path for path in found if not any(_is_foreign(folder) or folder in own for folder in _above(path))]
        return sorted(ours, key=lambda path: (path.count("/"), path))

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
        """Whether it is a Python project. `pyproject.toml` alone is not enough: tools keep settings there."""
        signs = {"tox.ini", "noxfile.py", "pytest.ini", "conftest.py", "uv.lock", "poetry.lock", "Pipfile"}
        return bool(self.package or self.requirement_files or signs & self.names or self.tests or self.is_django)

    @property
    def has_program_at_top(self) -> bool:
        return any(name.endswith(".py") for name in self.names)

    @property
    def is_django(self) -> bool:
        return "manage.py" in self.names and "django" in (self.files.text("manage.py") or "")

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
    def named_elsewhere(self) -> list[str]:
        """What tools of their own would install: tox, nox, hatch, pdm, pipenv; each as pip takes it."""
        lines = _options(self.tox, "testenv").get("deps", "").splitlines()
        found = [line.split("#")[0].split(":", 1)[-1].strip() for line in lines]
        found += [*self._hatch(), *self._pdm(), *self._poetry(), *_pipfile(toml(self.files, "Pipfile")), *self._nox()]
        return [each for each in dict.fromkeys(found) if _PACKAGE.fullmatch(each)][:_MOST_DEPENDENCIES]

    def _hatch(self) -> Iterator[str]:
        for name in ("default", "test", "hatch-test"):
            settings = table(self.pyproject, "tool", "hatch", "envs", name)
            yield from (*texts(settings.get("dependencies")), *texts(settings.get("extra-dependencies")))

    def _pdm(self) -> Iterator[str]:
        groups = table(self.pyproject, "tool", "pdm", "dev-dependencies")
        yield from (each for name in _EXTRAS if name in groups for each in texts(groups[name]))

    def _poetry(self) -> Iterator[str]:
        """By name alone: what poetry writes behind it means nothing to pip."""
        poetry = table(self.pyproject, "tool", "poetry")
        groups = [table(poetry, "group", name, "dependencies") for name in _EXTRAS]
        yield from (name for group in (*groups, table(poetry, "dev-dependencies")) for name in group)

    def _nox(self) -> Iterator[str]:
        """Of words that sessions install those that can only be names of packages."""
        for words in re.findall(r"session\.install\(([^()]*)\)", self.files.text("noxfile.py") or ""):
            named = [one or other for one, other in re.findall(r'"([^"\n]*)"|\'([^\'\n]*)\'', words)]
            yield from (name for name in named if not name.endswith((".txt", ".toml")) and name not in self.names)

    def mention(self, word: str) -> str | None:
        """The file that names a package among what is depended on."""
        wanted = re.compile(rf"(?<![\w-]){word}(?![\w-])")
        declared = (self.project.get("dependencies"), self.extras, self.groups, table(self.pyproject, "tool", "poetry"))
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


def _pipfile(pipfile: dict[str, Any]) -> Iterator[str]:
    for section in ("packages", "dev-packages"):
        for name, told in table(pipfile, section).items():
            elsewhere = isinstance(told, dict) and {"path", "git", "file", "editable"} & told.keys()
            wanted = told.get("version", "*") if isinstance(told, dict) else told
            if isinstance(wanted, str) and not elsewhere:
                yield name if wanted == "*" else f"{name}{wanted}"


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _is_foreign(folder: str) -> bool:
    name = folder.rpartition("/")[2]
    return name in _FOREIGN or name.startswith(".")
