"""Commits of an agent's own, on their way out of a repository that the agent has written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from codeswarm.git.checkout import lay_out
from codeswarm.git.store import Store
from codeswarm.redaction import Secrets
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker import commits
from codeswarm.worker.commits import keep_commits
from codeswarm.worker.places import Place
from codeswarm.worker.view import View
from tests.support.repositories import AGENT, KINDS, Bench, Kind, Repository, commit_files, git, own_home

KEPT = "refs/codeswarm/agent/s/t/1"
NONE = Secrets()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


class Desk:
    """A workspace without walls, and the store that its agent's commits go to."""

    def __init__(self, root: Path, object_format: str = "sha1") -> None:
        self.store = Store.open(root / "store.git", object_format=object_format)
        self.start = commit_files(self.store.path, {"a": "x"})
        self.place = Place(root / f"attempt-{os.getpid()}")  # what runs in it is ended by this name
        self.place.create()
        lay_out(self.place.files, self.store.objects, self.start, "task/t", AGENT)
        self.agent = Repository(self.place.files)
        self.bundles = 0

    async def keep(self, secrets: Secrets = NONE, never: tuple[str, ...] = ()) -> str | None:
        async def upload(bundle: Path) -> None:
            self.bundles += 1
            self.store.fetch_bundle(bundle, KEPT)

        view = View.of_checkout(self.place)
        return await keep_commits(self.place, view, NoSandbox(), self.store.objects, self.start, upload, never, secrets)

    @property
    def kept(self) -> dict[str, str]:
        return {name.removeprefix(KEPT + "/"): commit for name, commit in self.store.refs(KEPT).items()}


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
async def test_branches_stashes_and_a_loose_head_are_kept(object_format: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, object_format)
    assert await desk.keep() is None
    assert (desk.bundles, desk.kept) == (0, {})
    desk.agent.git("checkout", "--quiet", "-b", "side")
    side = desk.agent.commit({"b": "x"})
    desk.agent.git("pack-refs", "--all")
    desk.agent.write({"b": "stashed"})
    desk.agent.git("stash", "--quiet")
    desk.agent.git("checkout", "--quiet", "--detach")
    head = desk.agent.commit({"c": "x"})
    assert await desk.keep() is None
    assert desk.kept["HEAD"] == head
    assert desk.kept["heads/side"] == side
    assert "stash" in desk.kept


async def test_what_an_agent_configured_starts_no_program(tmp_path: Path) -> None:
    """A missing object would be fetched by the program that the agent names, which could write the bundle itself."""
    desk = Desk(tmp_path)
    desk.agent.commit({"b": "gone"})
    blob = desk.agent.git("rev-parse", "HEAD:b")
    (desk.place.files / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    started = tmp_path / "started"
    program = f"touch {started}; false"
    for key, value in {
        "core.repositoryformatversion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": str(desk.store.path),
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": program,
        "core.fsmonitor": program,
        "core.alternateRefsCommand": program,
    }.items():
        desk.agent.git("config", key, value)
    problem = await desk.keep()
    assert problem is not None
    assert "can't be read" in problem
    assert not started.exists()
    assert desk.bundles == 0


@pytest.mark.parametrize("how", ["no head", "a file", "a link to nowhere", "reftable"])
async def test_a_repository_that_cannot_be_read_is_told(how: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    theirs = desk.place.files / ".git"
    if how == "no head":
        (theirs / "HEAD").unlink()
    elif how == "reftable":
        (theirs / "reftable").mkdir()
    else:
        shutil.rmtree(theirs)
        theirs.write_text("gitdir: elsewhere\n") if how == "a file" else theirs.symlink_to("nowhere")
    assert "can't be read" in str(await desk.keep())


async def test_without_a_repository_of_its_own_or_above_it_there_is_nothing_to_keep(tmp_path: Path) -> None:
    Repository.make(tmp_path / "above", {"theirs": "x"})
    desk = Desk(tmp_path / "above" / "below")
    shutil.rmtree(desk.place.files / ".git")
    assert await desk.keep() is None
    assert desk.bundles == 0


async def test_what_a_killed_try_left_is_in_nobodys_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.agent.git("checkout", "--quiet", "-b", "side")
    side = desk.agent.commit({"b": "x"})
    left = desk.place.meta / "commits" / "run"
    (left / "git").mkdir(parents=True)
    (left / "git" / "HEAD").write_text("half")
    (left / "commits.bundle").write_text("half a bundle")
    assert await desk.keep() is None
    assert (desk.bundles, desk.kept["heads/side"]) == (1, side)


# ── credentials in them ──────────────────────────────────────────────────────────────────────────────────────

KEY = "canary-Vt5Rm8Jc3Qy7"
GREP, GIT = "exec /usr/bin/grep", "exec /usr/bin/git"
BROKEN = {
    "grep lacks memory": ("grep", "exit 2"),
    "grep is killed": ("grep", "kill -KILL $$"),
    "there is no grep": ("grep", "exit 127"),
    "grep lacks memory after a while": ("grep", "cat /dev/fd/3 > /dev/null; exit 2"),
    "objects can't be listed": ("git", f'case "$*" in *--objects*) exit 128;; esac; {GIT} "$@"'),
    "objects can't be read": ("git", f'[ "$1" != cat-file ] || exit 128; {GIT} "$@"'),
    "who reads objects is killed": ("git", f'[ "$1" != cat-file ] || kill -KILL $$; {GIT} "$@"'),
}


def put_before(tmp_path: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs instead of a program in there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setitem(commits.ENVIRONMENT, "PATH", f"{folder}:{commits.ENVIRONMENT['PATH']}")


@pytest.mark.parametrize("how", BROKEN)
async def test_what_could_not_be_looked_through_is_not_sent(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    desk.agent.commit({"b": KEY})
    put_before(tmp_path, *BROKEN[how], monkeypatch)
    problem = await desk.keep(Secrets([KEY]))
    assert desk.bundles == 0
    assert problem is not None
    assert "its own repository can't be read" in problem


@pytest.mark.parametrize(
    ("name", "script"),
    [("xargs", "kill -KILL $$"), ("grep", "exit 2"), ("git", f'[ "$1" != for-each-ref ] || exit 128; {GIT} "$@"')],
)
async def test_where_nobody_could_tell_what_a_ref_holds_no_copied_file_is_sent(
    name: str, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    side = desk.agent.commit({".env" if name == "xargs" else "b": KEY})
    if name != "xargs":
        desk.agent.git("tag", "evil", f"{side}:b")
        desk.agent.git("update-ref", "HEAD", desk.agent.commit({"b": None, "c": "x"}))
    put_before(tmp_path, name, script, monkeypatch)
    problem = await desk.keep(never=(".env",))
    assert "tags/evil" not in desk.kept
    assert desk.bundles == 0 or name != "xargs"
    assert problem is not None


@pytest.mark.parametrize("content", [f"x\n{KEY}\n", "another-Vt5Rm8Jc3Qy7"])
async def test_no_credential_lies_in_a_file_while_commits_are_looked_through(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, seen, files = Desk(tmp_path), tmp_path / "seen", tmp_path / "files"
    desk.agent.commit({"b": content})
    look = f'/usr/bin/grep -rl {KEY} "$OUT"/.. > "{seen}"; ls "$OUT" > "{files}"; {GREP} "$@"'
    put_before(tmp_path, "grep", look, monkeypatch)
    problem = await desk.keep(Secrets([KEY]))
    assert (problem, desk.bundles) == ((commits.CREDENTIAL, 0) if KEY in content else (None, 1))
    assert seen.read_text() == ""
    assert "git" in files.read_text(), "it was looked for in the right place"


async def test_one_line_without_an_end_takes_no_memory_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    desk.agent.commit({"b": "a" * (48 << 20)})
    monkeypatch.setattr(commits, "LINE_MIB", 32)
    problem = await desk.keep(Secrets([KEY]))
    assert problem is not None
    assert "memory exhausted" in problem
    monkeypatch.setattr(commits, "LINE_MIB", 512)
    assert await desk.keep(Secrets([KEY])) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_commits_come_out_of_every_kind_of_walls(kind: Kind, tmp_path: Path) -> None:
    bench = Bench(tmp_path, kind.sandbox(), {"a": "x"}, overlay=kind.overlay)
    await bench.act("git checkout -q -b side && echo y > b && git add b && git commit -qm side")

    async def upload(bundle: Path) -> None:
        bench.store.fetch_bundle(bundle, KEPT)

    async def keep(secrets: Secrets) -> str | None:
        of = (bench.place, bench.view, bench.sandbox, bench.store.objects, bench.start)
        return await keep_commits(*of, upload, (), secrets)

    assert await keep(Secrets([KEY])) is None
    assert git(bench.store.path, "show", f"{KEPT}/heads/side:b") == b"y\n"
    await bench.act(f"echo x > c; echo {KEY} >> c; git add c; git commit -qm c; git rm -q c; git commit -qm d")
    assert await keep(Secrets([KEY])) == commits.CREDENTIAL
    assert await keep(Secrets()) is None
