from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codeswarm.redaction import HIDDEN, Secrets
from codeswarm.worker.outbox import Letter, Outbox

BODY = {"epoch": 3, "report": {"summary": "ü→"}}


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def waiting(outbox: Outbox) -> list[tuple[str, dict[str, object]]]:
    return [(letter.path, letter.body) for letter in outbox.letters()]


def test_a_letter_waits_until_it_has_arrived(outbox: Outbox) -> None:
    letter = outbox.put("s1.a.1", "/leases/s1:a:1/complete", BODY)
    assert waiting(outbox) == [("/leases/s1:a:1/complete", BODY)]
    assert waiting(outbox) == [("/leases/s1:a:1/complete", BODY)], "looking at it takes nothing away"
    outbox.arrived(letter)
    assert waiting(outbox) == []
    outbox.arrived(letter)


def test_another_worker_finds_what_a_dead_one_left(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put("s1.@landing-2.1", "/leases/s1:@landing-2:1/complete", BODY)
    assert waiting(Outbox(tmp_path / "outbox")) == [("/leases/s1:@landing-2:1/complete", BODY)]


def test_the_same_name_replaces_an_earlier_letter(outbox: Outbox) -> None:
    outbox.put("s1.a.1", "/one", {})
    outbox.put("s1.a.1", "/two", {})
    assert waiting(outbox) == [("/two", {})]


def test_letters_are_sent_oldest_first(outbox: Outbox, tmp_path: Path) -> None:
    for place, name in enumerate(("b", "c", "a")):
        letter = outbox.put(name, f"/{name}", {})
        os.utime(letter.file, ns=(place, place))
    assert [path for path, _ in waiting(outbox)] == ["/b", "/c", "/a"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"path": "/x"}', '{"path": "/x", "body": 3}', "[" * 100_000])
def test_a_letter_that_cannot_be_read_is_put_aside_and_the_others_go(outbox: Outbox, tmp_path: Path, text: str) -> None:
    (tmp_path / "outbox" / "broken.json").write_text(text)
    outbox.put("good", "/good", {})
    assert waiting(outbox) == [("/good", {})]
    assert (tmp_path / "outbox" / "broken.unreadable").read_text() == text


def test_a_letter_that_was_half_written_when_its_worker_died_is_no_letter(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "outbox" / "s1.a.1.4711.new").write_text('{"path": "/x", "bo')
    assert waiting(outbox) == []


def test_a_letter_that_another_worker_sends_meanwhile_is_no_fault(outbox: Outbox) -> None:
    letters = [outbox.put(name, f"/{name}", {}) for name in ("a", "b", "c")]
    for place, letter in enumerate(letters):
        os.utime(letter.file, ns=(place, place))
    seen = []
    for letter in outbox.letters():
        seen.append(letter.path)
        letters[1].file.unlink(missing_ok=True)
    assert seen == ["/a", "/c"]


def test_what_could_not_be_delivered_is_kept_with_the_reason(outbox: Outbox, tmp_path: Path) -> None:
    transcript = tmp_path / "attempts" / "s1.a.1" / "meta" / "transcript.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text("line\n")
    outbox.put_aside(transcript, "the router said no")
    assert (tmp_path / "outbox" / "s1.a.1.transcript.jsonl").read_text() == "line\n"
    assert (tmp_path / "outbox" / "s1.a.1.transcript.why").read_text() == "the router said no\n"
    assert waiting(outbox) == [], "it is kept, not sent"


def test_a_letter_is_whole_on_disk_when_put_returns_however_its_worker_ends(tmp_path: Path) -> None:
    """The real thing: a process puts a letter and is killed at once."""
    folder = tmp_path / "outbox"
    code = (
        "import os, signal, sys; from pathlib import Path; from codeswarm.worker.outbox import Outbox\n"
        "Outbox(Path(sys.argv[1])).put('s1.a.1', '/x', {'text': 'y' * 100_000}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert done.returncode == -9
    assert waiting(Outbox(folder)) == [("/x", {"text": "y" * 100_000})]
    (file,) = folder.iterdir()
    assert json.loads(file.read_text())["path"] == "/x"
    assert stat.S_ISREG(file.stat().st_mode)


def test_a_letter_names_its_file(outbox: Outbox, tmp_path: Path) -> None:
    assert outbox.put("n", "/p", {}) == Letter(tmp_path / "outbox" / "n.json", "/p", {})


def test_a_letter_holds_no_secret_on_disk_either(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", Secrets(["canary-7f3ab9c1d9e8"]))
    letter = outbox.put("s1.t1.1", "/leases/x/complete", {"summary": "the key is canary-7f3ab9c1d9e8"})
    assert "canary" not in letter.file.read_text()
    assert [kept.body for kept in outbox.letters()] == [letter.body] == [{"summary": f"the key is {HIDDEN}"}]
