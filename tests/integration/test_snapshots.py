"""A workspace's way home, behind walls and without: walker → changes → store → tree."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codeswarm.git.changes import Changes
from codeswarm.git.checkout import lay_out
from codeswarm.git.snapshot import Snapshot
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker.snapshots import Limits, SnapshotFailed, baseline_of_checkout
from tests.support.repositories import (
    AGENT,
    KINDS,
    Bench,
    Files,
    Kind,
    Link,
    Repository,
    Script,
    Submodule,
    commit_files,
    found_in,
    git,
    own_home,
    plant,
    skip_without_overlays,
    tree,
    tree_of,
)

MakeBench = Callable[..., Bench]

ODD_NAMES = [
    b"new\nline",
    b'quo"te',
    b'"quoted"',
    b"back\\slash",
    b"tab\there",
    b" leading and trailing ",
    b"caf\xe9 in latin-1",
    b"\xff\xfe\xfd",
    b"\xed\xb2\x80 a surrogate",
    "caf\u00e9 composed".encode(),
    "cafe\u0301 decomposed".encode(),
    "\u0430 cyrillic a".encode(),
    b"a latin a",
    b"CASE",
    b"case",
    b"-dash",
    b"--option",
    b":(glob)*",
    b":!not",
    b":/top",
    b"!bang",
    b"#hash",
    b"star*[a-z]?",
    b"\x01\x7f",
    b"n" * 255,
    b"folder:with/inner\nline/\xe9",
    b"@{u}",
    b"HEAD",
    b".gitmodules.txt",
    b".gitfoo",
]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    found: Kind = request.param
    if found.overlay:
        skip_without_overlays(tmp_path_factory.getbasetemp())
    return found


@pytest.fixture
def sandbox(kind: Kind) -> Sandbox:
    return kind.sandbox()


@pytest.fixture
def bench(tmp_path: Path, kind: Kind, sandbox: Sandbox) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(files: Files, **more: Any) -> Bench:
        made.append(Bench(tmp_path / "bench", sandbox, files, overlay=kind.overlay, **more))
        return made[-1]

    yield make
    for each in made:
        each.view.close()


def reads_all(sandbox: Sandbox) -> bool:
    """Without walls root reads whatever mode a file has."""
    return sandbox.kind == "none" and os.geteuid() == 0


def told(snapshot: Snapshot) -> dict[str, int | None]:
    return {item.path: item.size for item in snapshot.left_out}


# ── byte for byte ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_files_bytes_are_its_bytes_whatever_its_attributes_say(bench: MakeBench) -> None:
    attributes = (
        "* text=auto eol=lf\n*.crlf text eol=crlf\n*.id ident\n*.u16 text working-tree-encoding=UTF-16LE\n"
        "*.filtered filter=canary\n*.bin filter=lfs diff=lfs merge=lfs -text\n"
    )
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n"
    files: dict[str, Any] = {
        ".gitattributes": attributes,
        "dos.txt": b"one\r\ntwo\r\n",
        "mixed.txt": b"one\r\ntwo\nthree\r",
        "unix.crlf": b"one\ntwo\n",
        "keyword.id": b"$Id$ and $Id: 0123 $\n",
        "wide.u16": "wide\n".encode("utf-16-le"),
        "thin.u16": b"not UTF-16 at all",
        "some.filtered": b"as it is\n",
        "large.bin": pointer,
    }
    made = bench(files)
    assert found_in(made.files) == tree(files)
    edited = {
        name: b"more\r\n" + content
        for name, content in tree(files).items()
        if b"attributes" not in name
        for content in [content[1]]
    }
    made.edit(edited)
    await made.take()
    assert made.tree == {**tree(files), **tree(edited)}


async def test_modes_are_kept_and_links_are_stored_but_never_followed(bench: MakeBench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-outside")
    made = bench({"plain": "x", "tool": Script("x"), "link": Link("plain")})
    changes: dict[str, Any] = {
        "plain": Script("x"),
        "tool": "x",
        "link": Link("tool"),
        "absolute": Link(tmp_path / "secret"),
        "outside": Link("../../../../secret"),
        "dangling": Link("nowhere"),
        "loop": Link("loop"),
        "ping": Link("pong"),
        "pong": Link("ping"),
        "folder": Link("/etc"),
        "bytes": Link(b"caf\xe9\n"),
        "empty": b"",
    }
    made.edit(changes)
    (made.files / "setuid").write_text("x")
    (made.files / "setuid").chmod(0o6755)
    await made.take("all")
    assert made.tree == tree({**changes, "setuid": Script("x")})
    assert not made.holds(b"canary-outside")
    assert not made.holds(b"root:")


async def test_every_name_that_a_file_system_takes_comes_home(bench: MakeBench) -> None:
    made = bench({"start": "x"})
    files = {name: b"of " + name for name in ODD_NAMES}
    made.edit(files)
    snapshot = await made.take_changed()
    assert made.tree == tree({b"start": "x", **files})
    assert snapshot.left_out == ()
    changed = made.store.changed_files(made.start, snapshot.commit)
    assert len(changed) == len(ODD_NAMES)
    assert all(text.encode() for text in changed), "they can stand in JSON"
    assert set(made.store.entries(snapshot.commit, changed)) == set(changed)
    assert [made.store.file(snapshot.commit, text) for text in changed] == [files[path] for path in sorted(files)], (
        "and lead back to the files"
    )


async def test_names_that_are_removed_or_renamed_leave_the_tree(bench: MakeBench) -> None:
    made = bench({name: b"of " + name for name in ODD_NAMES})
    assert await made.take() is None
    for number, name in enumerate(ODD_NAMES):
        path = Path(made.files, os.fsdecode(name))
        if number % 2:
            path.unlink()
        else:
            path.rename(path.with_name(f"renamed-{number}"))
    await made.take()
    assert made.tree == found_in(made.files)
    assert len(made.tree) == (len(ODD_NAMES) + 1) // 2


async def test_files_folders_and_links_may_take_each_others_places(bench: MakeBench) -> None:
    states: list[dict[str, Any]] = [
        {"a": "file", "b/c": "in a folder"},
        {"a/b/c": "deep", "b": "file"},
        {"a": Link("b"), "b": Link("a")},
        {"a/b": Link("c"), "b/c/d": Script("x")},
        {"a": "file"},
        {"a/.gitkeep": ""},
        {},
    ]
    made = bench(states[0])
    for state in states[1:]:
        for path in made.files.iterdir():
            if path.name != ".git":
                await asyncio.to_thread(os.system, f"rm -rf '{path}'")
        made.edit(state)
        await made.take()
        assert made.tree == tree(state)


async def test_of_what_is_no_file_only_the_absence_comes_home(
    bench: MakeBench, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench({"pipe": "was a file", "socket": "was a file", "device": "was a file", "other": "x"})
    for name in ("pipe", "socket", "device"):
        (made.files / name).unlink()
    os.mkfifo(made.files / "pipe")
    monkeypatch.chdir(made.files)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    if os.geteuid() == 0 and not kind.overlay:  # in an overlay nobody can make one
        os.mknod(made.files / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    snapshot = await made.take_changed()
    assert made.tree == tree({"other": "x"})
    assert {"pipe", "socket"} <= set(told(snapshot))


async def test_a_folder_three_hundred_levels_deep_comes_home(bench: MakeBench) -> None:
    deep = "/".join(["folder"] * 300)
    made = bench({"top": "x", f"{deep}/old": "x"})
    made.edit({f"{deep}/new": "y", f"{deep}/old": "z"})
    await made.take()
    assert made.tree == tree({"top": "x", f"{deep}/new": "y", f"{deep}/old": "z"})


async def test_what_lies_too_deep_for_git_is_told_and_stops_nothing_else(bench: MakeBench) -> None:
    made = bench({"top": "x"})
    script = "i=0; while [ $i -lt 450 ]; do mkdir d && cd -P d || exit 1; i=$((i+1)); done; echo x > file"
    await made.act(f"mkdir -p deep long && cd deep && {script}")
    await made.act("cd long; n=$(printf %0250d 0); for i in $(seq 20); do mkdir $n && cd -P $n; done; echo x > file")
    made.edit({"top": "y"})
    snapshot = await made.take_changed("all")
    assert made.tree == tree({"top": "y"})
    assert [size is not None for size in told(snapshot).values()] == [True, True], "so that the workspace stays"
    assert await made.take() is None


async def test_the_longest_path_that_git_checks_out_comes_home_and_one_byte_more_is_left_out(bench: MakeBench) -> None:
    above = "/".join(["n" * 255] * 15)
    made = bench({"top": "x", f"{above}/old/{'o' * 251}": "x"})
    await made.act(
        "name() { printf %0$1d 0; }; cd $(ls -d nnn*); while ls -d nnn* >/dev/null 2>&1; do cd -P nnn*; done; "
        "for size in 250 251 252; do echo x > old/$(name $size); done"
    )
    snapshot = await made.take_changed("all")
    assert sorted(map(len, made.tree)) == [3, 4094, 4095, 4095]
    assert list(told(snapshot).values()) == [2]
    again = made.root / "again"
    again.mkdir()
    lay_out(again, made.store.objects, snapshot.commit, "task/t", AGENT)
    assert git(again, "status", "--porcelain") == b""


async def test_twenty_thousand_files_come_home_and_the_next_snapshot_holds_what_changed(tmp_path: Path) -> None:
    files = {f"folder{number % 200}/sub/file{number}": f"file {number}\n" for number in range(20_000)}
    made = Bench(tmp_path / "bench", NoSandbox(), {"top": "x"})
    made.edit(files)
    first = await made.take_changed()
    assert first.files == 20_000
    assert made.store.changed_files(made.start, first.commit) == tuple(sorted(files))
    made.edit({"folder7/sub/file7": "changed"})
    assert (await made.take_changed()).files == 1
    assert await made.take() is None


# ── what is too much, and what can't be read ─────────────────────────────────────────────────────────────────


async def test_a_file_beyond_the_cap_stays_as_it_was_and_comes_home_when_it_fits_again(bench: MakeBench) -> None:
    made = bench({"grows": "small", "other": "x"}, limits=Limits(1000, 1000))
    made.edit({"grows": b"x" * 1001, "new": b"y" * 1001, "fits": b"z" * 1000})
    snapshot = await made.take_changed()
    assert told(snapshot) == {"grows": 1001, "new": 1001}
    assert made.tree == tree({"grows": "small", "other": "x", "fits": b"z" * 1000})
    assert told(await made.take_changed("all")) == {"grows": 1001, "new": 1001}, "it is told each time"
    made.edit({"grows": b"x" * 999})
    await made.take()
    assert made.tree[b"grows"] == ("100644", b"x" * 999)
    made.edit({"grows": None, "new": None})
    await made.take()
    assert made.tree == tree({"other": "x", "fits": b"z" * 1000})


async def test_holes_and_hard_links_come_home_as_their_bytes(bench: MakeBench) -> None:
    made = bench({"one": "shared"})
    os.link(made.files / "one", made.files / "two")
    with (made.files / "sparse").open("wb") as file:
        file.truncate(100_000)
    with (made.files / "huge").open("wb") as file:
        file.truncate(1 << 40)
    snapshot = await made.take_changed()
    assert made.tree == tree({"one": "shared", "two": "shared", "sparse": b"\0" * 100_000})
    assert told(snapshot) == {"huge": 1 << 40}
    (made.files / "two").write_text("both change")
    await made.take()
    assert made.tree[b"one"] == made.tree[b"two"] == ("100644", b"both change")


async def test_what_cant_be_read_stays_as_it_was_and_is_told(bench: MakeBench, sandbox: Sandbox) -> None:
    start = {"shut": "tracked", "dark/file": "tracked", "blind/file": "tracked", "gone": "x", "below/dark/file": "x"}
    made = bench(start)
    made.edit({"gone": None, "blind/new": "y", "new": "y"})
    (made.files / "shut").write_text("edited")
    for name, mode in {"shut": 0o000, "new": 0o000, "dark": 0o000, "blind": 0o444, "below/dark": 0o333}.items():
        (made.files / name).chmod(mode)
    snapshot = await made.take_changed()
    if reads_all(sandbox):
        assert made.tree == tree({**start, "gone": None, "shut": "edited", "blind/new": "y", "new": "y"})
        return
    assert made.tree == tree({**start, "gone": None})
    assert set(told(snapshot)) == {"shut", "new", "dark", "blind", "below/dark"}
    assert None not in told(snapshot).values(), "so that the workspace stays"
    await made.act("chmod 755 dark blind below/dark; chmod 644 shut new")
    made.edit({"dark/file": "seen"})
    await made.take()
    assert made.tree == tree(
        {**start, "gone": None, "shut": "edited", "blind/new": "y", "new": "y", "dark/file": "seen"}
    )


async def test_a_workspace_that_shows_nothing_is_a_failure_and_no_deletion(bench: MakeBench, sandbox: Sandbox) -> None:
    made = bench({"file": "x"})
    made.files.chmod(0o000)
    try:
        if reads_all(sandbox):
            assert await made.take() is None
        else:
            with pytest.raises(SnapshotFailed):
                await made.take()
    finally:
        made.files.chmod(0o755)
    assert made.tree == tree({"file": "x"})
    assert await made.take() is None


@pytest.mark.parametrize("what", ["nothing", "a link", "a file"])
async def test_a_workspace_that_is_gone_is_a_failure_and_no_deletion(
    what: str, bench: MakeBench, kind: Kind, tmp_path: Path
) -> None:
    made = bench({"file": "x"})
    plant(tmp_path, {"outside/file": "canary"})
    if kind.overlay:
        made.view.close()
        made.place.mount.rmdir()
    else:
        made.files.rename(made.root / "aside")
    if what != "nothing":
        where = f"mount/{made.place.name}" if kind.overlay else "files"
        plant(made.place.root, {where: Link(tmp_path / "outside") if what == "a link" else "x"})
    with pytest.raises(SnapshotFailed, match="is no folder any more"):
        await made.take("all")
    assert (made.uploads, made.holds(b"canary")) == (0, False)


async def test_a_walk_that_hangs_is_ended_and_told(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = bench({"file": "x"})
    made.edit({"file": "y"})
    (tmp_path / "walker.py").write_text("import signal, sys\nsys.stdin.readline()\nsignal.pause()\n")
    with monkeypatch.context() as patch:
        patch.setattr("codeswarm.worker.snapshots.WALKER", tmp_path / "walker.py")
        patch.setattr("codeswarm.worker.snapshots.DEADLINE_S", 0.1)
        patch.setattr("codeswarm.worker.snapshots.GRACE_S", 0.2)
        with pytest.raises(SnapshotFailed, match="it did not end"):
            await made.take()
    assert made.uploads == 0
    await made.take()
    assert made.tree == tree({"file": "y"})


async def test_hundreds_of_left_out_files_are_counted_and_keep_the_workspace(bench: MakeBench) -> None:
    made = bench({"file": "x"}, limits=Limits(10, 10))
    made.edit({f"nested{number:03}/.git/HEAD": "x" for number in range(250)})
    made.edit({"z-large": b"x" * 11, "file": "y"})
    snapshot = await made.take_changed()
    assert len(snapshot.left_out) == 201
    assert snapshot.left_out[-1].reason == "51 more were left out"
    assert snapshot.left_out[-1].size == 11 or "z-large" in told(snapshot)


# ── what git ignores ─────────────────────────────────────────────────────────────────────────────────────────


async def test_what_git_ignores_is_kept_beside_the_tree_at_the_end(bench: MakeBench) -> None:
    start = {
        ".gitignore": "*.log\nbuild/*\n!build/keep\n/only-top\ncache/\n\\!bang\n*.tmp\n!wanted.tmp\n",
        "sub/.gitignore": "!special.log\nlocal\n",
        "tracked.log": "tracked although ignored",
        "vendor/.gitignore": "*\n",
    }
    made = bench(start)
    kept = {
        "build/keep": "x",
        "sub/special.log": "x",
        "sub/only-top": "x",
        "wanted.tmp": "x",
        "deeper/build/x": "x",
        "cache-file": "x",
        "tracked.log": "edited",
    }
    ignored = {
        "x.log": "i",
        "build/out": "i",
        "only-top": "i",
        "cache/a/b": "i",
        "sub/cache/a": "i",
        "!bang": "i",
        "sub/local": "i",
        "sub/deeper/local": "i",
        "x.tmp": "i",
        "vendor/lib/code": "i",
    }
    made.edit({**kept, **ignored})
    await made.take()
    assert made.tree == tree({**start, **kept})
    assert made.ignored_tree() == {}
    await made.take("all")
    assert made.tree == tree({**start, **kept})
    assert made.ignored_tree() == tree(ignored)


async def test_what_an_agent_ignores_later_leaves_the_tree_but_is_not_lost(bench: MakeBench) -> None:
    made = bench({"code": "x", "old.log": "tracked"})
    made.edit({"node_modules/lib/index.js": "js", "new.log": "log", "stays": "x"})
    await made.take()
    assert b"node_modules/lib/index.js" in made.tree
    made.edit({".gitignore": "node_modules\n*.log\n"})
    await made.take()
    wanted = tree({"code": "x", "old.log": "tracked", ".gitignore": "node_modules\n*.log\n", "stays": "x"})
    assert made.tree == wanted
    await made.take("all")
    assert made.tree == wanted
    assert made.ignored_tree() == tree({"node_modules/lib/index.js": "js", "new.log": "log"})
    made.edit({".gitignore": "*.log\n"})
    await made.take()
    assert made.tree == wanted | tree({".gitignore": "*.log\n", "node_modules/lib/index.js": "js"})


async def test_what_is_no_longer_ignored_comes_into_the_tree(bench: MakeBench) -> None:
    made = bench({".gitignore": "out/\n*.gen\n", "sub/.gitignore": "*\n"})
    made.edit({"out/a": "x", "b.gen": "x", "sub/c": "x"})
    assert await made.take() is None
    made.edit({".gitignore": None, "sub/.gitignore": None})
    await made.take()
    assert made.tree == tree({"out/a": "x", "b.gen": "x", "sub/c": "x"})


async def test_ignored_files_beyond_their_cap_are_named(bench: MakeBench) -> None:
    made = bench({".gitignore": "*.o\n"}, limits=Limits(1000, 100))
    made.edit({"a.o": b"a" * 60, "b.o": b"b" * 60, "c.o": b"c" * 30})
    snapshot = await made.take_changed("all")
    assert made.ignored_tree() == tree({"a.o": b"a" * 60, "c.o": b"c" * 30})
    assert told(snapshot) == {"b.o": 60}


@pytest.mark.parametrize("rule", ["directory", "link", "pipe", "shut", "binary"])
async def test_a_gitignore_that_is_none_hides_nothing_and_stops_nothing(
    rule: str, bench: MakeBench, sandbox: Sandbox
) -> None:
    made = bench({"start": "x", "sub/old": "x"})
    made.edit({"rules": "*\n", "sub/new": "x", "sub/deeper/new": "x"})
    own = made.files / "sub" / ".gitignore"
    if rule == "directory":
        own.mkdir()
    elif rule == "link":
        own.symlink_to("../rules")
    elif rule == "pipe":
        os.mkfifo(own)
    elif rule == "shut":
        own.write_text("*\n")
        own.chmod(0o000)
        if reads_all(sandbox):
            return
    else:
        own.write_bytes(b"\0\xff\n" * 100)
    await made.take()
    assert {b"sub/new", b"sub/deeper/new", b"sub/old"} <= set(made.tree)


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_copied_secret_reaches_neither_tree_nor_store(bench: MakeBench) -> None:
    made = bench(
        {".gitignore": ".env\nkeys/\n", "code": "x"},
        never=(".env", "keys/own", '"caf\\351"'),
        made_by_setup={".env": "canary-1", "keys/own": "canary-2", b"caf\xe9": "canary-3"},
    )
    for change in ({"code": "y"}, {".env": "canary-1 edited"}, {".gitignore": ""}, {b"caf\xe9": Link("canary-4")}):
        made.edit(change)
        await made.take("all")
    made.edit({".env": None, "keys/own": None})
    await made.take("all")
    assert made.tree == tree({".gitignore": "", "code": "y"})
    assert not made.holds(b"canary")


async def test_a_disk_that_fills_while_what_was_held_back_is_noted_spoils_no_later_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        path.open("wb").close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = Bench(tmp_path / "bench", NoSandbox(), {"code": "x"}, secrets=Secrets(["canary-Vt5Rm8Jc3Qy7"]))
    made.edit({"notes": "canary-Vt5Rm8Jc3Qy7"})
    with monkeypatch.context() as here:
        here.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            await made.take()
    made.edit({"code": "y"})
    assert [item.path for item in (await made.take_changed()).left_out] == ["notes"]
    made.edit({"notes": "nothing secret any more"})
    await made.take()
    assert made.tree == tree({"code": "y", "notes": "nothing secret any more"})


async def test_what_set_up_made_stays_out_until_it_is_edited(bench: MakeBench) -> None:
    made = bench(
        {".gitignore": "modules/\n", "code": "x"},
        made_by_setup={"modules/lib": "made", "generated": "made", "untouched": "made"},
    )
    assert await made.take() is None
    made.edit({"modules/lib": "patched", "generated": "edited", "modules/new": "x"})
    await made.take()
    assert made.tree == tree({".gitignore": "modules/\n", "code": "x", "generated": "edited"})
    await made.take("all")
    assert made.ignored_tree() == tree({"modules/lib": "patched", "modules/new": "x"})


# ── git directories that an agent could write ────────────────────────────────────────────────────────────────


async def test_nested_repositories_bring_their_files_and_nothing_of_their_own(bench: MakeBench) -> None:
    made = bench({"code": "x"})
    await made.act(
        "git init -q sub && cd sub && echo 1 > file && git add . && "
        "git -c user.name=a -c user.email=b commit -q -m x && git init -q inner && echo 2 > inner/file && "
        "mkdir pointer && echo 'gitdir: /elsewhere' > pointer/.git && echo 3 > pointer/file"
    )
    snapshot = await made.take_changed("all")
    assert made.tree == tree({"code": "x", "sub/file": "1\n", "sub/inner/file": "2\n", "sub/pointer/file": "3\n"})
    assert set(told(snapshot)) == {"sub/.git", "sub/inner/.git", "sub/pointer/.git"}


async def test_what_looks_like_a_git_directory_is_left_out_each_time_and_may_go_again(bench: MakeBench) -> None:
    made = bench({"code": "x"})
    names = [".GIT", "git~1", ".git ", ".git...", ".g\u200cit", "sub/.Git", "sub/GIT~1", "a\\.git", ".git:stream"]
    made.edit({f"{name}/config": "x" for name in names[:4]} | dict.fromkeys(names[4:], "x"))
    made.edit({".gitmodules": Link("elsewhere"), "code": "y"})
    snapshot = await made.take_changed()
    assert made.tree == tree({"code": "y"})
    assert len(told(snapshot)) == len(names) + 1
    assert None not in told(snapshot).values(), "so that the workspace stays"
    assert told(await made.take_changed("all")) == told(snapshot)
    for name in names:
        os.system(f"rm -rf '{made.files / name}'")
    made.edit({"code": "z"})
    await made.take()
    assert made.tree == tree({"code": "z"})


ATTACKS = ["config", "file", "link", "commondir", "worktree", "hooks", "bare", "objects"]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_that_an_agent_leaves_in_a_git_directory_is_ever_run(
    attack: str, bench: MakeBench, tmp_path: Path
) -> None:
    made = bench({"code": "x", ".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    canary = made.files / "canary.sh"
    places = f"{tmp_path}/fired /codeswarm/meta/fired /codeswarm/workspace/fired /tmp/fired fired"
    plant(made.files, {"canary.sh": Script(f"#!/bin/sh\ntouch {places} 2>/dev/null\ncat\n")})
    run = f"sh {canary}; sh /codeswarm/workspace/canary.sh"
    config = (
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
        f'\tfsmonitor = "{run}"\n\thooksPath = {made.files}/hooks\n'
        f'\tsshCommand = "{run}"\n\tpager = "{run}"\n\teditor = "{run}"\n\talternateRefsCommand = "{run}"\n'
        f'[filter "evil"]\n\tclean = "{run}"\n\tsmudge = "{run}"\n\tprocess = "{run}"\n\trequired = true\n'
        f'[diff "evil"]\n\ttextconv = "{run}"\n\tcommand = "{run}"\n[merge "evil"]\n\tdriver = "{run}"\n'
        f'[alias]\n\tcheck-ignore = "!{run}"\n\tstatus = "!{run}"\n[include]\n\tpath = {made.files}/more\n'
        f'[includeIf "gitdir:**"]\n\tpath = {made.files}/more\n'
    )
    if attack == "worktree":
        config += f"[core]\n\tworktree = {tmp_path}\n"
    hooks = ("pre-commit", "post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman")
    plant(made.files, {f"hooks/{hook}": Script(f"#!/bin/sh\n{run}\n") for hook in hooks})
    plant(made.files, {"more": f'[core]\n\tfsmonitor = "{run}"\n'})
    own = made.files / ".git"
    elsewhere = made.files / "elsewhere"
    if attack in ("file", "link", "commondir"):
        shutil.copytree(Repository.make(tmp_path / "elsewhere").path, elsewhere)
        (elsewhere / ".git" / "config").write_text(config)
        await made.act("rm -rf .git" if attack != "commondir" else "true")
    if attack == "file":
        own.write_text(f"gitdir: {elsewhere}/.git\n")
    elif attack == "link":
        own.symlink_to("elsewhere/.git")
    elif attack == "commondir":
        (own / "commondir").write_text(f"{elsewhere}/.git\n")
    elif attack == "bare":
        plant(made.files, {"HEAD": "ref: refs/heads/main\n", "config": config, "objects/x": "", "refs/x": ""})
    elif attack == "objects":
        poisoned = (await made.act("git rev-parse HEAD:code")).strip()
        plant(own, {f"objects/{poisoned[:2]}/{poisoned[2:]}": b"poison", "objects/info/alternates": "/elsewhere\n"})
    else:
        (own / "config").write_text(config)
        plant(own, {f"hooks/{hook}": Script(f"#!/bin/sh\n{run}\n") for hook in hooks})
    made.edit({"code": "edited", "new": "y", "sub/.gitignore": "ignored\n", "sub/ignored": "x"})
    await made.take("work")
    await made.take("all")
    assert made.tree[b"code"] == ("100644", b"edited")
    assert made.tree[b"new"] == ("100644", b"y")
    assert made.ignored_tree() == tree({"sub/ignored": "x"})
    assert list(tmp_path.rglob("fired")) == []
    git(made.store.path, "fsck", "--strict", "--no-dangling")


# ── submodules ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("edit", ["file", "removed", "replaced", "linked"])
async def test_edits_of_a_submodule_are_refused_aloud(edit: str, bench: MakeBench) -> None:
    start = {"code": "x", "lib/sub": Submodule("1" * 40), ".gitmodules": '[submodule "lib/sub"]\n\tpath = lib/sub\n'}
    made = bench(start, gitlinks=("lib/sub",))
    assert await made.take() is None
    made.edit({"code": "y"})
    if edit == "file":
        made.edit({"lib/sub/file": "lost?", "lib/sub/.git": "gitdir: x\n", "lib/sub/deep/er": "x"})
    else:
        (made.files / "lib" / "sub").rmdir()
        made.edit({"replaced": {"lib/sub": "a file"}, "linked": {"lib/sub": Link("..")}}.get(edit, {}))
    snapshot = await made.take_changed()
    assert made.tree == tree({**start, "code": "y"})
    assert "lib/sub" in told(snapshot)
    assert (told(snapshot)["lib/sub"] is None) == (edit == "removed"), "else the workspace stays"


# ── only what changed, and nothing twice or never ────────────────────────────────────────────────────────────


async def test_a_change_that_hides_behind_size_and_time_is_found(bench: MakeBench) -> None:
    made = bench({"code": "one", "tool": "one"})
    before = (made.files / "code").stat()
    (made.files / "code").write_text("two")
    os.utime(made.files / "code", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (made.files / "code").stat().st_mtime_ns == before.st_mtime_ns
    (made.files / "tool").chmod(0o755)
    await made.take()
    assert made.tree == tree({"code": "two", "tool": Script("one")})


async def test_only_differences_are_sent(bench: MakeBench) -> None:
    made = bench({f"file{number}": f"{number}" for number in range(50)})
    seen: list[list[bytes]] = []

    def show(changes: Changes) -> None:
        seen.append(sorted([*(put.path for put in changes.puts), *changes.deletes]))

    for change in ({"file1": "x"}, {"file2": None, "new/a": "x"}, {"new/a": "y"}, {"new/a": None}):
        made.edit(change)
        let_the_clock_tick(made.files)
        await made.take()
        made.snapshots.show_changes(show)
    assert seen == [[b"file1"], [b"file2", b"new/a"], [b"new/a"], [b"new/a"]]
    assert made.tree == tree({f"file{n}": f"{n}" for n in range(50)} | {"file1": "x", "file2": None})
    assert await made.take() is None
    assert made.uploads == 4


def let_the_clock_tick(folder: Path) -> None:
    """Until a file that was written before counts as surely unchanged for a walk that begins now."""
    newest = max(path.lstat().st_ctime_ns for path in folder.rglob("*"))
    probe = folder.parent / "tick"
    while newest + 25_000_000 > probe.stat().st_ctime_ns if probe.exists() else True:
        probe.write_text("tick")


async def test_an_upload_that_fails_loses_nothing(bench: MakeBench) -> None:
    made = bench({"code": "x", "gone": "x"})
    made.edit({"code": "y", "new": "z", "gone": None})

    async def fail(spool: Path) -> None:
        raise ConnectionError("the router is away")

    for _ in range(2):
        with pytest.raises(ConnectionError):
            await made.snapshots.take("work", fail)
    made.snapshots = made.snapshotter()
    made.edit({"later": "w"})
    await made.take()
    assert made.tree == tree({"code": "y", "new": "z", "later": "w"})
    assert await made.take() is None


async def test_what_arrived_without_an_answer_is_put_right_by_the_next_snapshot(bench: MakeBench) -> None:
    made = bench({"code": "x", "comes-back": "x", "other": "x"})

    async def lose_the_answer(spool: Path) -> None:
        made.base = (await made.upload(spool)).commit
        raise ConnectionError("the answer was lost")

    made.edit({"short-lived": "x", "ignored-later": "x", "edited": "1"})
    shutil.move(made.files / "comes-back", made.root / "aside")
    with pytest.raises(ConnectionError):
        await made.snapshots.take("work", lose_the_answer)
    assert b"short-lived" in made.tree
    made.edit({"short-lived": None, ".gitignore": "ignored-later\n", "second": "x", "edited": "2"})
    shutil.move(made.root / "aside", made.files / "comes-back")
    with pytest.raises(ConnectionError):
        await made.snapshots.take("work", lose_the_answer)
    made.edit({"second": None})
    await made.take()
    wanted = {"code": "x", "comes-back": "x", "other": "x", ".gitignore": "ignored-later\n", "edited": "2"}
    assert made.tree == tree(wanted)
    let_the_clock_tick(made.files)
    await made.take()
    assert await made.take() is None
    await made.take("all")
    assert made.ignored_tree() == tree({"ignored-later": "x"})


async def test_what_never_arrived_is_put_right_all_the_same(bench: MakeBench) -> None:
    made = bench({"code": "x"})

    async def fail(spool: Path) -> None:
        raise ConnectionError("the router is away")

    made.edit({"short-lived": "x", "stays": "x", "code": None})
    with pytest.raises(ConnectionError):
        await made.snapshots.take("work", fail)
    made.edit({"short-lived": None, "code": "back"})
    await made.take()
    assert made.tree == tree({"code": "back", "stays": "x"})


async def test_changes_that_are_sent_again_change_nothing(bench: MakeBench) -> None:
    made = bench({"code": "x", "gone": "x", ".gitignore": "*.o\n"})
    made.edit({"code": "y", "gone": None, "new": "z"})
    first = await made.take_changed()
    spool = made.place.meta / "changes"
    again = await made.upload(spool)
    assert (again.commit, again.tree, again.files) == (first.commit, first.tree, 0)
    assert made.store.refs("refs/codeswarm") == {"refs/codeswarm/wip/s/t/1": first.commit}


async def test_an_unchanged_workspace_makes_no_snapshot_but_an_end_always_answers(bench: MakeBench) -> None:
    made = bench({"code": "x"})
    assert await made.take() is None
    assert made.uploads == 0
    end = await made.take_changed("all")
    assert (end.commit, end.files) == (made.start, 0)


async def test_snapshots_of_a_workspace_that_is_being_written_end_where_it_ends(bench: MakeBench) -> None:
    made = bench({f"f{number}": "0" for number in range(20)})
    script = (
        "for round in 1 2 3 4 5 6 7 8; do for n in 0 1 2 3 4 5 6 7 8 9; do echo $round > f$n; rm -rf d$n; mkdir d$n; "
        "echo $round > d$n/x; ln -sfn d$n l; mv f1$n g; mv g f1$n; done; done; rm -rf d1; mkdir d1; ln -s /etc d1/etc"
    )
    agent = asyncio.create_task(made.act(script))
    while not agent.done():
        await made.take()
    await agent
    await made.take("all")
    assert made.tree == found_in(made.files)


async def test_a_repository_of_sha256_objects_works_alike(bench: MakeBench) -> None:
    made = bench({"code": "x", "sub/old": "x"}, object_format="sha256")
    assert len(made.start) == 64
    made.edit({"code": "y", "sub/old": None, "new": Script("x")})
    await made.take()
    assert made.tree == tree({"code": "y", "new": Script("x")})
    assert await made.act("git status --porcelain") == " M code\n D sub/old\n?? new\n"


async def test_what_an_agent_commits_and_stashes_is_its_own_affair(bench: MakeBench) -> None:
    made = bench({"code": "x"})
    await made.act(
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=b; "
        "echo 1 > one && git add one && git commit -q -m one && echo y > code && git stash -q && "
        "git checkout -q -b x && "
        "echo 2 > two && git add two && git commit -q -m two && git gc -q"
    )
    await made.take()
    assert made.tree == tree({"code": "x", "one": "1\n", "two": "2\n"})
    assert tree_of(made.store.path, made.start) == tree({"code": "x"})
    assert commit_files(made.store.path, {"later": "x"}, made.base)


@pytest.mark.parametrize("version", [2, 4])
def test_what_a_new_checkout_looks_like_is_known_whether_its_index_can_be_read_or_not(
    tmp_path: Path, version: int
) -> None:
    files: Files = {"code": "x", "run": Script("x"), "link": Link("code"), b"\xff\n": "x", "sub": Submodule("a" * 40)}
    made = Bench(tmp_path, NoSandbox(), files)
    git(made.files, "update-index", "--index-version", str(version))
    baseline_of_checkout(made.files, made.start, made.place.manifest)
    made.known_right()
