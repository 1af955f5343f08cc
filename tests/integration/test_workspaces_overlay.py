"""Overlays: many workspaces over one checkout, which none of them can change, and nothing left when they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit, SessionId
from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.environment import Environment
from codeswarm.git.changes import read_changes
from codeswarm.git.identity import Message
from codeswarm.git.snapshot import take_in
from codeswarm.git.store import Store
from codeswarm.ledger.base import Batch
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.ledger.tables import TABLES
from codeswarm.protocol import WorkspaceOrder
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.sandbox_contract import run
from codeswarm.worker import lowers
from codeswarm.worker.cleaning import look
from codeswarm.worker.mounting import OverlayFailed, probe
from codeswarm.worker.places import Place, Places
from codeswarm.worker.snapshots import Snapshotter
from codeswarm.worker.view import View
from codeswarm.worker.workspace import Workspace, WorkspaceMaker
from tests.support.processes import left_behind
from tests.support.repositories import (
    AGENT,
    LIMITS,
    NOW_MS,
    WIP,
    Files,
    Link,
    Script,
    Submodule,
    Tree,
    commit_files,
    found_in,
    own_home,
    skip_without_overlays,
    tree,
    tree_of,
)
from tests.support.runs import Place as RunPlace

START: Files = {
    "a": "x",
    "tool": Script("#!/bin/sh\n"),
    "link": Link("a"),
    "folder/one": "1",
    "folder/two": "2",
    "folder/deep/er": "x",
    ".gitignore": "*.log\n",
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_overlays(tmp_path.parent)
    own_home(tmp_path / "person", monkeypatch)


class Site:
    """A project whose workspaces are overlays."""

    def __init__(self, root: Path, sandbox: Sandbox) -> None:
        self.root = root
        self.sandbox = sandbox
        self.store = Store.open(root / "store.git")
        self.places = Places(root / "cache")
        self.maker = WorkspaceMaker(
            self.places, sandbox, Environment({"PATH": "/usr/bin:/bin", "HOME": str(root)}), SystemClock()
        )
        self.made: list[Workspace] = []

    def commit(self, files: Files, *parents: str) -> Commit:
        return commit_files(self.store.path, files, *parents)

    async def make(self, start: Commit, subject: str = "t", *, kind: str = "overlay", session: str = "s") -> Workspace:
        order = WorkspaceOrder(repository="", objects=str(self.store.objects), settings=WorkspaceSettings(kind=kind))
        place, home = self.places.attempt(session, subject, 1), self.places.home(session, subject, "implementer")
        made = await self.maker.make(place, order, start, "task/t", AGENT, home, network=False)
        self.made.append(made)
        return made

    async def act(self, workspace: Workspace, script: str) -> str:
        code, out = await run(self.sandbox, workspace.box, script)
        assert code == 0, out
        return out

    async def take(self, place: Place, view: View, start: Commit) -> Tree:
        """What a snapshot makes of a workspace."""
        found: list[str] = []

        async def upload(spool: Path) -> None:
            with spool.open("rb") as file:
                changes, message = read_changes(file), Message("wip")
                found.append(take_in(self.store, changes, start, WIP, message, author=AGENT, at_ms=NOW_MS).commit)

        await Snapshotter(place, self.sandbox, LIMITS, view=view, secrets=Secrets()).take("all", upload)
        return tree_of(self.store.path, found[0])

    def lowers(self) -> list[Path]:
        return sorted(path for path in self.places.lower.iterdir() if path.is_dir())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "site", Bubblewrap())
    yield made
    for workspace in made.made:
        workspace.let_go()
    made.maker.close()


def state_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder that a write of any kind would change, git's own files included."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        info = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        stamp = (info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_nlink)
        found[str(path)] = (*stamp, content)
    return found


def mounted(root: Path) -> list[str]:
    """The overlays of a test's folder that any process of this machine still sees."""
    found = []
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            found += [line for line in path.read_text().splitlines() if str(root) in line and " - overlay " in line]
        except OSError:
            continue
    return found


# ── one checkout for many ────────────────────────────────────────────────────────────────────────────────────

DEVASTATION = """
echo more >> a; printf '#!/bin/sh\\nexit 1' > tool; ln -sf /etc/passwd link; truncate -s 0 folder/one
chmod 000 folder/deep/er; rm -r folder; mkdir folder; echo new > folder/one; mkfifo pipe; ln a hard
git config user.name evil; git commit -qam mine; git gc -q --prune=now; rm -rf .git/hooks .git/info
mv .git elsewhere || true; rm -rf .git; ln -s elsewhere .git; rm -f .gitignore; mkdir .gitignore
setfattr -n user.overlay.opaque -v y . 2>/dev/null; mknod a-whiteout c 0 0 2>/dev/null; touch .wh.a .wh..wh..opq
"""


async def test_nothing_that_an_agent_does_reaches_another_workspace_or_the_checkout_below(site: Site) -> None:
    start = site.commit(START)
    one, two = await site.make(start, "one"), await site.make(start, "two")
    (lower,) = site.lowers()
    before = state_of(lower)
    await site.act(one, DEVASTATION + "true")
    assert await site.act(two, "git status --porcelain --ignored; cat a folder/one; git config user.name") == (
        f"x1{AGENT.name}\n"
    )
    assert found_in(two.files) == tree(START)
    await site.act(two, "rm -rf -- * .gitignore .git")
    one.let_go()
    site.maker.remove(one.place)
    assert state_of(lower) == before
    assert found_in((await site.make(start, "three")).files) == tree(START)


async def test_the_checkout_below_cannot_be_written_from_where_workspaces_are_mounted(site: Site) -> None:
    made = await site.make(site.commit(START))
    with pytest.raises(OSError, match="Read-only"):
        (made.files.parent / "lower" / "a").write_text("y")
    assert "denied" in await site.act(made, f"ls {site.places.root} 2>&1 || echo denied")


async def test_of_many_who_begin_at_once_one_makes_the_checkout(site: Site) -> None:
    start = site.commit(START)
    made = await asyncio.gather(*(site.make(start, f"t{number}") for number in range(12)))
    assert len(site.lowers()) == 1
    assert all(found_in(each.files) == tree(START) for each in made)


async def test_the_first_git_status_of_an_agent_reads_no_file_and_writes_no_index(site: Site) -> None:
    made = await site.make(site.commit(START), "first")
    (lower,) = site.lowers()
    files = [path for path in (lower / "files").rglob("*") if ".git" not in path.parts]
    index = lower / "files" / ".git" / "index"
    assert int(index.stat().st_mtime) > max(int(path.lstat().st_mtime) for path in files)
    assert await site.act(made, "git status --porcelain") == ""
    assert not (made.place.upper / ".git" / "index").exists()


async def test_the_first_git_status_in_a_checkout_writes_no_index_either(site: Site) -> None:
    made = await site.make(site.commit(START), kind="checkout")
    index = made.files / ".git" / "index"
    os.utime(index, (index.stat().st_mtime + 1,) * 2)  # else its files are as young as it is, and git has to look
    before = index.stat().st_ino
    assert await site.act(made, "git status --porcelain") == ""
    assert index.stat().st_ino == before, "git took down anew who owns the files"


async def test_a_checkout_below_that_was_copied_to_another_disk_is_as_good(site: Site) -> None:
    start = site.commit(START)
    later = site.commit({"folder/one": "another"}, start)
    await site.make(start, "first")
    (lower,) = site.lowers()
    os.utime(lower / "files" / "folder" / "one", (1, 1))
    made = await site.make(later, "second")
    assert (made.place.lower, found_in(made.files)) == (lower.name, tree_of(site.store.path, later))


async def test_a_later_commit_stands_on_the_same_checkout_and_a_far_one_on_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lowers, "MOST_CHANGES", 4)
    first = site.commit(START)
    near = site.commit({"a": None, "a/b": "x", "folder/one": Script("y"), "link": "a file"}, first)
    far = site.commit({"a/b": None, "1": "x", "2": "x", "3": "x", "4": "x"}, near)
    made = [await site.make(start, f"t{number}") for number, start in enumerate((first, near, far, near))]
    assert [path.name for path in site.lowers()] == sorted([f"s.{first}", f"s.{far}"])
    assert [each.place.lower for each in made] == [f"s.{first}", f"s.{first}", f"s.{far}", f"s.{first}"]
    for workspace, start in zip(made, (first, near, far, near), strict=True):
        assert found_in(workspace.files) == tree_of(site.store.path, start)
        assert await site.act(workspace, "git status --porcelain; git rev-parse HEAD") == f"{start}\n"
        assert await site.take(workspace.place, workspace.view, start) == tree_of(site.store.path, start)


async def test_sessions_have_checkouts_of_their_own(site: Site) -> None:
    start = site.commit(START)
    await site.make(start, session="s")
    await site.make(start, session="s2")
    assert [path.name for path in site.lowers()] == [f"s.{start}", f"s2.{start}"]


async def test_what_the_layers_of_an_overlay_are_made_of_never_comes_home(site: Site) -> None:
    start = site.commit(START)
    made = await site.make(start)
    await site.act(made, "rm -r folder; mkdir folder; echo new > folder/new; rm a; mv tool moved; chmod 600 moved")
    wanted = tree({**START, "folder/new": "new\n", "moved": "#!/bin/sh\n"})  # type: ignore[dict-item]
    for path in (b"folder/one", b"folder/two", b"folder/deep/er", b"a", b"tool"):
        del wanted[path]
    assert await site.take(made.place, made.view, start) == wanted
    assert found_in(made.files) == wanted


@pytest.mark.parametrize("seed", range(3))
async def test_a_walk_that_looks_only_where_something_was_touched_misses_nothing(seed: int, site: Site) -> None:
    dice = random.Random(seed)
    start = site.commit({f"d{n % 5}/e{n % 3}/f{n}": f"{n}" for n in range(60)} | {"d0/sub": Submodule("1" * 40)})
    made, base = await site.make(start), start
    snapshots = Snapshotter(made.place, site.sandbox, LIMITS, view=made.view, gitlinks=("d0/sub",), secrets=Secrets())

    async def upload(spool: Path) -> None:
        nonlocal base
        if dice.random() < 0.2:
            raise ConnectionError("the router is away")
        with spool.open("rb") as file:
            changes, message = read_changes(file), Message("wip")
            base = take_in(site.store, changes, base, WIP, message, author=AGENT, at_ms=NOW_MS).commit
        if dice.random() < 0.2:
            raise ConnectionError("the answer was lost")

    for _ in range(15):
        for _ in range(dice.randrange(6)):
            edit_somewhere(dice, made.files)
        with contextlib.suppress(ConnectionError):
            await snapshots.take("work", upload)
    dice.random = lambda: 1.0  # type: ignore[method-assign]
    await snapshots.take("all", upload)
    wanted = found_in(made.files) | {b"d0/sub": ("160000", b"1" * 40)}
    assert tree_of(site.store.path, base) == wanted


def edit_somewhere(dice: random.Random, root: Path) -> None:
    """One change of any kind, to a file or a folder picked at random; the kernel may refuse it."""
    everything = [path for path in root.rglob("*") if ".git" not in path.parts and path.name != "sub"]
    one, other = dice.choice(everything), dice.choice(everything)
    beside = other.parent / f"n{dice.randrange(4)}"
    if root / "d0" in (one, other) or (one.is_dir() and (root / "d0").is_relative_to(one)):
        return  # the submodule stays
    with contextlib.suppress(OSError):
        match dice.randrange(8):
            case 0:
                one.write_text(f"{dice.random()}")
            case 1:
                one.unlink()
            case 2:
                shutil.rmtree(one)
            case 3:
                one.rename(beside)
            case 4:
                shutil.rmtree(one)
                one.mkdir()
                (one / "again").write_text("x")
            case 5:
                one.chmod(dice.choice((0o755, 0o644)) if one.is_file() else 0o755)
            case 6:
                shutil.rmtree(one)
                one.symlink_to(other)
            case _:
                os.link(one, beside)


# ── killed at any moment ─────────────────────────────────────────────────────────────────────────────────────

CHILD = """
    import asyncio, os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{tests!r}]
    from codeswarm.sandbox.bubblewrap import Bubblewrap
    from codeswarm.worker import lowers, mounting
    from tests.integration.test_workspaces_overlay import Site

    async def main():
        site = Site(Path({root!r}), Bubblewrap())
        {script}

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


def child(site: Site, script: str) -> subprocess.Popen[bytes]:
    """A worker of its own, as far as workspaces go."""
    tests = str(Path(__file__).parent.parent.parent)
    body = textwrap.indent(textwrap.dedent(script).strip(), " " * 8).strip()
    program = textwrap.dedent(CHILD).format(
        tests=tests, root=str(site.root), script=body.replace("\n        ", "\n    ")
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize("lower", ["there", "lost"])
async def test_what_a_killed_worker_leaves_is_seen_again_and_comes_home(lower: str, site: Site) -> None:
    start = site.commit(START)
    script = f"""
        made = await site.make({start!r})
        await site.act(made, 'echo y > a; rm -r folder; echo n > new; chmod -x tool; git commit -qam x')
        print('done', flush=True)
        die()
    """
    process = child(site, script)
    out, _ = process.communicate()
    assert (out, process.returncode) == (b"done\n", -signal.SIGKILL)
    assert mounted(site.root) == []
    assert left_behind(site.root) == []
    if lower == "lost":
        for path in site.lowers():
            WorkspaceMaker.remove(Place(path))
    place = site.places.attempt("s", "t", 1)
    view = await site.maker.reopen(place, site.store.objects)
    try:
        wanted = tree({"a": "y\n", "new": "n\n", "tool": "#!/bin/sh\n", "link": Link("a"), ".gitignore": "*.log\n"})
        assert await site.take(place, view, start) == wanted
    finally:
        view.close()
    site.maker.remove(place)
    assert not place.root.exists()
    assert mounted(site.root) == []


async def test_a_worker_that_is_killed_takes_its_agents_and_their_mounts_along(site: Site) -> None:
    start = site.commit(START)
    script = f"""
        made = await site.make({start!r})
        running = await site.sandbox.start(made.box, ['sh', '-c', 'echo up; exec sleep 1000'], {{}})
        await running.process.stdout.readline()
        print(running.process.pid, flush=True)
        await asyncio.Event().wait()
    """
    process = child(site, script)
    assert process.stdout is not None
    agent = os.pidfd_open(int(process.stdout.readline()))
    assert mounted(site.root) != []
    process.kill()
    process.communicate()
    await asyncio.wait_for(_ended(agent), 30)
    await _until(lambda: mounted(site.root) == [] and left_behind(site.root) == [])


async def _ended(pidfd: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0)


@pytest.mark.parametrize("moment", ["lay_under", "baseline_of_checkout", "_sync", "Path.rename"])
async def test_who_is_killed_while_making_the_checkout_leaves_nothing_half_made(moment: str, site: Site) -> None:
    start = site.commit(START)
    target = moment if "." in moment else f"lowers.{moment}"
    process = child(site, f"{target} = die\nawait site.make({start!r})")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [path.suffix for path in site.lowers()] == [lowers.GROWING]
    made = await site.make(start, "next")
    assert found_in(made.files) == tree(START)
    assert [path.name for path in site.lowers()] == [f"s.{start}"]


@pytest.mark.parametrize("kind", ["auto", "overlay"])
async def test_a_mount_that_fails_gives_a_checkout_unless_an_overlay_was_asked_for(
    kind: str, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here the mounter is killed when everything is mounted."""
    start = site.commit(START)
    assert (await site.maker.overlays.probe()).works
    source = Path(sys.modules["codeswarm.worker.mounter"].__file__ or "").read_text()
    killed = source.replace("    folder = os.open(", "    os.kill(os.getpid(), 9)\n    folder = os.open(")
    assert killed != source
    (tmp_path / "mounter.py").write_text(killed)
    site.maker.close()
    monkeypatch.setattr("codeswarm.worker.mounting.MOUNTER", tmp_path / "mounter.py")
    if kind == "overlay":
        with pytest.raises(OverlayFailed):
            await site.make(start, kind=kind)
    else:
        made = await site.make(start, kind=kind)
        assert (made.place.lower, made.view.namespaces) == ("", None)
        assert found_in(made.place.files) == tree(START)
        assert await site.take(made.place, made.view, start) == tree(START)
    assert mounted(site.root) == []


async def test_a_workspace_over_a_checkout_that_is_there_starts_no_process(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = site.commit(START)
    await site.make(start, "first")
    monkeypatch.setattr(subprocess, "Popen", None)
    made = await site.make(start)
    assert found_in(made.files) == tree(START)


async def test_who_mounts_is_started_anew_when_it_was_killed(site: Site) -> None:
    start = site.commit(START)
    one = await site.make(start, "one")
    for pid in mounters():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    two = await site.make(start, "two")
    assert found_in(one.files) == found_in(two.files) == tree(START)
    assert len(mounters()) == 1
    site.maker.close()
    assert found_in(two.files) == tree(START)
    assert mounters() == []


def mounters() -> list[int]:
    """The programs of this very process that mount workspaces."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(word) for path in children for word in path.read_text().split()]
    return [pid for pid in pids if b"mounter.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_its_end_nothing_of_a_workspace_is_mounted_open_or_running(site: Site) -> None:
    start = site.commit(START)
    await site.make(start, "first")
    before = sorted(os.listdir("/proc/self/fd"))
    made = await site.make(start)
    await site.act(made, "echo y > a; rm -r folder; (setsid sleep 1000 &) ; mkdir shut; chmod 000 shut")
    assert await site.take(made.place, made.view, start) != tree(START)
    assert mounted(made.place.root) == [], "no process waits inside"
    made.let_go()
    made.let_go()
    site.maker.remove(made.place)
    assert not made.place.root.exists()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert left_behind(made.place.root) == []


async def test_who_is_cancelled_while_a_workspace_is_made_leaves_nothing_open(site: Site) -> None:
    start = site.commit(START)
    await site.make(start, "first")
    before = sorted(os.listdir("/proc/self/fd"))
    for passes in range(1, 60, 7):
        making = asyncio.create_task(site.make(start, f"t{passes}"))
        for _ in range(passes):
            await asyncio.sleep(0)
        if making.cancel():
            with pytest.raises(asyncio.CancelledError):
                await making
        else:
            making.result().let_go()  # on a machine that was at something else between two passes it is made by now
        site.maker.remove(site.places.attempt("s", f"t{passes}", 1))
        assert not site.places.attempt("s", f"t{passes}", 1).root.exists()
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_a_view_that_was_closed_shows_nothing_rather_than_another_workspace(site: Site) -> None:
    start = site.commit(START)
    one = await site.make(start, "one")
    stale = one.view.files
    one.let_go()
    await site.make(start, "two")
    assert not stale.exists()
    assert not one.view.source.exists(), "the host never sees it"


# ── whether they work ────────────────────────────────────────────────────────────────────────────────────────


async def test_where_overlays_dont_work_workspaces_are_checkouts(site: Site) -> None:
    """Within another overlay: it can't be reached from a namespace beside its own, and the kernel stacks none on it."""
    start = site.commit(START)
    outer = await site.make(start, "outer")
    site.maker.close()
    site.places = Places(outer.files / "cache")
    site.maker = WorkspaceMaker(site.places, site.sandbox, Environment({"PATH": "/usr/bin:/bin"}), SystemClock())
    found = await site.maker.overlays.probe()
    assert not found.works
    assert found.why
    assert list((site.places.root / "attempts").iterdir()) == []
    with pytest.raises(OverlayFailed, match="can't be overlays here"):
        await site.make(start, kind="overlay")


async def test_without_walls_workspaces_are_checkouts(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", NoSandbox())
    start = site.commit(START)
    assert not probe(site.places, site.sandbox).works
    made = await site.make(start, kind="auto")
    assert found_in(made.place.files) == tree(START)
    assert not site.places.lower.exists()


@pytest.mark.parametrize(("kind", "said"), [("auto", "overlays over"), ("checkout", "checkouts, as")])
def test_doctor_says_how_workspaces_are_made(kind: str, said: str, tmp_path: Path) -> None:
    place = RunPlace(tmp_path / "place")
    place.begin({"codeswarm.toml": f'[gates]\nfast = "true"\n[workspace]\nkind = "{kind}"\n'})
    checks = json.loads(place.run("--json", "doctor").out)["checks"]
    (found,) = [check for check in checks if check["what"] == "workspaces"]
    assert found["ok"]
    assert said in found["detail"]
    assert mounted(place.root) == []


# ── what may be thrown away ──────────────────────────────────────────────────────────────────────────────────


async def test_a_checkout_goes_when_its_session_is_over_and_no_workspace_stands_on_it(site: Site) -> None:
    start = site.commit(START)
    for session in ("open", "over", "used", "gone"):
        made = await site.make(start, session=session)
        made.let_go()
        if session != "used":
            site.maker.remove(made.place)
    ledger = MemoryLedger()
    for id_, status in (("open", "active"), ("over", "finalized"), ("used", "finalized")):
        row = tuple({"id": id_, "status": status}.get(column, "") for column in TABLES["sessions"].columns)
        ledger.append(Batch.at(SessionId(id_), 0, 0, (), rows={"sessions": [row]}))
    found = {item.path.name: item.action for item in look(site.places, ledger) if item.path.parent == site.places.lower}
    assert {name for name in found if not name.endswith(".lock")} == {f"gone.{start}", f"over.{start}"}
    assert set(found.values()) == {"remove"}
    for name in found:
        site.maker.remove(Place(site.places.lower / name))
    assert [path.name for path in site.lowers()] == [f"open.{start}", f"used.{start}"]
