"""Merges in the store, as people know them from git, and what is left of a conflict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain.ids import Commit
from codeswarm.git.identity import ROUTER, Message
from codeswarm.git.merge import Conflict, Merged, leftover_markers, merge
from codeswarm.git.store import Store
from tests.support.repositories import NOW_MS, Files, Link, Script, Submodule, commit_files, own_home, tree, tree_of

LINES = "".join(f"line {number}\n" for number in range(1, 31))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = own_home(tmp_path / "person", monkeypatch)
    with (home / ".gitconfig").open("a") as file:
        file.write("[merge]\n\tconflictStyle = zdiff3\n\trenames = false\n\tdirectoryRenames = false\n")


@pytest.fixture(params=["sha1", "sha256"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store.git", object_format=request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "plain.git")


def sides(store: Store, base: Files, ours: Files, theirs: Files) -> tuple[Commit, Commit]:
    """Two commits on one."""
    root = commit_files(store.path, base, ref="refs/x/base")
    return tuple(commit_files(store.path, side, root, ref=f"refs/x/{n}") for n, side in enumerate((ours, theirs)))  # type: ignore[return-value]


def conflict(store: Store, base: Files, ours: Files, theirs: Files, ticket: str = "t-1") -> Conflict:
    found = merge(store, *sides(store, base, ours, theirs), ticket)
    assert isinstance(found, Conflict)
    return found


def commit_of(store: Store, found: Conflict) -> Commit:
    return store.commit_tree(found.tree, [], Message("conflict"), author=ROUTER, at_ms=NOW_MS)


# ── clean ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_edits_of_different_places_come_together(store: Store) -> None:
    ours, theirs = sides(
        store,
        {"a": LINES, "b": "x", "gone": "x", "tool": "x"},
        {"a": LINES.replace("line 3\n", "ours\n"), "new-ours": "x", "gone": None},
        {"a": LINES.replace("line 27\n", "theirs\n"), "new-theirs": Link("a"), "tool": Script("x")},
    )
    found = merge(store, ours, theirs, "t")
    assert isinstance(found, Merged)
    text = LINES.replace("line 3\n", "ours\n").replace("line 27\n", "theirs\n")
    assert tree_of(store.path, found.tree) == tree(
        {"a": text, "b": "x", "tool": Script("x"), "new-ours": "x", "new-theirs": Link("a")}
    )
    assert found.tree == store.tree(found.tree)


def test_an_edit_follows_a_rename_of_the_other_side(plain: Store) -> None:
    ours, theirs = sides(
        plain, {"old/name": LINES, "x": "x"}, {"old/name": None, "new/name": LINES}, {"old/name": LINES + "more\n"}
    )
    found = merge(plain, ours, theirs)
    assert isinstance(found, Merged)
    assert tree_of(plain.path, found.tree) == tree({"new/name": LINES + "more\n", "x": "x"})


def test_the_same_change_on_both_sides_is_one_change(plain: Store) -> None:
    ours, theirs = sides(plain, {"a": "x"}, {"a": "y", "b": "z"}, {"a": "y", "b": "z"})
    found = merge(plain, ours, theirs)
    assert isinstance(found, Merged)
    assert found.tree == plain.tree(ours)


def test_what_is_behind_or_ahead_merges_into_what_is_ahead(plain: Store) -> None:
    base = commit_files(plain.path, {"a": "x"})
    ahead = commit_files(plain.path, {"a": "y"}, base)
    assert merge(plain, base, ahead) == Merged(plain.tree(ahead)) == merge(plain, ahead, base)


def test_histories_without_a_common_beginning_merge_as_if_from_nothing(plain: Store) -> None:
    one = commit_files(plain.path, {"a": "x", "same": "s"}, ref="refs/x/1")
    two = commit_files(plain.path, {"b": "x", "same": "s"}, ref="refs/x/2")
    found = merge(plain, one, two)
    assert isinstance(found, Merged)
    assert tree_of(plain.path, found.tree) == tree({"a": "x", "b": "x", "same": "s"})


def test_line_endings_and_attributes_change_no_byte_of_a_merge(plain: Store) -> None:
    dos = LINES.replace("\n", "\r\n")
    base: dict[str, Any] = {
        ".gitattributes": "* text=auto eol=lf conflict-marker-size=40\n*.d merge=driver\n*.id ident\n",
        "a": dos,
        "b.id": "$Id$\n" + LINES,
        "c.d": LINES,
    }
    ours, theirs = sides(
        plain,
        base,
        {"a": dos.replace("line 2\r", "ours\r"), "b.id": "$Id: 1 $\n" + LINES, "c.d": "ours\n" + LINES},
        {"a": dos.replace("line 29\r", "theirs\r"), "b.id": "$Id$\n" + LINES + "x\n", "c.d": LINES + "theirs\n"},
    )
    found = merge(plain, ours, theirs)
    assert isinstance(found, Merged)
    merged = tree_of(plain.path, found.tree)
    assert merged[b"a"][1].decode() == dos.replace("line 2\r", "ours\r").replace("line 29\r", "theirs\r")
    assert merged[b"b.id"][1].decode() == "$Id: 1 $\n" + LINES + "x\n"
    assert merged[b"c.d"][1].decode() == "ours\n" + LINES + "theirs\n"


# ── conflicts ────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_sides_of_a_conflict_carry_names_that_mean_something(store: Store) -> None:
    found = conflict(store, {"a": "x\n", "b": "x\n"}, {"a": "ours\n"}, {"a": "theirs\n", "b": "y\n"}, "ticket-7.a")
    text = "<<<<<<< codeswarm-integration\nours\n=======\ntheirs\n>>>>>>> codeswarm-ticket-ticket-7.a\n"
    assert tree_of(store.path, found.tree) == tree({"a": text, "b": "y\n"})
    assert found.files == ("a",)
    assert found.detail == "CONFLICT (content): Merge conflict in a"
    assert store.refs("refs/codeswarm-integration", "refs/codeswarm-ticket-ticket-7.a") == {}


def test_a_branch_of_any_name_can_be_the_other_side(plain: Store) -> None:
    for branch in ("feature/x", "main", "a-very-long-name" * 10, "ünïcode", "v1.0"):
        found = conflict(plain, {"a": "x\n"}, {"a": "1\n"}, {"a": "2\n"}, branch)
        assert f">>>>>>> codeswarm-ticket-{branch}\n".encode() in tree_of(plain.path, found.tree)[b"a"][1]


CONFLICTS: dict[str, tuple[Files, Files, Files, set[str], str]] = {
    "both added": ({"x": "x"}, {"a": "1\n"}, {"a": "2\n"}, {"a"}, "add/add"),
    "modified and deleted": ({"a": LINES}, {"a": LINES + "y\n"}, {"a": None, "x": "x"}, {"a"}, "modify/delete"),
    "deleted and modified": ({"a": LINES}, {"a": None, "x": "x"}, {"a": LINES + "y\n"}, {"a"}, "modify/delete"),
    "renamed twice": ({"a": LINES}, {"a": None, "b": LINES}, {"a": None, "c": LINES}, {"a", "b", "c"}, "rename/rename"),
    "renamed and deleted": (
        {"a": LINES},
        {"a": None, "b": LINES + "y\n"},
        {"a": None, "x": "x"},
        {"b"},
        "rename/delete",
    ),
    "binary": ({"a": b"\0x"}, {"a": b"\0y"}, {"a": b"\0z"}, {"a"}, "content"),
    "modes": ({"a": LINES}, {"b": Script("s")}, {"b": "s"}, {"b"}, "mode|add/add|content"),
    "file and folder": ({"x": "x"}, {"a": "file"}, {"a/b": "x"}, {"a~codeswarm-integration"}, "file/directory"),
    "file and link": ({"x": "x"}, {"a": "file"}, {"a": Link("x")}, {"a", "a~codeswarm-integration"}, "distinct types"),
    "submodules": (
        {"s": Submodule("1" * 40)},
        {"s": Submodule("2" * 40)},
        {"s": Submodule("3" * 40)},
        {"s"},
        "submodule",
    ),
    "names": (
        {"new\nline": "x\n", b"caf\xe9": "x\n", '"q"': "x\n", "5": "x\n", "a\tb": "x\n"},
        {"new\nline": "1\n", b"caf\xe9": "1\n", '"q"': "1\n", "5": "1\n", "a\tb": "1\n"},
        {"new\nline": "2\n", b"caf\xe9": "2\n", '"q"': "2\n", "5": "2\n", "a\tb": "2\n"},
        {"new\nline", '"caf\\351"', '"\\"q\\""', "5", "a\tb"},
        "content",
    ),
}


@pytest.mark.parametrize("kind", CONFLICTS)
def test_every_kind_of_conflict_is_a_value_with_its_files_and_gits_word(kind: str, plain: Store) -> None:
    base, ours, theirs, files, word = CONFLICTS[kind]
    found = conflict(plain, base, ours, theirs)
    assert set(found.files) == files
    assert any(f"CONFLICT ({each}" in found.detail for each in word.split("|")), found.detail
    assert "Auto-merging" not in found.detail
    assert "\0" not in found.detail
    commit = commit_of(plain, found)
    assert plain.has(plain.tree(commit)) or kind == "submodules"
    assert all(path.encode() for path in found.files)


def test_the_names_of_many_merges_at_once_are_not_mixed_up(plain: Store) -> None:
    root = commit_files(plain.path, {"a": "x\n"}, ref="refs/x/base")
    tips = [commit_files(plain.path, {"a": f"{n}\n"}, root, ref=f"refs/x/{n}") for n in range(8)]

    def one(number: int) -> bytes:
        found = merge(plain, tips[number % 8], tips[(number + 1) % 8], f"t{number % 3}")
        assert isinstance(found, Conflict)
        return tree_of(plain.path, found.tree)[b"a"][1]

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(one, range(24)))
    for number, text in enumerate(texts):
        assert text.decode() == (
            f"<<<<<<< codeswarm-integration\n{number % 8}\n=======\n{(number + 1) % 8}\n"
            f">>>>>>> codeswarm-ticket-t{number % 3}\n"
        )


# ── markers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_exactly_our_own_markers_are_found_where_they_were_left(plain: Store) -> None:
    found = conflict(
        plain,
        {"a": LINES, "new\nline": "x\n", b"caf\xe9": "x\n", "docs": "x"},
        {"a": LINES.replace("line 5\n", "1\n").replace("line 20\n", "1\n"), "new\nline": "1\n", b"caf\xe9": "1\n"},
        {"a": LINES.replace("line 5\n", "2\n").replace("line 20\n", "2\n"), "new\nline": "2\n", b"caf\xe9": "2\n"},
    )
    commit = commit_of(plain, found)
    everything = leftover_markers(plain, commit, found.files)
    assert everything == (
        *("a:5", "a:9", "a:24", "a:28"),
        *('"caf\\351":1', '"caf\\351":5', "new\nline:1", "new\nline:5"),
    )
    half = commit_files(
        plain.path,
        {
            "a": "<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> branch\nOf <<<<<<< codeswarm-integration in a line\n=======\n",
            "new\nline": "x\r\n>>>>>>> codeswarm-ticket-t-1\r\n",
            b"caf\xe9": None,
        },
        commit,
        ref="refs/x/half",
    )
    assert leftover_markers(plain, half, found.files) == ("new\nline:2",)
    assert leftover_markers(plain, half, ("nowhere", "docs")) == ()
    assert leftover_markers(plain, half, ()) == ()


def test_the_marker_of_a_renamed_file_is_found_too(plain: Store) -> None:
    found = conflict(plain, {"old": LINES}, {"old": None, "new": LINES + "ours\n"}, {"old": LINES + "theirs\n"})
    assert found.files == ("new",)
    assert len(leftover_markers(plain, commit_of(plain, found), found.files)) == 2


def test_a_file_that_git_put_aside_under_a_sides_name_counts_as_a_marker(plain: Store) -> None:
    found = conflict(plain, {"x": "x"}, {"a": "file"}, {"a/b": "x"}, "t/u")
    assert leftover_markers(plain, commit_of(plain, found), found.files) == ("a~codeswarm-integration:1",)
    other = conflict(plain, {"x": "x"}, {"a/b": "x"}, {"a": "file"}, "t/u")
    assert leftover_markers(plain, commit_of(plain, other), other.files) == ("a~codeswarm-ticket-t_u:1",)
    solved = commit_files(plain.path, {"a~codeswarm-ticket-t_u": None}, commit_of(plain, other), ref="refs/x/solved")
    assert leftover_markers(plain, solved, other.files) == ()
