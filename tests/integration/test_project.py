"""The person's repository, in every shape that people have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codeswarm.domain.ids import Commit
from codeswarm.engine.project import Project
from codeswarm.errors import GitError, NotARepository, RepositoryUnfit
from codeswarm.git.store import Store
from tests.support.repositories import Files, Link, Repository, commit_files, git, own_home, plant, tree, tree_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_home(tmp_path / "person", monkeypatch)


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "theirs", {"a": "1\n", "b": "1\n", "sub/c": "1\n"})


# ── finding it ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_without_a_repository_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(NotARepository) as refused:
            Project.find(place)
        assert refused.value.hint


def test_a_folder_deep_inside_belongs_to_its_repository(theirs: Repository) -> None:
    project = Project.find(theirs.path / "sub")
    assert (project.git_dir, project.checkout) == (theirs.path / ".git", theirs.path)
    assert project.base(None).commit == theirs.head


@pytest.mark.parametrize("name", ["with space", "ünï", "new\nline", "-dash", "quo'te\"", "a:b"])
def test_a_repository_may_stand_at_any_path(name: str, tmp_path: Path) -> None:
    theirs = Repository.make(tmp_path / name, {"a": "1"})
    project = Project.find(theirs.path)
    assert project.checkout == theirs.path
    assert project.base(None).branch == "main"
    assert project.checked_out() == {"main": theirs.path}
    store = Store.open(tmp_path / "store.git")
    store.fetch(project.git_dir, "+refs/heads/main:refs/x/main")
    assert store.commit("refs/x/main") == theirs.head


def test_an_empty_repository_is_told_to_begin(tmp_path: Path) -> None:
    project = Project.find(Repository.make(tmp_path / "empty").path)
    with pytest.raises(RepositoryUnfit, match="no commit yet") as unfit:
        project.base(None)
    assert "git commit" in unfit.value.hint
    assert project.unseen() == ()


def test_a_bare_repository_has_a_base_and_no_checkout(theirs: Repository, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(theirs.path), "bare.git")
    project = Project.find(tmp_path / "bare.git")
    assert (project.git_dir, project.checkout) == (tmp_path / "bare.git", None)
    assert project.base(None).commit == theirs.head
    assert (project.unseen(), project.included()) == ((), ())
    assert project.checked_out() == {}


def test_a_detached_head_needs_a_branch_to_be_named(theirs: Repository) -> None:
    theirs.git("checkout", "--quiet", "--detach")
    project = Project.find(theirs.path)
    with pytest.raises(RepositoryUnfit, match="detached") as unfit:
        project.base(None)
    assert "--base" in unfit.value.hint
    assert project.base("main").commit == theirs.head


def test_a_branch_that_is_not_there_is_told_with_those_that_are(theirs: Repository) -> None:
    theirs.git("branch", "side/deep")
    for branch in ("none", "-x", "main..side", "HEAD", "a b", "refs/heads/main", ""):
        with pytest.raises(RepositoryUnfit, match="there is no branch") as unfit:
            Project.find(theirs.path).base(branch)
        assert unfit.value.why == "there are main, side/deep"


def test_a_tag_of_the_same_name_does_not_stand_in_a_branchs_way(theirs: Repository) -> None:
    first = theirs.head
    theirs.git("tag", "main")
    second = theirs.commit({"a": "2"})
    base = Project.find(theirs.path).base(None)
    assert (base.branch, base.commit) == ("main", second)
    assert first != second


def test_a_shallow_clone_gives_and_takes(theirs: Repository, tmp_path: Path) -> None:
    theirs.commit({"a": "2"})
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{theirs.path}", "shallow")
    project = Project.find(tmp_path / "shallow")
    base = project.base(None)
    store = Store.open(tmp_path / "store.git", object_format=project.object_format)
    store.fetch(project.git_dir, f"+refs/heads/{base.branch}:refs/x/base")
    tip = commit_files(store.path, {"new": "x"}, base.commit)
    assert project.show_branch(store, "s1", tip) is None
    shallow = Repository(tmp_path / "shallow")
    assert shallow.git("rev-parse", "codeswarm/s1") == tip
    shallow.git("fsck", "--no-dangling")
    assert (tmp_path / "shallow" / ".git" / "shallow").exists()


def test_a_linked_work_tree_belongs_to_its_main_repository(theirs: Repository, tmp_path: Path) -> None:
    theirs.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked"))
    project = Project.find(tmp_path / "linked")
    assert (project.git_dir, project.checkout) == (theirs.path / ".git", tmp_path / "linked")
    assert project.base(None).branch == "side"
    assert project.checked_out() == {"main": theirs.path, "side": tmp_path / "linked"}


def test_from_a_linked_work_tree_a_main_one_that_git_cant_name_is_not_mistaken(
    theirs: Repository, tmp_path: Path
) -> None:
    theirs.git("init", "--quiet", f"--separate-git-dir={tmp_path / 'elsewhere.git'}")
    theirs.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked"))
    assert Project.find(theirs.path).checked_out() == {"main": theirs.path, "side": tmp_path / "linked"}
    assert Project.find(tmp_path / "linked").checked_out()["main"] != tmp_path / "linked"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_a_repository_that_git_does_not_trust_is_told_with_gits_own_remedy(theirs: Repository, tmp_path: Path) -> None:
    head = theirs.head
    for path in [theirs.path, *theirs.path.rglob("*")]:
        os.chown(path, 12345, 12345)
    with pytest.raises(RepositoryUnfit, match="does not trust") as unfit:
        Project.find(theirs.path)
    assert "dubious ownership" in unfit.value.why
    assert unfit.value.hint.startswith("git config --global --add safe.directory ")
    git(tmp_path, *unfit.value.hint.split()[1:])
    project = Project.find(theirs.path)
    store = Store.open(tmp_path / "store.git")
    store.fetch(project.git_dir, "+refs/heads/main:refs/x/main")
    assert store.commit("refs/x/main") == head
    assert project.show_branch(store, "s1", head) is None


def test_a_file_is_read_as_it_is_in_a_commit(theirs: Repository) -> None:
    head = theirs.commit({"crlf": b"a\r\n\0", "link": Link("a")})
    theirs.write({"a": "changed"})
    project = Project.find(theirs.path)
    assert project.file_at(head, "a") == b"1\n"
    assert project.file_at(head, "crlf") == b"a\r\n\0"
    assert project.file_at(head, "link") == b"a"
    assert [project.file_at(head, path) for path in ("none", "sub", "../a", "-x", "")] == [None] * 5


def test_a_sha256_repository_says_so(tmp_path: Path) -> None:
    theirs = Repository.make(tmp_path / "theirs", {"a": "1"}, "--object-format=sha256")
    project = Project.find(theirs.path)
    assert project.object_format == "sha256"
    store = Store.open(tmp_path / "store.git", object_format=project.object_format)
    store.fetch(project.git_dir, "+refs/heads/main:refs/x/main")
    tip = commit_files(store.path, {"b": "x"}, theirs.head)
    assert project.show_branch(store, "s1", tip) is None
    assert theirs.git("rev-parse", "codeswarm/s1") == tip
    sha1 = Store.open(tmp_path / "other.git")
    with pytest.raises(GitError, match="git fetch failed"):
        sha1.fetch(project.git_dir, "+refs/heads/main:refs/x/main")


# ── what agents don't see ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "setting", ["status.relativePaths=true", "status.showUntrackedFiles=no", "status.renames=copies"]
)
def test_uncommitted_files_are_named_whatever_they_are_called(setting: str, theirs: Repository) -> None:
    key, _, value = setting.partition("=")
    theirs.git("config", key, value)
    theirs.commit(
        {"old": "some long content\n" * 20, "two": "another content\n" * 20, "typed": "x", ".gitignore": "*.o\n"}
    )
    theirs.git("mv", "old", "renamed\nin lines")
    theirs.git("mv", "two", " two ")
    plant(
        theirs.path,
        {b"caf\xe9": "x", '"q"': "x", "R  x": "x", "new/deep": "x", "x.o": "x", "typed": Link("a"), "a": "2\n"},
    )
    theirs.git("add", "a")
    plant(theirs.path, {"a": "3\n", "b": None})
    status = theirs.status
    found = Project.find(theirs.path / "sub").unseen()
    assert set(found) == {
        *("renamed\nin lines", " two ", '"caf\\351"', '"\\"q\\""', "R  x", "new/", "typed", "a", "b"),
    }
    assert all(name.encode() for name in found)
    assert theirs.status == status


def test_a_rename_that_is_only_intended_is_told_by_its_new_name(theirs: Repository) -> None:
    theirs.commit({"old": "some long content\n" * 20})
    (theirs.path / "old").rename(theirs.path / "new")
    theirs.git("add", "--intent-to-add", "new")
    assert " R" in theirs.git("status", "--porcelain")
    assert Project.find(theirs.path).unseen() == ("new",)


def test_looking_writes_nothing(theirs: Repository, tmp_path: Path) -> None:
    theirs.write({"a": "2\n"})
    for hook in ("post-index-change", "fsmonitor-watchman"):
        plant(theirs.path / ".git", {f"hooks/{hook}": f"#!/bin/sh\ntouch {tmp_path}/fired\n"})
        (theirs.path / ".git" / "hooks" / hook).chmod(0o755)
    theirs.git("config", "core.fsmonitor", f"touch {tmp_path}/fired")
    os.utime(theirs.path / "b", (1, 1))
    index = (theirs.path / ".git" / "index").read_bytes()
    (tmp_path / "fired").unlink(missing_ok=True)
    project = Project.find(theirs.path)
    assert project.unseen() == ("a",)
    project.base(None)
    project.checked_out()
    assert (theirs.path / ".git" / "index").read_bytes() == index
    assert not (tmp_path / "fired").exists()


# ── .worktreeinclude ─────────────────────────────────────────────────────────────────────────────────────────

INCLUDE: Files = {
    ".gitignore": ".env*\nsecrets/\n*.key\nvendor/\ntracked.key\n",
    ".worktreeinclude": "# what workspaces need\n.env\n/secrets/*\n*.key\n!/secrets/big\nnot-ignored\nvendor/\n",
}


def test_what_is_both_ignored_and_named_is_copied(theirs: Repository) -> None:
    theirs.commit(INCLUDE)
    theirs.git("add", "--force", "sub/c")
    theirs.write({"tracked.key": "x"})
    theirs.git("add", "--force", "tracked.key")
    theirs.write(
        {
            ".env": "x",
            ".env.local": "x",
            "sub/.env": "x",
            "secrets/a/b": "x",
            "secrets/big": "x",
            "not-ignored": "x",
            "own.key": "x",
            "sub/\u00fcn\u00ef\n.key": "x",
            "vendor/lib/.git/HEAD": "ref: refs/heads/main\n",
        }
    )
    plant(theirs.path, {b"caf\xe9.key": "x"})
    Repository.make(theirs.path / "vendor" / "nested", {"file": "x"})
    assert Project.find(theirs.path / "sub").included() == tuple(
        sorted([".env", "sub/.env", "secrets/a/b", "own.key", "sub/\u00fcn\u00ef\n.key", '"caf\\351.key"'])
    )


def test_without_a_list_nothing_is_copied(theirs: Repository) -> None:
    theirs.commit({".gitignore": ".env\n"})
    theirs.write({".env": "x"})
    assert Project.find(theirs.path).included() == ()
    (theirs.path / ".worktreeinclude").mkdir()
    assert Project.find(theirs.path).included() == ()
    (theirs.path / ".worktreeinclude").rmdir()
    theirs.write({".worktreeinclude": ""})
    assert Project.find(theirs.path).included() == ()


def test_what_the_person_ignores_for_themselves_counts_as_ignored(theirs: Repository, home: Path) -> None:
    (home / "ignore").write_text("*.mine\n")
    theirs.git("config", "--global", "core.excludesFile", str(home / "ignore"))
    (theirs.path / ".git" / "info").mkdir(exist_ok=True)
    (theirs.path / ".git" / "info" / "exclude").write_text("*.own\n")
    theirs.write({"a.mine": "x", "b.own": "x", ".worktreeinclude": "*.mine\n*.own\n"})
    assert Project.find(theirs.path).included() == ("a.mine", "b.own")


# ── the branch that follows ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def store(tmp_path: Path, theirs: Repository) -> Store:
    made = Store.open(tmp_path / "store.git")
    made.fetch(theirs.path / ".git", "+refs/heads/main:refs/x/base")
    return made


def test_the_branch_follows_each_landing(theirs: Repository, store: Store) -> None:
    project, tip = Project.find(theirs.path), theirs.head
    for number in range(3):
        tip = commit_files(store.path, {f"new{number}": "x"}, tip)
        assert project.show_branch(store, "s1", tip) is None
        assert project.show_branch(store, "s1", tip) is None
        assert theirs.git("rev-parse", "codeswarm/s1") == tip
    assert theirs.status == ""
    assert not (theirs.path / ".git" / "FETCH_HEAD").exists()
    assert tree_of(theirs.path, "codeswarm/s1") == tree(
        {"a": "1\n", "b": "1\n", "sub/c": "1\n"} | dict.fromkeys(["new0", "new1", "new2"], "x")
    )


@pytest.mark.parametrize("where", ["here", "in another work tree"])
def test_the_branch_stands_still_while_it_is_checked_out(
    where: str, theirs: Repository, store: Store, tmp_path: Path
) -> None:
    project, before = Project.find(theirs.path), theirs.head
    if where == "here":
        theirs.git("switch", "--quiet", "--create", "codeswarm/s1")
    else:
        theirs.git("worktree", "add", "--quiet", "-b", "codeswarm/s1", str(tmp_path / "linked"))
    tip = commit_files(store.path, {"new": "x"}, before)
    assert project.show_branch(store, "s1", tip) == "it is checked out"
    assert theirs.git("rev-parse", "codeswarm/s1") == before
    theirs.git("switch", "--quiet", "main") if where == "here" else theirs.git(
        "worktree", "remove", str(tmp_path / "linked")
    )
    assert project.show_branch(store, "s1", tip) is None


def test_the_branch_stands_still_while_it_is_rebased(theirs: Repository, store: Store) -> None:
    project, before = Project.find(theirs.path), theirs.head
    theirs.git("switch", "--quiet", "--create", "codeswarm/s1")
    own = theirs.commit({"mine": "x"})
    theirs.git("-c", "sequence.editor=sed -i s/pick/edit/", "rebase", "--quiet", "--interactive", before)
    tip = commit_files(store.path, {"new": "x"}, before)
    assert project.show_branch(store, "s1", tip)
    assert theirs.git("rev-parse", "codeswarm/s1") == own


def test_a_branch_of_the_same_name_as_the_folder_stands_in_the_way_and_is_left_alone(
    theirs: Repository, store: Store
) -> None:
    theirs.git("branch", "codeswarm")
    before = theirs.git("for-each-ref")
    said = Project.find(theirs.path).show_branch(store, "s1", commit_files(store.path, {"new": "x"}, theirs.head))
    assert said == "a branch named codeswarm stands in the way of codeswarm/…"
    assert theirs.git("for-each-ref") == before


@pytest.mark.parametrize("setting", ["", "fetch.prune=true", "remote.pushDefault=x", "fetch.all=true"])
def test_commits_of_the_person_on_the_branch_are_never_thrown_away(
    setting: str, theirs: Repository, store: Store
) -> None:
    if setting:
        theirs.git("config", *setting.split("="))
    before = theirs.head
    theirs.git("switch", "--quiet", "--create", "codeswarm/s1")
    own = theirs.commit({"mine": "x"})
    theirs.git("switch", "--quiet", "main")
    theirs.git("branch", "codeswarm/other")
    said = Project.find(theirs.path).show_branch(store, "s1", commit_files(store.path, {"new": "x"}, before))
    assert said is not None
    assert "non-fast-forward" in said
    assert theirs.git("rev-parse", "codeswarm/s1", "codeswarm/other").split() == [own, before]


def test_hooks_and_settings_of_theirs_stay_out_of_it(theirs: Repository, store: Store, tmp_path: Path) -> None:
    for hook in ("reference-transaction", "post-merge", "post-update", "pre-auto-gc"):
        plant(theirs.path / ".git", {f"hooks/{hook}": f"#!/bin/sh\ntouch {tmp_path}/fired\nexit 1\n"})
        (theirs.path / ".git" / "hooks" / hook).chmod(0o755)
    for setting in ("protocol.file.allow=never", "fetch.recurseSubmodules=true", "submodule.recurse=true", "gc.auto=1"):
        theirs.git("config", *setting.split("="))
    project, tip = Project.find(theirs.path), commit_files(store.path, {"new": "x"}, theirs.git("rev-parse", "main"))
    (tmp_path / "fired").unlink(missing_ok=True)
    assert project.show_branch(store, "s1", tip) is None
    project.take(store, tip, "refs/tags/checkpoint/2030-01-01-1")
    assert not (tmp_path / "fired").exists()
    assert theirs.git("rev-parse", "codeswarm/s1", "checkpoint/2030-01-01-1").split() == [tip, tip]


def test_a_tag_is_taken_once_and_never_moved(theirs: Repository, store: Store) -> None:
    project, tag = Project.find(theirs.path), "refs/tags/checkpoint/2030-01-01-1"
    tip = commit_files(store.path, {"new": "x"}, theirs.head)
    for _ in range(2):
        project.take(store, tip, tag)
    with pytest.raises(GitError):
        project.take(store, commit_files(store.path, {"other": "x"}, tip), tag)
    assert theirs.git("rev-parse", tag) == tip


def test_a_commit_that_the_store_does_not_have_is_an_error_told_in_words(theirs: Repository, store: Store) -> None:
    said = Project.find(theirs.path).show_branch(store, "s1", Commit("f" * 40))
    assert said
