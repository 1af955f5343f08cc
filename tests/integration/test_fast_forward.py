"""Moving the person's branch forward: nothing of theirs is touched, whatever stands there and whoever is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain.ids import Commit
from codeswarm.engine.fast_forward import Blocked, Elsewhere, Moved, fast_forward, files_in_the_way, held_open
from codeswarm.engine.project import Project
from codeswarm.errors import GitError
from tests.support.repositories import (
    Files,
    Link,
    Repository,
    Script,
    Tree,
    commit_files,
    found_in,
    git,
    own_home,
    plant,
    tree,
)

START: dict[str, Any] = {"a": "1\n", "b": "1\n", "dir/c": "1\n", "gone": "1\n", "mine": "1\n"}
CHANGES: dict[str, Any] = {
    "a": "2\n",
    "dir/c": "2\n",
    "gone": None,
    "new/file": "2\n",
    "tool": Script("2"),
    "link": Link("a"),
}
DONE = {**START, **CHANGES}

Outcome = Moved | Blocked | Elsewhere


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_home(tmp_path / "person", monkeypatch)


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "theirs", START)


def ahead(repository: Repository, files: Files, *, of: str = "main") -> Commit:
    """What is to be saved: a commit that no branch of theirs holds yet."""
    base = repository.git("rev-parse", of)
    return commit_files(repository.path / ".git", files, base, ref="refs/tags/checkpoint/2030-01-01-1")


def forward(repository: Repository, new: Commit, branch: str = "main", *, again: bool = False) -> Outcome:
    project = Project.find(repository.path)
    return fast_forward(project, project.checked_out().get(branch), branch, new, again=again)


def contents(repository: Repository) -> Tree:
    return found_in(repository.path)


def hooked(repository: Repository, tmp_path: Path) -> None:
    """Hooks of theirs, each of which would tell that it ran."""
    for hook in ("post-merge", "post-checkout", "pre-merge-commit", "reference-transaction", "post-index-change"):
        path = repository.path / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/fired\nexit 1\n")
        path.chmod(0o755)


# ── where the branch is checked out, and where not ───────────────────────────────────────────────────────────


def test_a_branch_that_is_checked_out_moves_with_its_files(theirs: Repository, tmp_path: Path) -> None:
    new = ahead(theirs, CHANGES)
    hooked(theirs, tmp_path)
    assert forward(theirs, new) == Moved("fast_forward")
    assert not (tmp_path / "fired").exists()
    assert theirs.head == new
    assert contents(theirs) == tree(DONE)
    assert forward(theirs, new) == Moved("already_there") == forward(theirs, new, again=True)
    assert theirs.status == ""


def test_a_branch_in_another_work_tree_moves_there(theirs: Repository, tmp_path: Path) -> None:
    theirs.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "other tree"))
    new = ahead(theirs, CHANGES)
    hooked(theirs, tmp_path)
    assert forward(theirs, new, "side") == Moved("fast_forward")
    assert not (tmp_path / "fired").exists()
    other = Repository(tmp_path / "other tree")
    assert (other.head, other.status, contents(other)) == (new, "", tree(DONE))
    assert contents(theirs) == tree(START)
    assert theirs.status == ""


def test_a_branch_that_nobody_has_checked_out_moves_alone(theirs: Repository, tmp_path: Path) -> None:
    theirs.git("branch", "side")
    new = ahead(theirs, CHANGES)
    hooked(theirs, tmp_path)
    assert forward(theirs, new, "side") == Moved("branch")
    assert theirs.git("rev-parse", "side") == new
    assert forward(theirs, new, "side") == Moved("already_there")
    assert not (tmp_path / "fired").exists()
    assert (theirs.status, contents(theirs)) == ("", tree(START))


def test_a_branch_that_does_not_exist_is_made(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    for branch in ("fresh", "deep/er/branch", "v1.0-ünï"):
        assert forward(theirs, new, branch) == Moved("branch")
        assert theirs.git("rev-parse", f"refs/heads/{branch}") == new
    assert contents(theirs) == tree(START)


def test_a_branch_without_a_commit_is_filled_where_it_is_checked_out(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    theirs.git("checkout", "--quiet", "--orphan", "fresh")
    theirs.git("rm", "-rfq", ".")
    theirs.write({"untracked": "x"})
    assert forward(theirs, new, "fresh", again=True) == Moved("fast_forward")
    assert (theirs.head, theirs.status) == (new, "?? untracked")


def test_a_bare_repository_has_nothing_but_its_branch(theirs: Repository, tmp_path: Path) -> None:
    new = ahead(theirs, CHANGES)
    git(tmp_path, "clone", "--quiet", "--mirror", str(theirs.path), "bare.git")
    bare = Repository(tmp_path / "bare.git")
    assert forward(bare, new) == Moved("branch")
    assert bare.git("rev-parse", "main") == new


@pytest.mark.parametrize("how", ["submodule", "separate git directory"])
def test_a_checkout_whose_git_directory_stands_elsewhere_is_found(how: str, theirs: Repository, tmp_path: Path) -> None:
    if how == "submodule":
        outer = Repository.make(tmp_path / "outer", {"x": "x"})
        outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(theirs.path), "inner")
        inner = Repository(outer.path / "inner")
        git_dir = outer.path / ".git" / "modules" / "inner"
    else:
        git_dir = tmp_path / "elsewhere.git"
        theirs.git("init", "--quiet", f"--separate-git-dir={git_dir}")
        inner = theirs
    base = inner.git("rev-parse", "main")
    new = commit_files(git_dir, CHANGES, base, ref="refs/tags/checkpoint/1")
    assert forward(inner, new) == Moved("fast_forward")
    assert (inner.head, inner.status, contents(inner)) == (new, "", {**tree(DONE), **(dot_git(inner))})


def dot_git(repository: Repository) -> Tree:
    """`found_in` leaves the top's own git directory out, and so a file in its place."""
    assert (repository.path / ".git").is_file()
    return {}


def test_a_repository_of_sha256_objects_moves_alike(tmp_path: Path) -> None:
    theirs = Repository.make(tmp_path / "theirs", START, "--object-format=sha256")
    new = ahead(theirs, CHANGES)
    assert forward(theirs, new, "fresh") == Moved("branch")
    plant(theirs.path, {"a": "2\n", "new/file": "2\n"})
    (theirs.path / ".git" / "index.lock").touch()
    assert forward(theirs, new, again=True) == Moved("fast_forward")
    assert (theirs.status, contents(theirs)) == ("", tree(DONE))


def test_a_checkout_that_is_not_there_blocks_in_clear_words(theirs: Repository, tmp_path: Path) -> None:
    theirs.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "other"))
    (tmp_path / "other").rename(tmp_path / "moved")
    new = ahead(theirs, CHANGES)
    blocked = forward(theirs, new, "side", again=True)
    assert isinstance(blocked, Blocked)
    assert "git worktree prune" in blocked.why
    theirs.git("worktree", "prune")
    assert forward(theirs, new, "side") == Moved("branch")


def test_a_checkout_without_its_git_file_never_lets_git_act_on_the_repository_around_it(theirs: Repository) -> None:
    theirs.git("worktree", "add", "--quiet", "-b", "side", str(theirs.path / "inside"))
    (theirs.path / "inside" / ".git").unlink()
    new = ahead(theirs, CHANGES)
    blocked = forward(theirs, new, "side", again=True)
    assert isinstance(blocked, Blocked)
    assert "git worktree repair" in blocked.why
    assert theirs.git("rev-parse", "main", "side").split() == [theirs.head] * 2
    assert theirs.head != new


def test_who_switched_to_another_branch_meanwhile_keeps_it(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    project = Project.find(theirs.path)
    theirs.git("switch", "--quiet", "--create", "other")
    blocked = fast_forward(project, theirs.path, "main", new, again=False)
    assert isinstance(blocked, Blocked)
    assert theirs.git("rev-parse", "other") != new
    assert (theirs.status, contents(theirs)) == ("", tree(START))


@pytest.mark.parametrize("busy", ["rebase", "bisect"])
def test_a_branch_in_the_middle_of_something_does_not_move(busy: str, theirs: Repository) -> None:
    theirs.commit({"a": "middle\n"})
    theirs.commit({"a": "last\n"})
    new = ahead(theirs, {"new": "x"})
    if busy == "rebase":
        theirs.git("-c", "sequence.editor=sed -i s/pick/edit/", "rebase", "--quiet", "--interactive", "HEAD~2")
    else:
        theirs.git("bisect", "start", "HEAD", "HEAD~2")
    before = theirs.git("rev-parse", "main")
    blocked = forward(theirs, new)
    assert isinstance(blocked, Blocked)
    assert theirs.git("rev-parse", "main") == before


# ── what is theirs ───────────────────────────────────────────────────────────────────────────────────────────


def test_changes_that_are_not_in_the_way_stay(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    theirs.write({"mine": "edited\n", "b": "staged\n", "untracked": "x"})
    theirs.git("add", "b")
    assert forward(theirs, new, again=True) == Moved("fast_forward")
    assert theirs.status == "M  b\n M mine\n?? untracked"
    assert contents(theirs) == tree({**DONE, "mine": "edited\n", "b": "staged\n", "untracked": "x"})


IN_THE_WAY: dict[str, tuple[Files, set[str]]] = {
    "edited": ({"a": "mine\n"}, {"a"}),
    "several": ({"a": "mine\n", "dir/c": "mine\n", "new/file": "mine\n", "gone": "mine\n"}, {"a", "dir/c", "gone"}),
    "untracked": ({"new/file": "mine\n", "tool": "mine\n"}, {"new/file", "tool"}),
    "emptied": ({"a": ""}, {"a"}),
    "removed by the move": ({"gone": "mine\n"}, {"gone"}),
    "folder in a file's place": ({"tool/x": "mine\n"}, {"tool"}),
    "file in a folder's place": ({"new": "mine\n"}, {"new"}),
    "link": ({"a": Link("b")}, {"a"}),
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("case", IN_THE_WAY)
def test_changes_that_are_in_the_way_block_and_nothing_is_touched(
    case: str, staged: bool, again: bool, theirs: Repository
) -> None:
    new = ahead(theirs, CHANGES)
    change, named = IN_THE_WAY[case]
    theirs.write(change)
    if staged:
        theirs.git("add", "--all")
    before, status = contents(theirs), theirs.status
    head = theirs.head
    blocked = forward(theirs, new, again=again)
    assert isinstance(blocked, Blocked)
    assert blocked.why
    assert set(blocked.files) >= named or staged
    assert (contents(theirs), theirs.status, theirs.head) == (before, status, head)
    assert theirs.git("stash", "list") == ""


def test_ignored_files_in_the_way_are_not_overwritten_either(theirs: Repository) -> None:
    theirs.commit({".gitignore": "new/\n"})
    new = ahead(theirs, CHANGES)
    theirs.write({"new/file": "precious\n"})
    outcome = forward(theirs, new)
    assert isinstance(outcome, Blocked), "git itself would overwrite it"
    assert outcome.files == ("new/file",)
    assert (theirs.path / "new" / "file").read_text() == "precious\n"
    theirs.write({"new/file": None})
    assert forward(theirs, new) == Moved("fast_forward")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_was_told_to_overlook_are_not_overwritten(flag: str, theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    theirs.git("update-index", flag, "a", "gone")
    theirs.write({"a": "mine\n", "gone": "mine\n"})
    for again in (False, True):
        blocked = forward(theirs, new, again=again)
        assert isinstance(blocked, Blocked)
        assert set(blocked.files) == {"a", "gone"}
    assert contents(theirs) == tree({**START, "a": "mine\n", "gone": "mine\n"})


def test_names_in_the_way_are_told_whatever_they_are(theirs: Repository) -> None:
    names = ["new\nline", "tab\t", b"caf\xe9", '"q"', " lead", "a b", "-x", "é"]
    files: dict[bytes, Any] = {os.fsencode(name): "x" for name in names}
    new = ahead(theirs, files)
    plant(theirs.path, dict.fromkeys(files, "mine"))
    blocked = forward(theirs, new)
    assert isinstance(blocked, Blocked)
    assert set(blocked.files) == {"new\nline", "tab\t", '"caf\\351"', '"\\"q\\""', " lead", "a b", "-x", "é"}


def test_files_are_read_off_gits_refusal() -> None:
    said = "error: Your local changes …\n\ta\n\tb c\nPlease commit\nAborting\n"
    assert files_in_the_way(said) == ("a", "b c")
    assert files_in_the_way("fatal: nothing\n") == ()


def test_a_branch_that_has_gone_elsewhere_stays_there(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    theirs.git("branch", "side")
    head = theirs.commit({"mine": "2\n"})
    theirs.git("branch", "--force", "side", head)
    for branch in ("main", "side"):
        for again in (False, True):
            assert forward(theirs, new, branch, again=again) == Elsewhere()
            assert theirs.git("rev-parse", branch) == head
    assert contents(theirs) == tree({**START, "mine": "2\n"})


def test_a_branch_that_is_ahead_already_stays_there(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    theirs.git("merge", "--quiet", "--ff-only", new)
    head = theirs.commit({"mine": "2\n"})
    assert forward(theirs, new) == Elsewhere()
    assert theirs.head == head


CONFIGURATIONS = [
    "merge.autoStash=true",
    "merge.ff=false",
    "branch.main.mergeOptions=--squash",
    "branch.main.mergeOptions=--no-commit --no-ff --autostash",
    "merge.stat=true",
    "core.quotePath=true",
    "status.renames=false",
    "submodule.recurse=true",
    "fetch.prune=true",
    "fetch.recurseSubmodules=true",
    "commit.gpgSign=true",
    "core.logAllRefUpdates=always",
    "protocol.file.allow=never",
    "core.untrackedCache=true",
    "index.version=4",
    "core.splitIndex=true",
    "feature.manyFiles=true",
    "transfer.fsckObjects=true",
    "push.default=nothing",
    "pull.rebase=true",
    "advice.statusHints=false",
]


@pytest.mark.parametrize("setting", CONFIGURATIONS)
def test_whatever_a_person_has_configured_it_is_a_fast_forward(setting: str, theirs: Repository) -> None:
    key, _, value = setting.partition("=")
    theirs.git("config", key, value)
    theirs.git("branch", "side")
    new = ahead(theirs, CHANGES)
    theirs.write({"mine": "edited\n"})
    assert forward(theirs, new, "side") == Moved("branch")
    assert forward(theirs, new) == Moved("fast_forward")
    assert theirs.head == new == theirs.git("rev-parse", "side")
    assert (theirs.status, theirs.git("stash", "list")) == (" M mine", "")
    third = ahead(theirs, {"mine": "3\n"})
    assert isinstance(forward(theirs, third), Blocked)
    assert (theirs.path / "mine").read_text() == "edited\n"
    assert (theirs.head, theirs.git("stash", "list")) == (new, "")


def test_who_wants_signatures_gets_none_and_is_told(theirs: Repository) -> None:
    theirs.git("config", "merge.verifySignatures", "true")
    blocked = forward(theirs, ahead(theirs, CHANGES))
    assert isinstance(blocked, Blocked)
    assert "GPG signature" in blocked.why
    assert contents(theirs) == tree(START)


FILTERS = (
    '[core]\n\tautocrlf = true\n[filter "upper"]\n\tsmudge = "tr a-z A-Z"\n\tclean = "tr A-Z a-z"\n\trequired = true\n'
)


def test_their_own_filters_and_line_endings_are_respected(theirs: Repository, home: Path) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write(FILTERS)
    theirs.commit({".gitattributes": "*.up filter=upper\n*.unix eol=lf\n"})
    new = ahead(theirs, {"new.txt": "two\nlines\n", "x.up": "loud\n", "y.unix": "a\nb\n"})
    assert forward(theirs, new) == Moved("fast_forward")
    found = contents(theirs)
    assert found[b"new.txt"][1] == b"two\r\nlines\r\n"
    assert found[b"x.up"][1] == b"LOUD\r\n"
    assert found[b"y.unix"][1] == b"a\nb\n"
    assert theirs.status == ""


# ── after a kill ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_killed_move_left_is_taken_up(theirs: Repository) -> None:
    new = ahead(theirs, {**CHANGES, "late": "2\n", "late-dir/x": "2\n"})
    (theirs.path / ".git" / "index.lock").write_bytes(b"half an index")
    (theirs.path / ".git" / "refs" / "heads" / "main.lock").touch()
    plant(theirs.path, {"a": "2\n", "new/file": "2\n", "gone": None, "link": Link("a")})
    (theirs.path / "late").write_text("")
    (theirs.path / "dir" / "c").write_text("2")
    theirs.write({"mine": "edited\n"})
    assert isinstance(forward(theirs, new), Blocked), "a first try takes nothing for its own"
    assert forward(theirs, new, again=True) == Moved("fast_forward")
    assert (theirs.status, theirs.head) == (" M mine", new)
    assert contents(theirs) == tree({**DONE, "late": "2\n", "late-dir/x": "2\n", "mine": "edited\n"})


def test_files_and_folders_that_had_changed_places_are_taken_up(theirs: Repository) -> None:
    theirs.commit(
        {"file": "1\n", "folder/x": "1\n", "link": Link("a"), "odd\nname": "1\n", b"caf\xe9".decode("latin-1"): "1"}
    )
    changes: dict[str, Any] = {
        "file": None,
        "file/x": "2\n",
        "folder/x": None,
        "folder": "2\n",
        "link": "2\n",
        "odd\nname": "2\n",
        '"q"': "2\n",
    }
    new = ahead(theirs, changes)
    (theirs.path / ".git" / "index.lock").touch()
    plant(theirs.path, {"file": None, "folder/x": None})
    (theirs.path / "folder").rmdir()
    plant(theirs.path, {key: value for key, value in changes.items() if value is not None})
    assert forward(theirs, new, again=True) == Moved("fast_forward")
    assert (theirs.status, theirs.head) == ("", new)


def test_what_is_theirs_is_never_taken_for_a_rest_of_ours(theirs: Repository) -> None:
    new = ahead(theirs, {"a": "2\nlong content\n", "new": "2\n", "b": "2\n"})
    (theirs.path / ".git" / "index.lock").touch()
    theirs.write({"a": "2\nmine\n", "new": "mine\n", "b": "2\n"})
    blocked = forward(theirs, new, again=True)
    assert isinstance(blocked, Blocked)
    assert blocked.files == ("a", "new")
    assert contents(theirs) == tree({**START, "a": "2\nmine\n", "new": "mine\n", "b": "2\n"})
    assert not (theirs.path / ".git" / "index.lock").exists()


def test_without_a_lock_left_behind_the_beginning_of_a_file_is_theirs(theirs: Repository) -> None:
    new = ahead(theirs, {"a": "2\nlong content\n"})
    theirs.write({"a": "2\n"})
    assert isinstance(forward(theirs, new, again=True), Blocked)
    assert (theirs.path / "a").read_text() == "2\n"


def test_a_lock_that_somebody_holds_is_left_to_them(theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    lock = theirs.path / ".git" / "index.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert held_open(lock)
        assert isinstance(forward(theirs, new, again=True), Blocked)
        assert lock.exists()
    assert not held_open(lock)
    assert not held_open(theirs.path / "none")
    assert forward(theirs, new, again=True) == Moved("fast_forward")


def test_a_commit_that_waits_for_its_message_keeps_its_lock(theirs: Repository, tmp_path: Path) -> None:
    new = ahead(theirs, CHANGES)
    theirs.write({"mine": "edited\n"})
    with editing(theirs, tmp_path) as finish:
        assert (theirs.path / ".git" / "index.lock").exists()
        assert isinstance(forward(theirs, new, again=True), Blocked)
        assert (theirs.path / ".git" / "index.lock").exists()
        finish()
    assert theirs.git("log", "-1", "--format=%s") == "By hand"
    assert forward(theirs, new, again=True) == Elsewhere()


@contextlib.contextmanager
def editing(repository: Repository, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A `git commit -a` of the person's, in whose editor they are. No child of ours: a shell stands between."""
    begun, done, editor = tmp_path / "begun", tmp_path / "done", tmp_path / "editor"
    os.mkfifo(begun)
    os.mkfifo(done)
    plant(tmp_path, {"editor": Script(f'#!/bin/sh\necho > "{begun}"\ncat "{done}" > "$1"\n')})
    command = f"cd '{repository.path}'; GIT_EDITOR='{editor}' git commit -a --quiet; exit $?"
    process = subprocess.Popen(["sh", "-c", command], start_new_session=True)

    def finish() -> None:
        done.write_text("By hand\n")
        assert process.wait(30) == 0

    try:
        begun.read_text()
        yield finish
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def test_a_lock_on_the_branch_alone_is_taken_up_too(theirs: Repository) -> None:
    theirs.git("branch", "side")
    new = ahead(theirs, CHANGES)
    lock = theirs.path / ".git" / "refs" / "heads" / "side.lock"
    lock.touch()
    blocked = forward(theirs, new, "side")
    assert isinstance(blocked, Blocked), "it is where it was"
    assert "side.lock" in blocked.why
    assert forward(theirs, new, "side", again=True) == Moved("branch")
    assert not lock.exists()


MANY = 400


def large(repository: Repository) -> tuple[Commit, dict[str, Any]]:
    """A move that writes many files, changes many and removes many, and what it changes."""
    before: dict[str, Any] = {f"d{n % 7}/f{n:03}": f"old {n}\n" * 50 for n in range(MANY)} | {"mine": "1\n"}
    changes: dict[str, Any] = {f"d{n % 7}/f{n:03}": f"new {n}\n" * 50 for n in range(0, MANY, 2)}
    changes |= {f"d{n % 7}/f{n:03}": None for n in range(1, MANY, 6)}
    changes |= {f"d{n % 7}/new{n:03}": Script(f"{n}\n" * 50) for n in range(0, MANY, 3)}
    changes = {path: content for path, content in changes.items() if not path.startswith("d3/")}
    changes |= {path: None for path in before if path.startswith("d3/")}
    changes |= {"d3": "a file in the folder's place\n" * 50, "z": "last\n"}
    repository.commit(before)
    return ahead(repository, changes), changes


def kill_at(repository: Repository, path: str, flag: Path) -> None:
    """Let the first git that writes a file be killed by the filter that it runs for it."""
    (repository.path / ".git" / "info").mkdir(exist_ok=True)
    (repository.path / ".git" / "info" / "attributes").write_text(f"{path} filter=kill\n")
    flag.touch()
    repository.git("config", "filter.kill.smudge", f"if [ -e {flag} ]; then rm {flag}; kill -9 $PPID; fi; cat")


def finished(repository: Repository, new: Commit) -> None:
    repository.write({"mine": "edited\n"})
    assert forward(repository, new, again=True) in (Moved("fast_forward"), Moved("already_there"))
    assert (repository.head, repository.status) == (new, " M mine")
    assert list((repository.path / ".git").rglob("*.lock")) == []


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_git_killed_while_it_writes_is_taken_up(moment: float, theirs: Repository, home: Path) -> None:
    """Their own filter kills the git that runs it, at a chosen moment; half of that file is written by hand."""
    new, changes = large(theirs)
    written = sorted(path for path, content in changes.items() if content is not None)
    last = written[int(moment * len(written))]
    kill_at(theirs, last, home / "flag")
    done = subprocess.run(["git", "merge", "--ff-only", new], cwd=theirs.path, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (theirs.path / ".git" / "index.lock").exists()
    half = theirs.path / last
    half.parent.mkdir(exist_ok=True)
    half.unlink(missing_ok=True)
    half.write_bytes(str(getattr(changes[last], "text", changes[last])).encode()[:33])
    finished(theirs, new)


@pytest.mark.parametrize("writes", [1, 60, 200, 330])
def test_a_git_killed_at_any_moment_is_taken_up(writes: int, theirs: Repository) -> None:
    """A real kill, as soon as some number of the new files can be seen."""
    new, changes = large(theirs)
    added = sorted(path for path in changes if "/new" in path)
    watched = [theirs.path / path for path in added][: max(writes * len(added) // 334, 1)]
    process = subprocess.Popen(
        ["git", "merge", "--ff-only", "--quiet", new], cwd=theirs.path, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not watched[-1].exists():
        pass
    process.kill()
    process.wait()
    finished(theirs, new)


def test_a_git_killed_under_our_own_hands_is_run_again(theirs: Repository, home: Path) -> None:
    new, changes = large(theirs)
    middle = sorted(path for path, content in changes.items() if content is not None)[100]
    kill_at(theirs, middle, home / "flag")
    assert forward(theirs, new) == Moved("fast_forward")
    assert not (home / "flag").exists()
    assert (theirs.head, theirs.status) == (new, "")


def test_a_git_that_is_killed_again_and_again_is_given_up_loudly(theirs: Repository) -> None:
    new = ahead(theirs, {**CHANGES, ".gitattributes": "x filter=kill\n", "x": "y"})
    theirs.git("config", "filter.kill.smudge", "kill -9 $PPID")
    outcome = forward(theirs, new)
    assert isinstance(outcome, Blocked)
    assert outcome.why
    theirs.git("config", "filter.kill.smudge", "cat")
    assert forward(theirs, new, again=True) == Moved("fast_forward")
    assert theirs.status == ""


@pytest.mark.parametrize("step", ["index written", "branch moved"])
def test_a_kill_between_gits_own_steps_is_taken_up(step: str, theirs: Repository) -> None:
    new = ahead(theirs, CHANGES)
    theirs.git("read-tree", "-m", "-u", "HEAD", new)
    (theirs.path / ".git" / "HEAD.lock").touch()
    if step == "branch moved":
        (theirs.path / ".git" / "refs" / "heads" / "main").write_text(f"{new}\n")
    assert forward(theirs, new, again=True) in (Moved("fast_forward"), Moved("already_there"))
    assert (theirs.head, theirs.status, contents(theirs)) == (new, "", tree(DONE))
    assert list((theirs.path / ".git").glob("*.lock")) == []


def test_half_a_move_with_their_filters_and_line_endings_is_taken_up(theirs: Repository, home: Path) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write(FILTERS)
    theirs.commit({".gitattributes": "*.up filter=upper\n", "x.up": "small\n"})
    theirs.git("rm", "-q", "--cached", "-r", ".")
    theirs.git("reset", "--quiet", "--hard")
    new = ahead(theirs, {"x.up": "louder\n", "y.up": "new\n", "dos": "1\n2\n", "half": "1\n2\n"})
    (theirs.path / ".git" / "index.lock").touch()
    plant(theirs.path, {"x.up": b"LOUDER\r\n", "y.up": b"NE", "dos": b"1\r\n2\r\n", "half": b"1\r"})
    assert forward(theirs, new, again=True) == Moved("fast_forward")
    assert (theirs.status, theirs.head) == ("", new)
    assert contents(theirs)[b"y.up"][1] == b"NEW\r\n"
    assert contents(theirs)[b"half"][1] == b"1\r\n2\r\n"


def test_a_commit_that_is_not_there_is_an_error(theirs: Repository) -> None:
    for branch in ("main", "side"):
        theirs.git("branch", "--force", "side", ok=(0, 128))
        with pytest.raises(GitError):
            forward(theirs, Commit("f" * 40), branch)
    assert contents(theirs) == tree(START)
