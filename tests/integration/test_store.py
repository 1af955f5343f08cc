"""The store: streams of changes that are not what they claim, refs, commits, fetches and care, on real git."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain.ids import Commit
from codeswarm.errors import GitError, RepositoryUnfit, StoreDiverged
from codeswarm.git.changes import MAX_HEADER, BrokenChanges, Changes, read_changes
from codeswarm.git.identity import Identity, Message
from codeswarm.git.snapshot import Snapshot, take_in
from codeswarm.git.store import BYTE_EXACT, Store
from tests.support.repositories import (
    AGENT,
    NOW_MS,
    WIP,
    Files,
    Link,
    Repository,
    Script,
    Submodule,
    commit_files,
    git,
    own_home,
    tree,
    tree_of,
)

MakeStore = Callable[..., Store]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_home(tmp_path / "person", monkeypatch)


@pytest.fixture(params=["sha1", "sha256"])
def object_format(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def store(tmp_path: Path, object_format: str) -> Store:
    return Store.open(tmp_path / "store.git", object_format=object_format)


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "plain.git")


def everything(store: Store) -> tuple[dict[str, Commit], set[str]]:
    """Refs and objects."""
    listed = git(store.path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
    return store.refs(), set(listed.decode().split())


def put(path: str, data: bytes = b"x", mode: str = "100644", **more: Any) -> bytes:
    return frame(op="put", path=path, mode=mode, size=len(data), **more) + data


def frame(**header: Any) -> bytes:
    return json.dumps(header).encode() + b"\n"


END = frame(op="end", files=0)


def take(store: Store, stream: bytes, base: Commit) -> Snapshot:
    message = Message("Work in progress")
    return take_in(store, read_changes(io.BytesIO(stream)), base, WIP, message, author=AGENT, at_ms=NOW_MS)


# ── streams of changes ───────────────────────────────────────────────────────────────────────────────────────

BROKEN = {
    "nothing": b"",
    "no end": put("a"),
    "within a file": put("a", b"0123456789")[:-5],
    "within a header": put("a") + END[:-5],
    "no JSON": b"{nonsense\n",
    "no object": b"[1, 2]\n" + END,
    "null": b"null\n" + END,
    "deep JSON": b"[" * 60_000 + b"\n" + END,
    "long header": b'{"op": "put", "path": "' + b"a" * MAX_HEADER + b'"}\n' + END,
    "unknown frame": frame(op="symlink", path="a") + END,
    "no frame": frame(path="a") + END,
    "negative size": frame(op="put", path="a", mode="100644", size=-1) + END,
    "huge size": frame(op="put", path="a", mode="100644", size=1 << 62) + END,
    "size of a galaxy": frame(op="put", path="a", mode="100644", size=10**4000) + END,
    "size without end": b'{"op": "put", "path": "a", "mode": "100644", "size": 1' + b"0" * 5000 + b"}\n" + END,
    "infinite size": b'{"op": "put", "path": "a", "mode": "100644", "size": Infinity}\n' + END,
    "true size": frame(op="put", path="a", mode="100644", size=True) + b"x" + END,
    "text size": frame(op="put", path="a", mode="100644", size="1") + b"x" + END,
    "no size": frame(op="put", path="a", mode="100644") + END,
    "gitlink": put("a", b"1" * 40, mode="160000") + END,
    "tree mode": put("a", mode="040000") + END,
    "odd mode": put("a", mode="100664") + END,
    "mode of a list": frame(op="put", path="a", mode=["100644"], size=1) + b"x" + END,
    "no path": frame(op="put", mode="100644", size=1) + b"x" + END,
    "number path": frame(op="put", path=5, mode="100644", size=1) + b"x" + END,
    "unpaired path": frame(op="put", path="\ud800", mode="100644", size=1) + b"x" + END,
    "delete the root": frame(op="delete", path="") + END,
    "delete outside": frame(op="delete", path="../a") + END,
    "delete absolute": frame(op="delete", path="/a") + END,
    "delete NUL": frame(op="delete", path="a\0b") + END,
    "delete nothing": frame(op="delete") + END,
    "leave out nothing": frame(op="left_out", reason="x") + END,
    "bytes": b"\xff\xfe\xfd\n" + END,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_is_not_whole_is_refused_and_the_store_untouched(name: str, plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"})
    before = everything(plain)
    with pytest.raises(BrokenChanges):
        take(plain, put("good") + BROKEN[name], base)
    assert everything(plain) == before
    assert list(plain.path.glob("fast_import_crash*")) == []


def test_a_stream_cut_off_anywhere_is_refused() -> None:
    whole = put("a", b"content\n") + frame(op="delete", path="b") + frame(op="left_out", path="c", reason="r") + END
    assert read_changes(io.BytesIO(whole)).deletes == [b"b"]
    for length in range(len(whole) - 1):
        with pytest.raises(BrokenChanges):
            read_changes(io.BytesIO(whole[:length]))


def test_streams_of_noise_are_refused_and_nothing_else_happens() -> None:
    chance = random.Random(7)
    whole = put("a", b"content\n") + put("b\udcff", b'{"op": "end"}\n', "100755") + frame(op="delete", path="b") + END
    taken = 0
    for _ in range(3000):
        stream = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            stream[chance.randrange(len(stream))] = chance.randrange(256)
        try:
            read_changes(io.BytesIO(bytes(stream)))
            taken += 1
        except BrokenChanges:
            continue
    assert 0 < taken < 3000


OUTSIDE = ["", "/etc/passwd", "../a", "a/../../b", "./a", "a//b", "a/", "a\0b", "n" * 256, "a/" * 2047 + "ab"]
GITS_OWN = [
    ".git",
    ".git/config",
    "sub/.GIT/hooks/x",
    "git~1",
    ".git ",
    ".git::$DATA",
    ".g\u200cit",
    "a\\.git",
    ".git\\x",
]


@pytest.mark.parametrize("path", [*OUTSIDE, *GITS_OWN])
def test_a_name_that_can_stand_in_no_tree_is_left_out_and_told(path: str, plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"})
    snapshot = take(plain, put(path, b"evil") + put("good", b"y") + END, base)
    assert tree_of(plain.path, snapshot.commit) == tree({"a": "x", "good": "y"})
    assert [item.size for item in snapshot.left_out] == [4]
    assert snapshot.left_out[0].model_dump_json()
    git(plain.path, "fsck", "--strict", "--no-dangling")


def test_a_link_in_the_place_of_gitmodules_is_left_out(plain: Store) -> None:
    base = commit_files(plain.path, {".gitmodules": "x"})
    snapshot = take(plain, put(".gitmodules", b"/etc/passwd", "120000") + put("a") + END, base)
    assert tree_of(plain.path, snapshot.commit) == tree({".gitmodules": "x", "a": "x"})
    assert [item.path for item in snapshot.left_out] == [".gitmodules"]
    assert tree_of(plain.path, take(plain, put(".gitmodules", b"y") + END, base).commit) == tree({".gitmodules": "y"})


def test_the_removal_of_a_name_that_can_stand_in_no_tree_is_told_and_breaks_nothing(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"})
    stream = frame(op="delete", path=".git") + frame(op="delete", path="a/" * 2047 + "ab") + put("b") + END
    snapshot = take(plain, stream, base)
    assert tree_of(plain.path, snapshot.commit) == tree({"a": "x", "b": "x"})
    assert [item.size for item in snapshot.left_out] == [None, None]


def test_hostile_words_about_what_was_left_out_can_be_told(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"})
    sizes: list[Any] = [None, 5, -5, True, "5", 1 << 60, 10**4000, 1.5]
    stream = b"".join(
        frame(op="left_out", path=f"\udcff\x1b[31m{number}", reason="\ud800\n\x1b[2J" + "x" * 1000, size=size)
        for number, size in enumerate(sizes)
    )
    snapshot = take(plain, stream + END, base)
    assert [item.size for item in snapshot.left_out] == [None, 5, None, None, None, None, None, None]
    for item in snapshot.left_out:
        assert item.model_dump_json()
        assert item.path.isprintable()
        assert item.reason.isprintable()


def test_of_countless_left_out_files_the_rest_is_counted() -> None:
    lines = [frame(op="left_out", path=f"f{number}", reason="r", size=None) for number in range(300)]
    lines[250] = frame(op="left_out", path="of worth", reason="r", size=7)
    found = read_changes(io.BytesIO(b"".join(lines) + END)).left_out
    assert (len(found), found[-1].size, found[-1].reason) == (201, 7, "100 more were left out")


def test_of_one_path_told_twice_the_last_word_counts(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x", "d/e": "x"})
    stream = put("a", b"1") + put("a", b"2") + put("d", b"a file now") + frame(op="delete", path="d/e") + END
    assert tree_of(plain.path, take(plain, stream, base).commit) == tree({"a": "2", "d": "a file now"})


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_is_a_commit_on_its_base_that_its_ref_holds(store: Store) -> None:
    base = commit_files(store.path, {"a": "x", "gone": "x", "sub": Submodule("1" * len(commit_files(store.path, {})))})
    stream = put("a", b"y", "100755") + put("new/\udcff", b"a", "120000") + frame(op="delete", path="gone") + END
    snapshot = take(store, stream, base)
    assert store.parents(snapshot.commit) == [base]
    assert store.refs("refs/codeswarm") == {WIP: snapshot.commit}
    assert snapshot.tree == store.tree(WIP)
    found = tree_of(store.path, snapshot.commit)
    assert found.pop(b"sub")[0] == "160000"
    assert found == tree({"a": Script("y"), b"new/\xff": Link("a")})
    shown = git(store.path, "log", "-1", "--format=%an <%ae> %at|%cn %ct|%B", snapshot.commit).decode()
    assert shown.startswith(
        f"{AGENT.name} <{AGENT.email}> {NOW_MS // 1000}|Codeswarm {NOW_MS // 1000}|Work in progress"
    )


def test_everything_may_be_deleted(store: Store) -> None:
    base = commit_files(store.path, {"a": "x", "b/c": "x"})
    snapshot = take(store, frame(op="delete", path="a") + frame(op="delete", path="b/c") + END, base)
    assert tree_of(store.path, snapshot.commit) == {}
    assert store.has(snapshot.commit)
    again = take(store, put("a", b"back") + END, snapshot.commit)
    assert tree_of(store.path, again.commit) == tree({"a": "back"})


def test_ignored_files_are_reachable_but_part_of_no_tree(store: Store) -> None:
    base = commit_files(store.path, {"a": "x"})
    first = take(store, put("out/o", b"1", ignored=True) + END, base)
    assert first.tree == store.tree(base)
    second = take(store, put("out/p", b"2", ignored=True) + put("a", b"y") + END, first.commit)
    assert tree_of(store.path, second.commit) == tree({"a": "y"})
    parents = store.parents(second.commit)
    assert parents[0] == first.commit
    assert tree_of(store.path, parents[1]) == tree({"out/p": "2"})
    assert tree_of(store.path, store.parents(first.commit)[1]) == tree({"out/o": "1"})
    assert list(store.refs("refs/codeswarm")) == [WIP]


def test_the_same_changes_at_the_same_time_make_the_same_commit(store: Store) -> None:
    base = commit_files(store.path, {"a": "x"})
    stream = put("b") + END
    assert take(store, stream, base) == take(store, stream, base)


def test_snapshots_of_many_attempts_are_taken_at_once(plain: Store) -> None:
    base = commit_files(plain.path, {f"f{number}": "x" for number in range(100)})

    def one(number: int) -> Snapshot:
        changes = read_changes(io.BytesIO(put(f"f{number}", b"%d" % number) + END))
        ref = f"refs/codeswarm/wip/a-b/c/{number}" if number % 2 else f"refs/codeswarm/wip/a/b-c/{number - 1}"
        return take_in(plain, changes, base, ref, Message("w"), author=AGENT, at_ms=NOW_MS)

    with ThreadPoolExecutor(8) as pool:
        snapshots = list(pool.map(one, range(24)))
    for number, snapshot in enumerate(snapshots):
        assert plain.changed_files(base, snapshot.commit) == (f"f{number}",)
        assert plain.file(snapshot.commit, f"f{number}") == b"%d" % number
    assert len(plain.refs("refs/codeswarm")) == 24


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_paths_are_taken_literally_whatever_they_look_like(store: Store) -> None:
    names = [
        "app/[id]/page",
        "app/i/page",
        "app/d/page",
        ":(glob)*",
        ":!x",
        ":/y",
        "*",
        "a:b",
        '"q"',
        "-n",
        "é",
        "a\nb",
    ]
    files: dict[bytes, Any] = {name.encode(): "x" for name in names} | {b"caf\xe9": "x"}
    base = commit_files(store.path, files)
    head = commit_files(store.path, dict.fromkeys(files, "y"), base)
    changed = store.changed_files(base, head)
    assert len(changed) == len(files)
    for path in changed:
        assert list(store.entries(head, [path])) == [path]
        assert store.diff(base, head, paths=[path]).count("diff --git") == 1
        assert store.file(head, path) == b"y"
    assert store.entries(head, []) == {}
    assert store.entries(head, ["app", "app/[id]", "nowhere"]) == {}
    assert store.diff(base, head).count("diff --git") == len(files)
    assert store.file(head, "nowhere") is None
    assert store.file(head, "app") is None


def test_thousands_of_long_paths_can_be_asked_for_at_once(plain: Store) -> None:
    files = {f"{'folder' * 30}/{number:04}/{'n' * 200}": "x" for number in range(3000)}
    base = commit_files(plain.path, files)
    head = commit_files(plain.path, dict.fromkeys(list(files)[::3], "y"), base)
    assert set(plain.entries(base, files)) == set(files)
    assert plain.patch(base, head, stat=True, paths=files).count(b"+-") == 1000


def test_of_a_difference_without_end_no_more_comes_into_memory_than_is_shown(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"})
    content = b"a line of some length, again and again\n" * 100_000
    head = commit_files(plain.path, {f"n{number:02}": content for number in range(27)}, base)
    tracemalloc.start()
    try:
        shown = plain.diff(base, head)
        some = plain.diff(base, head, paths=["a", "n07"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20
    for text, count in ((shown, 27), (some, 1)):
        assert len(text) < 40_000
        assert text.count(" | 100000 ++") == count
        assert "+a line of some length" in text
    assert plain.diff(base, head, paths=["a"]) == ""
    with pytest.raises(GitError, match="diff-tree"):
        plain.diff(base, "f" * 40)


def test_gitlinks_are_found_wherever_they_stand(plain: Store) -> None:
    head = commit_files(plain.path, {"a": Submodule("1" * 40), b"b/caf\xe9": Submodule("2" * 40), "c": "x"})
    assert plain.gitlinks(head) == ["a", '"b/caf\\351"']


def test_revisions_are_found_or_not_and_never_taken_for_options(store: Store) -> None:
    base = commit_files(store.path, {"a": "x"})
    assert store.commit("refs/heads/main") == base
    for nothing in ("refs/heads/none", "--all", "-n1", "", "HEAD:a", store.tree(base), "f" * len(base), "a b\nc"):
        assert store.commit(nothing) is None
    with pytest.raises(GitError, match="git rev-parse failed"):
        store.tree("none")
    assert store.has(base)
    assert not store.has("f" * len(base))


# ── refs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ref_moves_only_from_where_it_was_thought_to_be(store: Store) -> None:
    one = commit_files(store.path, {"a": "1"}, ref="refs/x/one")
    two = commit_files(store.path, {"a": "2"}, one, ref="refs/x/two")
    ref = "refs/heads/session/s/integration"
    assert not store.move_ref(ref, two, one)
    assert store.move_ref(ref, one, None)
    assert not store.move_ref(ref, two, None)
    assert not store.move_ref(ref, one, two)
    assert store.commit(ref) == one
    assert store.move_ref(ref, two, one)
    assert not store.move_ref(ref, Commit("f" * len(one)), two)
    assert store.commit(ref) == two


def test_of_many_who_move_a_ref_at_once_one_succeeds(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"}, ref="refs/x/base")
    ref = "refs/heads/contested"
    plain.set_ref(ref, base)
    tips = [commit_files(plain.path, {"a": f"{n}"}, base, ref=f"refs/x/{n}") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(lambda tip: plain.move_ref(ref, tip, base), tips))
    assert sum(moved) == 1
    assert plain.commit(ref) == tips[moved.index(True)]


def test_a_projected_ref_goes_forward_and_nowhere_else(store: Store) -> None:
    one = commit_files(store.path, {"a": "1"}, ref="refs/x/one")
    two = commit_files(store.path, {"a": "2"}, one, ref="refs/x/two")
    side = commit_files(store.path, {"a": "3"}, one, ref="refs/x/side")
    ref = "refs/heads/session/s/integration"
    assert store.project_ref(ref, one)
    assert not store.project_ref(ref, one)
    assert store.project_ref(ref, two)
    for elsewhere in (one, side):
        with pytest.raises(StoreDiverged) as diverged:
            store.project_ref(ref, elsewhere)
        assert two[:12] in diverged.value.what
        assert "git --git-dir=" in diverged.value.hint
        assert store.commit(ref) == two


def test_refs_are_set_listed_and_deleted_again_and_again(store: Store) -> None:
    one = commit_files(store.path, {"a": "1"}, ref="refs/x/one")
    for _ in range(2):
        store.set_ref("refs/y/a", one)
        store.set_ref("refs/y/b", one)
    assert store.refs("refs/y") == {"refs/y/a": one, "refs/y/b": one}
    for _ in range(2):
        store.delete_refs("refs/y/a", "refs/y/none")
    assert store.refs("refs/y") == {"refs/y/b": one}
    assert store.has(one)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at_ms", [0, 1_000, 99_999_000, NOW_MS, 4_102_444_800_000])
def test_the_same_arguments_make_the_same_commit(at_ms: int, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = commit_files(store.path, {"a": "x"})
    message = Message("Title\nof  two lines", "A body.\n", (("Codeswarm-Session", "s"), ("Codeswarm-Agent", "")))
    first = store.commit_tree(store.tree(base), [base], message, author=AGENT, at_ms=at_ms)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-01-01")
    assert store.commit_tree(store.tree(base), [base], message, author=AGENT, at_ms=at_ms) == first
    assert git(store.path, "log", "-1", "--format=%at %ct %B", first).decode().strip() == (
        f"{at_ms // 1000} {at_ms // 1000} Title of two lines\n\nA body.\n\nCodeswarm-Session: s"
    )


def test_any_words_can_stand_in_a_commit(store: Store) -> None:
    base = commit_files(store.path, {"a": "x"})
    author = Identity('An "agent" <x>\n\\ ; #', "a@b>\n<c")
    message = Message("\0NUL\0 and \udcff and é\n\nx" + "y" * 500, "-----\n# no comment\n\0", (("K", "v\nw\0"),))
    made = store.commit_tree(store.tree(base), [base, base], message, author=author, at_ms=NOW_MS)
    told = git(store.path, "cat-file", "commit", made).decode()
    assert "# no comment" in told
    assert "K: v w" in told
    git(store.path, "fsck", "--strict", "--no-dangling")
    assert take(store, put("b") + END, made).commit


def test_entries_are_put_into_a_tree_and_taken_out(store: Store) -> None:
    base = commit_files(store.path, {"a": "x", "b/c": "x", b"caf\xe9": "x", "d": "x"})
    other = commit_files(store.path, {"b": "a file", "e/f": Script("s"), "d/deep": "x"})
    entries = store.entries(other, ["b", "e/f", "d/deep"])
    made = store.with_entries(base, {**entries, "a": None, "none": None, '"caf\\351"': None, "b/c": None, "d": None})
    assert tree_of(store.path, made) == tree({"b": "a file", "e/f": Script("s"), "d/deep": "x"})
    assert store.with_entries(base, {}) == store.tree(base)
    assert list(store.path.glob("index-*")) == []
    with pytest.raises(GitError, match="git update-index failed"):
        store.with_entries(base, {"../x": entries["b"]})
    assert list(store.path.glob("index-*")) == []


def test_a_failure_names_gits_command_and_its_words(plain: Store) -> None:
    with pytest.raises(GitError) as failed:
        plain.git.run("--literal-pathspecs", "-c", "a.b=c", "rev-parse", "--verify", "none")
    assert failed.value.what == "git rev-parse failed with exit code 128"
    assert "fatal" in failed.value.why
    with pytest.raises(GitError, match="git cat-file failed") as late:
        plain.git.run("cat-file", "--batch", stdin=b"", timeout_s=0.0)
    assert "did not end within 0 s" in late.value.why


# ── making and opening ───────────────────────────────────────────────────────────────────────────────────────


def test_opening_is_idempotent_and_takes_up_what_a_killed_one_left(tmp_path: Path, object_format: str) -> None:
    path = tmp_path / "deep" / "store.git"
    store = Store.open(path, object_format=object_format)
    base = commit_files(path, {"a": "x"})
    for broken in ("info/attributes", "config"):
        (path / broken).unlink()
        (path / "info" / "attributes").unlink(missing_ok=True)
        again = Store.open(path, object_format=object_format)
        assert again.commit("refs/heads/main") == base or object_format == "sha256"
    assert (path / "info" / "attributes").read_text() == BYTE_EXACT
    assert store.object_format in (object_format, "sha1")


def test_a_store_of_another_object_format_is_refused_in_clear_words(tmp_path: Path) -> None:
    Store.open(tmp_path / "store.git", object_format="sha1")
    for _ in range(2):
        with pytest.raises(RepositoryUnfit, match="names its objects by sha256") as unfit:
            Store.open(tmp_path / "store.git", object_format="sha256")
        assert unfit.value.hint.startswith(f"mv {tmp_path}/store.git {tmp_path}/store.git.old")
        (tmp_path / "store.git" / "info" / "attributes").unlink(missing_ok=True)


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["plain", "bare", "worktree", "shallow", "alternates", "packed refs", "submodule"])
def test_commits_are_fetched_from_every_kind_of_repository(kind: str, plain: Store, tmp_path: Path) -> None:
    whole = Repository.make(tmp_path / "whole", {"a": "1"})
    head = whole.commit({"a": "2", b"caf\xe9": "x"})
    source = whole.path / ".git"
    if kind == "bare":
        source = tmp_path / "bare.git"
        git(tmp_path, "clone", "--quiet", "--bare", str(whole.path), str(source))
    elif kind == "worktree":
        whole.git("worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "other")
        source = tmp_path / "linked"
    elif kind == "shallow":
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{whole.path}", "shallow")
        source = tmp_path / "shallow" / ".git"
    elif kind == "alternates":
        git(tmp_path, "clone", "--quiet", "--shared", str(whole.path), "shared")
        source = tmp_path / "shared" / ".git"
    elif kind == "packed refs":
        whole.git("pack-refs", "--all")
        whole.git("gc", "--quiet")
    elif kind == "submodule":
        outer = Repository.make(tmp_path / "outer", {"x": "x"})
        outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(whole.path), "inner")
        source = tmp_path / "outer" / ".git" / "modules" / "inner"
    for _ in range(2):
        plain.fetch(source, "+refs/heads/main:refs/codeswarm/theirs/main")
    assert plain.commit("refs/codeswarm/theirs/main") == head
    assert tree_of(plain.path, head) == tree({b"a": "2", b"caf\xe9": "x"})
    assert take(plain, put("b") + END, head).commit


def test_a_fetch_runs_nothing_that_the_repository_configures(plain: Store, tmp_path: Path, home: Path) -> None:
    theirs = Repository.make(tmp_path / "theirs", {"a": "1"})
    canary = f"touch {tmp_path}/fired; false"
    for key in ("core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook", "core.alternateRefsCommand"):
        theirs.git("config", key, canary)
        with (home / ".gitconfig").open("a") as file:
            file.write(f'[uploadpack]\n\tpackObjectsHook = "{canary}"\n')
    for hook in ("post-update", "reference-transaction", "pre-receive"):
        (theirs.path / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\n{canary}\n")
        (theirs.path / ".git" / "hooks" / hook).chmod(0o755)
        shutil.copy(theirs.path / ".git" / "hooks" / hook, plain.path / "hooks")
    plain.fetch(theirs.path / ".git", "+refs/heads/main:refs/x/main")
    assert plain.commit("refs/x/main") == theirs.head
    assert not (tmp_path / "fired").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_a_repository_of_another_owner_can_be_fetched_once_the_person_trusts_it(plain: Store, tmp_path: Path) -> None:
    theirs = Repository.make(tmp_path / "theirs", {"a": "1"})
    head = theirs.head
    for path in [theirs.path, *theirs.path.rglob("*")]:
        os.chown(path, 12345, 12345)
    plain.fetch(theirs.path / ".git", "+refs/heads/main:refs/x/main")
    assert plain.commit("refs/x/main") == head


# ── care ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tidying_keeps_every_object_whoever_reaches_it(store: Store) -> None:
    base = commit_files(store.path, {"a": "x" * 1000})
    kept = []
    for number in range(12):
        stream = put(f"f{number}", b"%d" % number * 500) + put(f"o{number}", b"o%d" % number, ignored=True) + END
        kept.append(take(store, stream, base).commit)  # each but the last is reached by nothing any more
    loose = git(store.path, "hash-object", "-w", "--stdin", stdin=b"reached by nothing").decode().strip()
    before = everything(store)
    packs = store.packs()
    for _ in range(3):
        store.tidy()
        assert everything(store) == before
    assert store.packs() < packs
    assert all(store.has(commit) for commit in kept)
    assert git(store.path, "cat-file", "blob", loose) == b"reached by nothing"
    git(store.path, "fsck", "--strict", "--no-dangling")
    take(store, put("later") + END, base)
    store.tidy()
    assert before[1] < everything(store)[1]


def test_who_borrows_objects_goes_on_while_the_store_is_tidied(plain: Store, tmp_path: Path) -> None:
    base = commit_files(plain.path, {f"f{number}": f"{number}" for number in range(50)})
    for number in range(10):
        take(plain, put(f"f{number}", b"%d" % number) + END, base)
    borrower = Repository.make(tmp_path / "borrower")
    (borrower.path / ".git" / "objects" / "info" / "alternates").write_text(f"{plain.objects}\n")
    borrower.git("reset", "--hard", "--quiet", base)
    with ThreadPoolExecutor(2) as pool:
        tidied = pool.submit(lambda: [plain.tidy() for _ in range(3)])
        while not tidied.done():
            borrower.git("rev-list", "--objects", "--all")
            borrower.git("archive", "--output", str(tmp_path / "whole.tar"), base)
        tidied.result()
    assert borrower.status == ""


def test_syncing_makes_what_was_written_durable_or_says_that_it_could_not(plain: Store) -> None:
    commit_files(plain.path, {"a": "x"})
    plain.sync()
    with pytest.raises(FileNotFoundError):
        Store(plain.path / "none").sync()


def test_nothing_is_replaced_in_what_the_store_reads(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "true"}, ref="refs/x/true")
    fake = commit_files(plain.path, {"a": "fake"}, ref="refs/x/fake")
    plain.set_ref(f"refs/replace/{base}", fake)
    assert plain.file(base, "a") == b"true"
    assert plain.tree(base) != plain.tree(fake)


def test_the_bytes_of_a_put_stay_those_of_the_spool(plain: Store) -> None:
    files: Files = {"a": b"\r\n" * 10, "b": b"\0" * 100, "c": b"", "d": os.urandom(3 << 20)}
    stream = b"".join(put(str(path), content) for path, content in files.items() if isinstance(content, bytes))
    changes: Changes = read_changes(io.BytesIO(stream + END))
    assert [changes.content(each) for each in changes.puts] == list(files.values())
    base = commit_files(plain.path, {})
    assert tree_of(plain.path, take(plain, stream + END, base).commit) == tree(files)


# ── commits that an agent made ───────────────────────────────────────────────────────────────────────────────

KEPT = "refs/codeswarm/agent/s/t/1"


@pytest.fixture
def agents(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "agents", {"a": "x"})


def bundled(agents: Repository, *what: str) -> Path:
    path = agents.path.parent / "commits.bundle"
    agents.git("bundle", "create", "--quiet", str(path), *(what or ("--all", "HEAD")))
    return path


def test_an_agents_commits_are_kept_under_refs_of_their_own(plain: Store, agents: Repository) -> None:
    ours = commit_files(plain.path, {"a": "ours"})
    side = agents.commit({"b": "x"})
    agents.write({"a": "stashed"})
    agents.git("stash", "--quiet")
    agents.git("tag", "-a", "-m", "x", "v1")
    agents.git("update-ref", "refs/codeswarm/wip/s/t/1", side)
    agents.git("checkout", "--quiet", "--detach")
    head = agents.commit({"c": "x"})
    for _ in range(2):
        kept = plain.fetch_bundle(bundled(agents), KEPT)
        assert set(kept) == {
            f"{KEPT}/{name}" for name in ("HEAD", "heads/main", "stash", "tags/v1", "codeswarm/wip/s/t/1")
        }
    assert plain.commit(f"{KEPT}/HEAD") == head
    assert plain.refs("refs/heads", "refs/codeswarm/wip") == {"refs/heads/main": ours}


def test_branches_of_any_name_are_kept_and_can_be_told(plain: Store, agents: Repository) -> None:
    for name in (b"caf\xe9", "ünï".encode(), b'"q"', b"deep/er", b"a'b$c", b"n" * 200, b"@"):
        agents.git("update-ref", os.fsdecode(b"refs/heads/" + name), "HEAD", ok=(0, 128))
    kept = plain.fetch_bundle(bundled(agents), KEPT)
    assert len(kept) == 9
    assert all(name.encode() for name in kept)
    assert f"{KEPT}/heads/ünï" in kept
    assert plain.refs() == plain.refs("refs")
    assert take(plain, put("b") + END, agents.head).commit


def test_branches_that_take_each_others_places_are_kept_all_the_same(plain: Store, agents: Repository) -> None:
    agents.git("branch", "side")
    plain.fetch_bundle(bundled(agents), KEPT)
    agents.git("branch", "-D", "side")
    agents.git("branch", "side/deeper")
    try:
        kept = plain.fetch_bundle(bundled(agents), KEPT)
    except GitError:
        return
    assert f"{KEPT}/heads/side/deeper" in kept


def mktree(agents: Repository, *rows: tuple[str, str, str]) -> str:
    """A commit of a tree that git itself would not write."""
    data = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(blob) for mode, name, blob in rows)
    made = agents.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=data)
    return agents.git("commit-tree", "-m", "x", made)


@pytest.mark.parametrize("what", ["dotgit", "up", "twice", "link", "garbage", "cut off", "empty", "missing", "dates"])
def test_malformed_commits_of_an_agent_are_refused_and_nothing_moves(
    what: str, plain: Store, agents: Repository, tmp_path: Path
) -> None:
    blob = agents.git("rev-parse", "HEAD:a")
    commit_files(plain.path, {"a": "ours"})
    bundle = bundled(agents)
    if what in ("dotgit", "up", "twice", "link"):
        rows = {
            "dotgit": [("100644", ".git", blob)],
            "up": [("100644", "..", blob)],
            "twice": [("100644", "a", blob), ("100644", "a", blob)],
            "link": [("120000", ".gitmodules", blob)],
        }
        agents.git("update-ref", "refs/heads/evil", mktree(agents, *rows[what]))
        bundle = bundled(agents)
    elif what == "dates":
        text = f"tree {agents.git('rev-parse', 'HEAD^{tree}')}\nauthor a <b> never\ncommitter a <b> 1 +0000\n\nx\n"
        evil = agents.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=text.encode())
        agents.git("update-ref", "refs/heads/evil", evil)
        bundle = bundled(agents)
    elif what == "garbage":
        bundle.write_bytes(b"# v2 git bundle\n" + os.urandom(100))
    elif what == "cut off":
        bundle.write_bytes(bundle.read_bytes()[:-30])
    elif what == "empty":
        bundle.write_bytes(b"")
    else:
        agents.commit({"b": "x"})
        bundle = bundled(agents, "HEAD", "--not", "HEAD~1")
    before = plain.refs()
    with pytest.raises(GitError):
        plain.fetch_bundle(bundle, KEPT)
    assert plain.refs() == before
    git(plain.path, "fsck", "--strict", "--no-dangling")


UNFIT_NAMES = [
    b"refs/heads/x\0%(tip)b\0\0update refs/heads/main",
    b"heads/x",
    b"refs/",
    b"refs/../main",
    b"refs/heads/a..b",
    b"refs/heads/.a",
    b"refs/heads/a.lock",
    b"refs/heads/a.lock/b",
    b"refs/heads/a.",
    b"refs/heads/a b",
    b"refs/heads/a\tb",
    b"refs/heads/a\x7fb",
    b"refs/heads/a~1",
    b"refs/heads/a^",
    b"refs/heads/a:b",
    b"refs/heads/a?",
    b"refs/heads/a*",
    b"refs/heads/a[b",
    b"refs/heads/a\\b",
    b"refs/heads/a@{1}",
    b"refs/heads//a",
    b"refs/heads/a/",
    b"FETCH_HEAD",
]


@pytest.mark.parametrize("name", UNFIT_NAMES, ids=repr)
def test_names_of_refs_that_git_would_not_make_are_refused_and_nothing_moves(
    name: bytes, plain: Store, agents: Repository
) -> None:
    commit_files(plain.path, {"a": "ours"})
    bundle = bundled(agents)
    tip = agents.head.encode()
    if b"%" in name:
        name = name % {b"tip": tip}
    bundle.write_bytes(bundle.read_bytes().replace(tip + b" HEAD\n", tip + b" " + name + b"\n", 1))
    before = plain.refs()
    with pytest.raises(GitError):
        plain.fetch_bundle(bundle, KEPT)
    assert plain.refs() == before
