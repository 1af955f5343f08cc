"""The walker alone, in this process, with the workspace changing under its hands at chosen moments."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codeswarm.git import walker
from codeswarm.git.changes import Changes, read_changes
from codeswarm.git.checkout import judge_directory
from codeswarm.git.paths import as_bytes, as_text, path_problem, shown
from codeswarm.git.walker import RACY_NS, SETUP, TRACKED, Walk
from tests.support.repositories import Files, Link, Repository, own_home, plant

Seen = dict[bytes, bytes | None]
"""Path → the content that was sent, or None for a deletion."""


class Hooked(Walk):
    """A walk that lets the test act at the moments when an agent could."""

    def __init__(self, order: dict[str, Any]) -> None:
        super().__init__(order)
        self.spool = io.BytesIO()
        self.out = self.spool  # type: ignore[assignment]
        self.listed: Callable[[bytes], None] = lambda prefix: None
        """A folder was listed, and each name in it looked at; nothing has been opened."""
        self.opening: Callable[[bytes], None] = lambda name: None
        """A file is about to be opened."""

    def files(self, fd: int, files: Any, rules: Any) -> None:
        self.listed(files[0][1].rpartition(b"/")[0] if files else b"")
        super().files(fd, files, rules)

    def read(self, fd: int, name: bytes) -> bytes:
        self.opening(name)
        return super().read(fd, name)


class Desk:
    def __init__(self, root: Path, files: Files) -> None:
        self.files = root / "files"
        self.files.mkdir(parents=True)
        self.meta = root / "meta"
        self.meta.mkdir()
        self.judge = judge_directory(self.meta / "judge")
        plant(self.files, files)
        self.walk(scope="baseline", mark_new_as=TRACKED)

    def order(self, **more: Any) -> dict[str, Any]:
        return {
            "root": str(self.files),
            "git_dir": str(self.judge),
            "manifest": str(self.meta / "manifest"),
            "scope": "work",
            "gitlinks": [],
            "never": [],
            "max_file_bytes": 1000,
            "max_total_bytes": 10_000,
            "max_ignored_bytes": 1000,
            "deadline_s": 60.0,
            **more,
        }

    def begin(self, **more: Any) -> Hooked:
        return Hooked(self.order(**more))

    def end(self, walk: Hooked, *, arrived: bool = True) -> Changes:
        walk.run()
        if arrived:
            (self.meta / "manifest.next").replace(self.meta / "manifest")
            (self.meta / "manifest.unsure").unlink(missing_ok=True)
        return read_changes(walk.spool)

    def walk(self, **more: Any) -> Changes:
        return self.end(self.begin(**more))


def seen(changes: Changes) -> Seen:
    return {**dict.fromkeys(changes.deletes), **{put.path: changes.content(put) for put in changes.puts}}


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[Files], Desk]:
    return lambda files: Desk(tmp_path / "desk", files)


MakeDesk = Callable[[Files], Desk]


# ── changes under its hands ──────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_vanishes_after_it_was_listed_is_gone(desk: MakeDesk) -> None:
    made = desk({"code": "x", "other": "x"})
    plant(made.files, {"code": "y", "other": "y", "new": "z"})
    walk = made.begin()
    walk.opening = lambda name: plant(made.files, {os.fsdecode(name): None}) if name != b"other" else None
    assert seen(made.end(walk)) == {b"code": None, b"other": b"y"}
    assert seen(made.walk()) in ({}, {b"other": b"y"})


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 50_000])
def test_a_file_that_grows_or_shrinks_is_sent_whole_or_left_out(size: int, desk: MakeDesk) -> None:
    made = desk({"code": "x" * 500})
    plant(made.files, {"code": "y" * 500})
    walk = made.begin()
    walk.opening = lambda name: plant(made.files, {"code": "z" * size})
    changes = made.end(walk)
    if size <= 1000:
        assert seen(changes) == {b"code": b"z" * size}
    else:
        assert seen(changes) == {}, "it stays as it was"
        assert [item.path for item in changes.left_out] == ["code"]
    assert seen(made.walk()) == ({b"code": b"z" * size} if size <= 1000 else {}), "it is looked at again"


def test_a_file_that_becomes_a_link_is_not_followed(desk: MakeDesk, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    made = desk({"code": "x"})
    plant(made.files, {"code": "y"})
    walk = made.begin()
    walk.opening = lambda name: plant(made.files, {"code": Link(tmp_path / "secret")})
    assert seen(made.end(walk)) == {}
    assert seen(made.walk()) == {b"code": os.fsencode(tmp_path / "secret")}


@pytest.mark.parametrize("what", ["pipe", "folder"])
def test_a_file_that_becomes_something_else_does_not_hold_the_walk_up(what: str, desk: MakeDesk) -> None:
    made = desk({"code": "x"})
    plant(made.files, {"code": "y", "other": "y"})

    def swap(name: bytes) -> None:
        if name == b"code":
            (made.files / "code").unlink()
            os.mkfifo(made.files / "code") if what == "pipe" else (made.files / "code").mkdir()

    walk = made.begin()
    walk.opening = swap
    assert seen(made.end(walk)) == {b"other": b"y"}
    assert seen(made.walk())[b"code"] is None


def test_a_link_that_becomes_a_file_is_taken_the_next_time(desk: MakeDesk) -> None:
    made = desk({"link": Link("a")})
    plant(made.files, {"link": Link("b")})
    walk = made.begin()
    walk.listed = lambda prefix: plant(made.files, {"link": "a file"})
    assert seen(made.end(walk)) == {}
    assert seen(made.walk()) == {b"link": b"a file"}


@pytest.mark.parametrize("known", [True, False])
def test_a_folder_that_becomes_a_link_is_not_gone_through(known: bool, desk: MakeDesk, tmp_path: Path) -> None:
    plant(tmp_path / "outside", {"file": "canary", "other": "canary"})
    made = desk({"top": "x", "folder/file": "x"} if known else {"top": "x"})
    plant(made.files, {"folder/file": "y", "top": "y"})

    def swap(prefix: bytes) -> None:
        if not prefix:
            (made.files / "folder").rename(made.files.parent / "aside")
            (made.files / "folder").symlink_to(tmp_path / "outside")

    walk = made.begin()
    walk.listed = swap
    assert seen(made.end(walk)) == {b"top": b"y"}
    after = seen(made.walk())
    assert after.pop(b"folder") == os.fsencode(tmp_path / "outside")
    after.pop(b"top", None)
    assert after == ({b"folder/file": None} if known else {})


def test_a_folder_that_vanishes_takes_its_files_along(desk: MakeDesk) -> None:
    made = desk({"top": "x", "folder/file": "x"})
    walk = made.begin()
    walk.listed = lambda prefix: (
        (made.files / "folder").rename(made.files.parent / "aside") and None if not prefix else None
    )
    assert seen(made.end(walk)) == {b"folder/file": None}


def test_a_file_written_after_it_was_read_is_sent_again(desk: MakeDesk) -> None:
    made = desk({"a": "1", "b": "1"})
    plant(made.files, {"a": "2", "b": "2"})
    walk = made.begin()
    walk.opening = lambda name: plant(made.files, {"a": "3"}) if name == b"b" else None
    first = seen(made.end(walk))
    assert first[b"b"] == b"2"
    second = seen(made.walk())
    assert {**first, **second}[b"a"] == b"3"


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("age_ns", "again"), [(RACY_NS // 2, True), (RACY_NS * 2, False), (-RACY_NS, True)])
def test_a_file_younger_than_the_clock_can_tell_is_looked_at_again(age_ns: int, again: bool, desk: MakeDesk) -> None:
    made = desk({"code": "x"})
    plant(made.files, {"code": "y"})
    walk = made.begin()
    walk.started_ns = (made.files / "code").stat().st_ctime_ns + age_ns
    assert seen(made.end(walk)) == {b"code": b"y"}
    assert seen(made.walk()) == ({b"code": b"y"} if again else {})


def test_a_baseline_ends_only_when_the_newest_files_tick_is_over(desk: MakeDesk) -> None:
    made = desk({f"file{number}": "x" for number in range(10)})
    newest = max(path.stat().st_ctime_ns for path in made.files.iterdir())
    plant(made.files, {"probe": ""})
    assert (made.files / "probe").stat().st_ctime_ns - newest >= RACY_NS - 10_000_000, "clocks tick every 10 ms at most"


def test_a_walk_past_its_deadline_fails_and_leaves_the_manifest_alone(desk: MakeDesk) -> None:
    made = desk({"code": "x"})
    before = (made.meta / "manifest").read_bytes()
    plant(made.files, {"code": "y"})
    with pytest.raises(TimeoutError):
        made.end(made.begin(deadline_s=-1.0))
    assert (made.meta / "manifest").read_bytes() == before
    assert not (made.meta / "manifest.next").exists()
    assert seen(made.walk()) == {b"code": b"y"}


def test_a_pipe_that_takes_a_gitignores_place_under_way_fails_the_walk_in_time(desk: MakeDesk) -> None:
    made = desk({"sub/.gitignore": "", "sub/old": "x"})
    plant(made.files, {"sub/new": "x"})

    def swap(prefix: bytes) -> None:
        if prefix == b"sub":
            (made.files / "sub" / ".gitignore").unlink()
            os.mkfifo(made.files / "sub" / ".gitignore")

    walk = made.begin(deadline_s=0.5)
    walk.listed = swap
    with pytest.raises(TimeoutError):
        made.end(walk)
    assert walk.checker is None
    assert seen(made.walk()) == {b"sub/new": b"x", b"sub/.gitignore": None}


def test_a_git_that_dies_fails_the_walk(desk: MakeDesk) -> None:
    made = desk({"code": "x"})
    plant(made.files, {"new": "x"})
    walk = made.begin(git_dir=str(made.meta / "nowhere"))
    with pytest.raises((RuntimeError, BrokenPipeError)):
        made.end(walk)


# ── what it remembers ────────────────────────────────────────────────────────────────────────────────────────


def test_beyond_the_cap_for_one_snapshot_the_rest_comes_with_the_next(desk: MakeDesk) -> None:
    made = desk({f"file{number}": "x" for number in range(5)})
    plant(made.files, {f"file{number}": "y" * 600 for number in range(5)})
    first = made.walk(max_total_bytes=1500)
    assert len(first.puts) == 2
    assert len(first.left_out) == 3
    assert first.deletes == []
    second = seen(made.walk())
    assert {**seen(first), **second} == {b"file%d" % number: b"y" * 600 for number in range(5)}


def test_what_was_told_in_vain_is_told_again_until_it_arrives(desk: MakeDesk) -> None:
    made = desk({"code": "x", "gone": "x"})
    plant(made.files, {"one": "1", "gone": None})
    made.end(made.begin(), arrived=False)
    plant(made.files, {"one": None, "two": "2"})
    made.end(made.begin(), arrived=False)
    plant(made.files, {"two": None, "gone": "back"})
    assert seen(made.walk()) == {b"one": None, b"two": None, b"gone": b"back"}
    assert set(seen(made.walk())) <= {b"gone"}
    assert not (made.meta / "manifest.unsure").exists()


def test_two_walks_of_one_state_are_alike(desk: MakeDesk) -> None:
    made = desk({"code": "x"})
    plant(made.files, {f"{name}/{number}": str(number) for name in "abc" for number in range(10)})
    outputs = []
    for _ in range(2):
        walk = made.begin()
        made.end(walk, arrived=False)
        outputs.append(sorted(walk.spool.getvalue().splitlines()))
        (made.meta / "manifest.unsure").unlink()
    assert outputs[0] == outputs[1]


def test_a_changed_file_of_set_up_counts_as_work_unless_git_ignores_it(desk: MakeDesk) -> None:
    made = desk({".gitignore": "*.o\n"})
    plant(made.files, {"made": "x", "made.o": "x"})
    made.walk(scope="baseline", mark_new_as=SETUP)
    assert seen(made.walk()) == {}
    plant(made.files, {"made": "y", "made.o": "y"})
    assert seen(made.walk()) == {b"made": b"y"}


def test_it_runs_as_a_program_of_its_own_without_any_package(tmp_path: Path, desk: MakeDesk) -> None:
    made = desk({"code": "x"})
    plant(made.files, {"code": "y", "caf\udce9": "z", "subprocess.py": "raise SystemExit(9)"})
    argv = [sys.executable, "-I", "-S", walker.__file__]
    order = json.dumps(made.order()).encode() + b"\n"
    done = subprocess.run(argv, input=order, cwd=made.files, env={"PATH": os.defpath}, capture_output=True, check=True)
    assert done.stderr == b""
    found = seen(read_changes(io.BytesIO(done.stdout)))
    assert found == {b"code": b"y", b"caf\xe9": b"z", b"subprocess.py": b"raise SystemExit(9)"}


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────

IGNORABLE = [chr(code) for code in (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF)]
LOOKALIKES = [
    *(
        f"{stem}{tail}"
        for stem in (".git", ".GIT", ".gIt", "git~1", "GIT~1")
        for tail in ("", " ", ".", " . .", ":x", "::$INDEX")
    ),
    *(f".g{char}it" for char in IGNORABLE),
    *(f"{char}.GIT{char}" for char in IGNORABLE[:3]),
    "a/.git/b",
    "a/.git",
    ".git/hooks/pre-commit",
    "a\\.git",
    ".git\\hooks",
    "x\\git~1\\y",
    ".git:a\nb",
]
GITMODULES = [
    *(
        ".gitmodules",
        ".GITMODULES",
        ".gitmodules ",
        ".gitmodules.",
        ".gitmodules:x",
        "gitmod~1",
        "GITMOD~4",
        "gi7eba~1",
    ),
    *("gi7eb~10", "sub/.gitmodules", "a\\.gitmodules", ".gitmodules . ", "~1000000", "g~100000"),
]
HARMLESS = [
    *(
        ".gitignore",
        ".gitattributes",
        ".github/x",
        "git",
        "git~2",
        "git~10",
        ".gitx",
        ".git-x",
        "x.git",
        "x.git/y",
        "git~1x",
    ),
    *(
        ".git\u00e9",
        "\u200c",
        "gitmod~1",
        ".gitmodules",
        "gi7eba~1",
        "a\nb",
        "a\\b",
        "...",
        "..a",
        ".a",
        "-",
        "a:b",
        "CON",
    ),
]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    own_home(tmp_path / "person", monkeypatch)
    return Repository.make(tmp_path / "judge", {"file": "x"})


def git_takes(judge: Repository, path: str, mode: str) -> bool:
    row = f"{mode} {judge.git('rev-parse', 'HEAD:file')}\t{path}\0".encode()
    said = judge.git("update-index", "-z", "--index-info", stdin=row, ok=(0, 128))
    taken = f"\t{path}\0" in judge.git("ls-files", "-z", "--stage") + "\0"
    judge.git("read-tree", "--empty")
    return taken and not said


@pytest.mark.parametrize("mode", ["100644", "120000"])
def test_git_checks_out_every_name_that_is_taken(mode: str, judge: Repository) -> None:
    names = [*LOOKALIKES, *GITMODULES, *HARMLESS, "n" * 255, "/".join(["n" * 255] * 15 + ["n" * 254])]
    ours = {name for name in names if path_problem(name.encode(), link=mode == "120000") is None}
    gits = {name for name in names if git_takes(judge, name, mode)}
    assert ours <= gits
    refused_by_us_alone = {name for name in gits - ours if not any(char in name for char in IGNORABLE)}
    assert refused_by_us_alone == set()


def test_names_for_git_itself_are_refused_on_every_file_system() -> None:
    assert [name for name in LOOKALIKES if path_problem(name.encode()) is None] == []
    assert [name for name in GITMODULES if path_problem(name.encode(), link=True) is None] == []
    assert [name for name in HARMLESS if path_problem(name.encode()) is not None] == []


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"/etc/passwd",
        b"..",
        b"a/../b",
        b"a/..",
        b"./a",
        b"a//b",
        b"a/",
        b"a\0b",
        b"n" * 256,
        b"a/" * 2047 + b"ab",
    ],
)
def test_paths_that_lead_elsewhere_or_nowhere_are_refused(path: bytes) -> None:
    assert path_problem(path) is not None


@pytest.mark.parametrize(
    "path",
    [
        b"a",
        b"a b",
        b'"',
        b'"a"',
        b'"\\',
        b"\\n",
        b"caf\xe9",
        b"\xff\x00"[:1],
        "é".encode(),
        b"a\nb\t\x7f",
        b'"\xe9"',
        b'\\"',
    ],
)
def test_a_path_is_told_as_text_that_leads_back_to_it(path: bytes) -> None:
    text = as_text(path)
    assert as_bytes(text) == path
    assert json.loads(json.dumps(text)).encode() == text.encode()
    assert shown(path).isprintable()


def test_a_name_in_quotes_that_a_person_wrote_stays_as_it_is() -> None:
    assert as_bytes('"é"') == '"é"'.encode()
    assert as_bytes('"') == b'"'
    assert as_bytes('"a"b"') == b'"a"b"'
    assert as_bytes("plain") == b"plain"
