from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from codeswarm.host import program, variables


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.parametrize("written", ["'./my agent.sh'", '"./my agent.sh"', "./my\\ agent.sh"])
def test_a_program_with_spaces_in_its_name_is_found_however_it_is_quoted(
    written: str, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "my agent.sh").touch()
    command, shown = program(f"{written} --fast './my agent.sh.not'", tmp_path, home)
    assert shlex.split(command) == [str(tmp_path / "my agent.sh"), "--fast", "./my agent.sh.not"]
    assert any(path == tmp_path or path == tmp_path / "my agent.sh" for path in shown)


def test_words_that_name_no_file_stay_as_they_are(tmp_path: Path, home: Path) -> None:
    (tmp_path / "file").touch()
    for command in ("agent --model x", "echo 'file ", "sh -c 'echo file'", "file"):
        assert program(command, tmp_path, home) == (command, ())


def test_a_file_that_is_an_argument_is_found_where_the_person_stands(tmp_path: Path, home: Path) -> None:
    (tmp_path / "agent.py").touch()
    command, _ = program("python agent.py > log", tmp_path, home)
    assert command == f"python {tmp_path / 'agent.py'} > log"


def test_rustup_is_told_where_its_toolchains_are_since_home_is_another_one_inside(tmp_path: Path) -> None:
    for name in (".cargo/bin", ".rustup", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    path = f"/usr/bin:{tmp_path}/.cargo/bin"
    assert variables(path, tmp_path, {}) == {"RUSTUP_HOME": f"{tmp_path}/.rustup"}
    assert variables(path, tmp_path, {"RUSTUP_HOME": f"{tmp_path}/elsewhere"}) == {
        "RUSTUP_HOME": f"{tmp_path}/elsewhere"
    }
    assert variables("/usr/bin", tmp_path, {}) == {}
    assert variables("/usr/bin", tmp_path, {"RUSTUP_HOME": "/nowhere"}) == {}


def test_uv_is_told_where_the_pythons_are_that_it_fetched_for_the_person(tmp_path: Path) -> None:
    (tmp_path / ".local/share/uv/python").mkdir(parents=True)
    assert variables("/usr/bin", tmp_path, {}) == {}
    uv = tmp_path / "tools" / "uv"
    uv.parent.mkdir()
    uv.touch(mode=0o755)
    assert variables(str(uv.parent), tmp_path, {}) == {"UV_PYTHON_INSTALL_DIR": f"{tmp_path}/.local/share/uv/python"}
