from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from codeswarm.agents.api.loop.answer import Interrupted
from codeswarm.agents.api.loop.tools import OUTPUT_MAX, Refused, Shell, edit, read_arguments


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(path: str, old: str, new: str) -> str:
    return edit(read_arguments("edit", json.dumps({"path": path, "old": old, "new": new})))


def run(command: str, **more: object) -> str:
    return Shell().run(read_arguments("shell", json.dumps({"command": command, **more})))


def test_an_edit_fits_exactly_once_or_changes_nothing(here: Path) -> None:
    file = here / "a.txt"
    file.write_bytes(b"one\r\ntwo two\r\n")
    for old in ("three", "two"):
        with pytest.raises(Refused):
            change("a.txt", old, "2")
    assert file.read_bytes() == b"one\r\ntwo two\r\n"
    change("a.txt", "one", "1")
    assert file.read_bytes() == b"1\r\ntwo two\r\n"


def test_a_new_file_is_made_with_its_folders_and_never_over_another(here: Path) -> None:
    change("deep/er/b.txt", "", "new\n")
    assert (here / "deep/er/b.txt").read_text() == "new\n"
    with pytest.raises(Refused):
        change("deep/er/b.txt", "", "newer\n")
    assert (here / "deep/er/b.txt").read_text() == "new\n"


@pytest.mark.parametrize("path", ["nothing/there", ".", "a\0b", "x" * 300, "binary"])
def test_what_can_t_be_edited_is_refused(here: Path, path: str) -> None:
    (here / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(Refused):
        change(path, "a", "b")


def test_a_command_gives_its_output_and_its_end() -> None:
    assert run("echo hello; echo oh >&2; exit 3") == "hello\noh\n\n[exit code 3]"
    assert run("kill -9 $$") == "[signal 9]"
    assert run("cat") == "[exit code 0]", "there is no standard input"


def test_long_output_is_cut_in_the_middle() -> None:
    text = run("echo begin; head -c 1000000 /dev/zero | tr '\\0' x; echo end")
    assert len(text) < OUTPUT_MAX + 200
    assert text.startswith("begin\n")
    assert text.endswith("end\n\n[exit code 0]")
    assert "bytes left out" in text


def test_a_command_is_ended_by_its_timeout_with_all_that_it_started(here: Path) -> None:
    text = run("trap '' TERM; (sleep 600; touch late) & echo $!; sleep 600", timeout_s=0.2)
    assert text.endswith("[ended: it took longer than its time-out]")
    await_end(int(text.split()[0]))


def await_end(pid: int) -> None:
    """A killed process takes a moment; one without a parent that waits keeps its entry, as a zombie."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} is still there")


def test_what_a_command_left_running_is_ended_and_not_waited_for() -> None:
    text = run("sleep 600 & echo $!")
    assert text.endswith("[exit code 0]")
    await_end(int(text.split()[0]))


def test_a_command_is_cut_from_another_thread_and_the_next_one_runs_again() -> None:
    shell = Shell()
    threading.Timer(0.1, shell.cut).start()
    with pytest.raises(Interrupted):
        shell.run({"command": "sleep 600"})
    with pytest.raises(Interrupted):
        shell.rest(600)
    shell.mend()
    assert shell.run({"command": "echo again"}) == "again\n\n[exit code 0]"


@pytest.mark.parametrize("timeout", [float("nan"), -1, 0, "soon", True, None, 1e400])
def test_a_timeout_that_is_none_is_the_usual_one(timeout: object) -> None:
    assert Shell().run({"command": "echo fine", "timeout_s": timeout}) == "fine\n\n[exit code 0]"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"command": 7}', "[" * 100_000, '{"cmd": "ls"}'])
def test_arguments_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_arguments("shell", text)
