"""Workspaces: laid out byte for byte, set up once, with what they borrow, and removed whatever was left in them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import codeswarm
from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit
from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.environment import Environment
from codeswarm.errors import GitError
from codeswarm.git.identity import Identity
from codeswarm.git.store import Store
from codeswarm.host import interpreter
from codeswarm.protocol import WorkspaceOrder
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Box, Mount
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.sandbox_contract import run
from codeswarm.worker.borrow import copy_files, free_ports
from codeswarm.worker.places import Place, Places
from codeswarm.worker.setup import SetupFailed
from codeswarm.worker.snapshots import Snapshotter
from codeswarm.worker.workspace import Workspace, WorkspaceMaker
from tests.support.outside import Web, host
from tests.support.repositories import (
    AGENT,
    KINDS,
    LIMITS,
    PROBE,
    Files,
    Kind,
    Link,
    Repository,
    Script,
    Submodule,
    commit_files,
    found_in,
    own_home,
    plant,
    skip_without_overlays,
    tree,
    tree_of,
)

walled = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


class Site:
    """A project with a store, and a worker that makes workspaces for it."""

    def __init__(self, root: Path, kind: Kind) -> None:
        self.root = root
        self.kind = "overlay" if kind.overlay else "checkout"
        self.sandbox = kind.sandbox()
        (root / "data").mkdir(parents=True)
        self.store = Store.open(root / "data" / "store.git")
        self.person = Repository.make(root / "person-checkout")
        self.person.path.joinpath(".git", "info", "exclude").write_text("*\n")
        self.places = Places(root / "cache")
        self.maker = WorkspaceMaker(
            self.places, self.sandbox, Environment({"PATH": "/usr/bin:/bin", "HOME": str(root)}), SystemClock()
        )
        self.made: list[Workspace] = []
        self.session = f"s{os.getpid()}-{id(self)}"

    def commit(self, files: Files, *parents: str) -> Commit:
        return commit_files(self.store.path, files, *parents)

    async def make(self, start: Commit, *, author: Identity = AGENT, **settings: Any) -> Workspace:
        place = self.places.attempt(self.session, "t", len(list((self.root / "cache" / "attempts").glob("*"))) + 1)
        return await self.make_at(place, start, author=author, **settings)

    async def make_at(self, place: Place, start: Commit, *, author: Identity = AGENT, **settings: Any) -> Workspace:
        order = WorkspaceOrder(
            repository=str(self.person.path),
            objects=str(self.store.objects),
            settings=WorkspaceSettings(kind=self.kind, **settings),
        )
        home = self.places.home(self.session, place.name, "implementer")
        made = await self.maker.make(place, order, start, "task/t", author, home, network=False)
        self.made.append(made)
        return made

    async def act(self, workspace: Workspace, script: str) -> str:
        code, out = await run(self.sandbox, workspace.box, script, **workspace.environment)
        assert code == 0, out
        return out

    async def changes(self, workspace: Workspace) -> list[bytes]:
        """What a snapshot would send."""
        seen: list[bytes] = []
        snapshots = Snapshotter(
            workspace.place, self.sandbox, LIMITS, never=workspace.secrets, view=workspace.view, secrets=Secrets()
        )

        async def upload(spool: Path) -> None:
            snapshots.show_changes(lambda changes: seen.extend([*(put.path for put in changes.puts), *changes.deletes]))

        await snapshots.take("work", upload)
        return seen


WALLED = [param for param in KINDS if param.id != "none"]


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    yield from made_site(request.param, tmp_path)


@pytest.fixture(params=WALLED)
def boxed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    yield from made_site(request.param, tmp_path)


def made_site(kind: Kind, tmp_path: Path) -> Iterator[Site]:
    if kind.overlay:
        skip_without_overlays(tmp_path.parent)
    made = Site(tmp_path / "site", kind)
    yield made
    for workspace in made.made:
        workspace.let_go()
    made.maker.close()


MANY_KINDS: dict[bytes, Any] = {
    b".gitattributes": "* text=auto eol=crlf ident filter=evil\n*.bin filter=lfs\n*.u16 working-tree-encoding=UTF-16\n",
    b"dos": b"a\r\nb\r\n",
    b"unix": b"a\nb\n",
    b"id": b"$Id$ $Id: x $\n",
    b"u16": "x".encode("utf-16"),
    b"x.bin": b"version https://git-lfs.github.com/spec/v1\n",
    b"tool": Script("#!/bin/sh\n"),
    b"empty": b"",
    b"link": Link("/etc/passwd"),
    b"dangling": Link(b"no\xffwhere"),
    b"caf\xe9\n\t\"'\\": b"x",
    b"n" * 255: b"x",
    b"CASE": b"x",
    b"case": b"x",
    b"/".join([b"deep"] * 300) + b"/file": b"x",
    b".gitignore": b"ignored\n",
    b"ignored": b"tracked although ignored",
    b"sub": Submodule("1" * 40),
    b".gitmodules": b'[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c touch% fired\n',
}


# ── laying out ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_workspace_holds_its_commit_byte_for_byte_and_git_sees_no_change(site: Site) -> None:
    start = site.commit(MANY_KINDS)
    made = await site.make(start)
    wanted = tree(MANY_KINDS)
    del wanted[b"sub"]
    assert found_in(made.files) == wanted
    assert await site.act(made, "git status --porcelain --ignored") == ""
    assert (await site.act(made, "git rev-parse HEAD; git symbolic-ref HEAD")).split() == [start, "refs/heads/task/t"]
    assert await site.changes(made) == []
    assert list(site.root.rglob("fired")) == []


async def test_what_an_agent_does_in_its_repository_stays_there(site: Site) -> None:
    start = site.commit({"a": "x"})
    made = await site.make(start, author=Identity('An "agent" \\ ; # [x]', "a;b#c@d\\e"))
    said = await site.act(
        made, "git config user.name; git config user.email; echo y > a; git commit -qam mine; git log --format=%an -1"
    )
    assert said.splitlines() == ['An "agent" \\ ; # [x]', "a;b#c@d\\e", 'An "agent" \\ ; # [x]']
    await site.act(made, "git checkout -q -b other; git gc -q --prune=now; git reflog expire --expire=now --all")
    assert site.store.refs() == {"refs/heads/main": start}
    assert tree_of(site.store.path, start) == tree({"a": "x"})
    if site.sandbox.kind == "bubblewrap":
        assert "denied" in await site.act(made, f"touch {site.store.objects}/x 2>&1 || echo denied")


async def test_two_workspaces_of_one_commit_know_nothing_of_each_other(site: Site) -> None:
    start = site.commit({"a": "x", "link": Link("a")})
    one, two = await asyncio.gather(
        site.make_at(site.places.attempt(site.session, "one", 1), start),
        site.make_at(site.places.attempt(site.session, "two", 1), start),
    )
    await site.act(one, "echo y > a && git commit -qam y && git update-ref refs/heads/x HEAD")
    assert await site.act(two, "cat a; git for-each-ref --format='%(refname)'; git status --porcelain") == (
        "xrefs/heads/task/t\n"
    )


async def test_a_folder_that_is_there_already_is_never_taken_over(site: Site) -> None:
    start = site.commit({"a": "x"})
    made = await site.make(start)
    plant(made.files, {"work": "unsaved"})
    with pytest.raises(FileExistsError):
        await site.make_at(made.place, start)
    assert (made.files / "work").read_text() == "unsaved"
    with pytest.raises(GitError):
        await site.make(Commit("f" * 40))


# ── set-up ───────────────────────────────────────────────────────────────────────────────────────────────────

TOKEN = "mkdir -p made && tr -dc a-z < /dev/urandom | head -c 20 > made/token && chmod 600 made/token"


def token(made: Workspace) -> str:
    return (made.files / "made" / "token").read_text()


async def test_set_up_runs_once_for_what_it_depends_on(boxed: Site) -> None:
    first = boxed.commit({"lock": "1", "code": "1"})
    second = boxed.commit({"code": "2"}, first)
    third = boxed.commit({"lock": "2"}, second)
    settings: dict[str, Any] = {"setup": TOKEN, "setup_inputs": ("lock", "missing", "../escape")}
    made = [await boxed.make(start, **settings) for start in (first, second, third, first)]
    tokens = [token(each) for each in made]
    assert tokens[0] == tokens[1] == tokens[3] != tokens[2]
    other = await boxed.make(first, setup=TOKEN + " ", setup_inputs=("lock",))
    assert token(other) not in tokens
    for each in (*made, other):
        assert (each.files / "made" / "token").stat().st_mode & 0o777 == 0o600
        assert await boxed.changes(each) == []
        assert await boxed.act(each, "git status --porcelain") == "?? made/\n"


FETCH = (
    'exec bash -c \'exec 3<> /dev/tcp/127.0.0.1/18118 && printf "GET http://{}/ HTTP/1.1\\r\\nHost: {}\\r\\n\\r\\n" >&3'
)
FETCH += " && read -r _ status _ <&3 && echo it is $status && [ $status = 200 ]'"


async def test_set_up_reaches_the_hosts_of_its_list_by_the_proxy_and_no_others(boxed: Site) -> None:
    start = boxed.commit({"a": "1"})
    web, other = Web(), Web()
    async with host(web) as port, host(other) as unlisted:
        await boxed.make(start, setup=FETCH.replace("{}", f"127.0.0.1:{port}"), setup_network=(f"127.0.0.1:{port}",))
        with pytest.raises(SetupFailed) as failed:
            script = FETCH.replace("{}", f"127.0.0.1:{unlisted}")
            await boxed.make(start, setup=script, setup_network=(f"127.0.0.1:{port}",))
        with pytest.raises(SetupFailed):  # there is no other way
            await boxed.make(start, setup=f"bash -c ': < /dev/tcp/127.0.0.1/{port}'", setup_network=("@registries",))
    assert (len(web.asked), len(other.asked)) == (1, 0)
    assert "it is 403" in failed.value.why
    assert f"127.0.0.1:{unlisted} was denied" in failed.value.why
    assert f'workspace.setup_network = [..., "127.0.0.1:{unlisted}"]' in failed.value.hint


async def test_set_up_has_the_host_s_own_network_where_its_list_says_so(boxed: Site) -> None:
    start = boxed.commit({"a": "1"})
    async with host(Web()) as port:
        await boxed.make(start, setup=f"bash -c ': < /dev/tcp/127.0.0.1/{port}'", setup_network=("@host",))
        with pytest.raises(SetupFailed):
            await boxed.make(start, setup=f"bash -c ': < /dev/tcp/127.0.0.1/{port}' ")


async def test_without_walls_set_up_runs_in_each_workspace(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", Kind(NoSandbox))
    start = site.commit({"lock": "1"})
    made = [await site.make(start, setup=TOKEN, setup_inputs=("lock",)) for _ in range(2)]
    assert token(made[0]) != token(made[1])
    assert not site.places.setup.exists()


async def test_of_many_who_make_workspaces_at_once_one_runs_the_set_up(boxed: Site) -> None:
    """More of them than the process has threads: who waits must not keep the one from working."""
    start = boxed.commit({"lock": "1"})
    places = [boxed.places.attempt(boxed.session, f"t{number}", 1) for number in range(40)]
    made = await asyncio.gather(*(boxed.make_at(place, start, setup=TOKEN) for place in places))
    assert len({token(each) for each in made}) == 1


async def test_another_process_that_sets_up_is_waited_for(boxed: Site) -> None:
    start = boxed.commit({"lock": "1"})
    await boxed.make(start, setup=TOKEN)
    (lock,) = boxed.places.setup.glob("*.lock")
    (kept,) = (path for path in boxed.places.setup.iterdir() if path.is_dir())
    kept.rename(boxed.root / "aside")
    script = (
        f"import fcntl,sys; f=open({str(lock)!r},'a'); fcntl.flock(f,2); print('held',flush=True); sys.stdin.read()"
    )
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    making = asyncio.create_task(boxed.make(start, setup=TOKEN))
    laid_out = boxed.places.attempt(boxed.session, "t", 2).manifest
    while not laid_out.exists():
        await asyncio.sleep(0)
    assert not making.done()
    (boxed.root / "aside").rename(kept)
    await holder.communicate(b"")
    assert token(await making) == (kept / "made" / "token").read_text()


@pytest.mark.parametrize(("command", "how"), [("echo why; false", "exited with 1"), ("echo why; sleep 60", "in time")])
async def test_a_set_up_that_fails_leaves_nothing_to_be_taken(command: str, how: str, boxed: Site) -> None:
    start = boxed.commit({"lock": "1"})
    for _ in range(2):
        with pytest.raises(SetupFailed) as failed:
            await boxed.make(start, setup=f"mkdir made; {command}", setup_timeout_s=0.5, ports=("A", "B"))
        assert how in failed.value.what
        assert failed.value.why == "why"
    assert [path.suffix for path in boxed.places.setup.iterdir()] == [".lock"]


async def test_what_a_killed_worker_was_keeping_is_made_anew(boxed: Site) -> None:
    start = boxed.commit({"lock": "1"})
    first = await boxed.make(start, setup=TOKEN)
    (kept,) = (path for path in boxed.places.setup.iterdir() if path.is_dir())
    kept.rename(kept.with_suffix(".growing"))
    (kept.with_suffix(".growing") / "made" / "token").write_text("half")
    again = await boxed.make(start, setup=TOKEN)
    assert token(again) not in ("half", token(first))
    assert token(await boxed.make(start, setup=TOKEN)) == token(again)


async def test_what_set_up_made_is_copied_as_it_is_beside_the_commits_own_files(boxed: Site) -> None:
    script = (
        "mkdir -p lib/new lib/deep/er vendor/.git && echo x > lib/new/a && ln lib/new/a lib/new/b && "
        "ln -s /etc lib/link && touch 'lib/odd\nname' && printf '\\351' | xargs -I% touch lib/% && "
        "echo x > vendor/.git/HEAD && echo changed > lib/own && rm lib/gone && chmod 500 lib/new && "
        "echo x > .git/setup-was-here"
    )
    start = boxed.commit({"lib/own": "own", "lib/gone": "x", "lib/deep/own": "x"})
    first, second = [await boxed.make(start, setup=script) for _ in range(2)]
    one, two = found_in(first.files), found_in(second.files)
    assert one.pop(b"lib/own")[1] == b"changed\n"
    assert two.pop(b"lib/own")[1] == b"own"
    assert two.pop(b"lib/gone")
    assert one == two
    assert b"lib/odd\nname" in two
    assert two[b"lib/link"] == ("120000", b"/etc")
    new = second.files / "lib" / "new"
    assert new.stat().st_mode & 0o777 == 0o500
    assert (new / "a").stat().st_nlink == 2
    assert not (second.files / ".git" / "setup-was-here").exists()


async def test_a_later_commits_links_never_lead_a_set_up_out_of_the_workspace(boxed: Site, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    plant(outside, {"file": "precious", "folder/x": "precious"})
    script = (
        "echo evil > out; mkdir -p folder/deep; echo evil > folder/x; echo evil > folder/deep/x; echo evil > tracked"
    )
    first = boxed.commit({"lock": "1"})
    await boxed.make(first, setup=script)
    hostile: Files = {"out": Link(outside / "file"), "folder": Link(outside / "folder"), "tracked": "the commit's own"}
    second = await boxed.make(boxed.commit(hostile, first), setup=script)
    assert found_in(outside) == tree({"file": "precious", "folder/x": "precious"})
    assert found_in(second.files) == tree({"lock": "1", **hostile})
    third = await boxed.make(boxed.commit({"folder/own": "x", "out/own": "x"}, first), setup=script)
    assert found_in(third.files) == tree(
        {
            "lock": "1",
            "folder/own": "x",
            "out/own": "x",
            "folder/x": "evil\n",
            "folder/deep/x": "evil\n",
            "tracked": "evil\n",
        }
    )


async def test_set_up_may_leave_anything_that_a_file_system_takes(boxed: Site) -> None:
    script = (
        "mkdir shut blind && touch shut/x blind/x && mkfifo pipe && ln -s loop loop && git init -q nested && "
        "i=0; while [ $i -lt 450 ]; do mkdir d && cd -P d || exit 1; i=$((i+1)); done"
    )
    start = boxed.commit({"a": "x"})
    for _ in range(2):
        made = await boxed.make(start, setup=script)
        assert await boxed.changes(made) == []
        await boxed.act(made, "chmod 000 shut; chmod 444 blind")
        assert await boxed.changes(made) == []
        boxed.maker.remove(made.place)
        assert not made.place.root.exists()


# ── what it borrows ──────────────────────────────────────────────────────────────────────────────────────────


async def test_files_are_copied_as_they_are_and_known_as_secrets(site: Site) -> None:
    files: Files = {
        ".env": b"SECRET=1\r\n",
        "conf/deep/key": "k",
        "tool": Script("x"),
        b"caf\xe9".decode("latin-1"): "x",
    }
    site.person.write(files)
    (site.person.path / "conf" / "deep" / "key").chmod(0o600)
    plant(site.person.path, {b"caf\xe9": "bytes"})
    names = (".env", "conf/deep/key", "tool", "café", '"caf\\351"', "missing", "conf/missing", ".env/x")
    made = await site.make(site.commit({".gitignore": ".env\n"}), copies=names)
    assert made.secrets == (".env", "conf/deep/key", "tool", "café", '"caf\\351"')
    assert found_in(made.files) == tree({".gitignore": ".env\n", **files}) | {b"caf\xe9": ("100644", b"bytes")}
    assert (made.files / "conf" / "deep" / "key").stat().st_mode & 0o777 == 0o600
    assert await site.changes(made) == []
    await site.act(made, "echo 2 >> .env; echo 2 >> conf/deep/key")
    assert await site.changes(made) == []


async def test_nothing_outside_the_persons_checkout_is_copied(site: Site, tmp_path: Path) -> None:
    plant(tmp_path / "outside", {"secret": "canary"})
    site.person.write(
        {"link": Link(tmp_path / "outside" / "secret"), "folder": Link(tmp_path / "outside"), "sub/x": "x"}
    )
    os.mkfifo(site.person.path / "pipe")
    Repository.make(site.person.path / "nested", {"a": "x"})
    names = (
        *(
            "link",
            "folder/secret",
            "../../outside/secret",
            "sub/../../../outside/secret",
            str(tmp_path / "outside/secret"),
        ),
        *("", ".", "..", "/", "sub", "sub/", "nested/", "pipe", "./sub/x", "a\0b", "n" * 300, "sub//x"),
    )
    assert copy_files(site.person.path, names, tmp_path / "target") == ()
    assert not (tmp_path / "target").exists()
    made = await site.make(site.commit({"a": "x"}), copies=tuple(name for name in names if "\0" not in name))
    assert made.secrets == ()
    assert found_in(made.files) == tree({"a": "x"})


async def test_no_link_in_a_workspace_leads_a_copy_out_of_it(boxed: Site, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    plant(outside, {"file": "precious", "folder/key": "precious"})
    boxed.person.write({".env": "secret", "conf/key": "secret", "own/key": "secret", "in/the/way": "secret"})
    start = boxed.commit({"conf": Link(outside / "folder"), "in/the/way/x": "x"})
    script = f"ln -s {outside}/file .env; ln -s {outside}/folder own"
    made = await boxed.make(start, setup=script, copies=(".env", "conf/key", "own/key", "in/the/way"))
    assert found_in(outside) == tree({"file": "precious", "folder/key": "precious"})
    assert made.secrets == (".env",)
    assert (made.files / ".env").read_text() == "secret"
    assert not (made.files / ".env").is_symlink()
    assert (made.files / "own").is_symlink()


async def test_what_the_commit_has_of_its_own_is_not_copied_over(site: Site) -> None:
    site.person.write({".env": "the person's"})
    made = await site.make(site.commit({".env": "the commit's"}), copies=(".env",))
    assert made.secrets == ()
    assert (made.files / ".env").read_text() == "the commit's"
    plant(made.files, {".env": "edited"})
    assert await site.changes(made) == [b".env"]


def test_ports_are_distinct_usable_and_given_back() -> None:
    names = [f"PORT_{number}" for number in range(300)]
    ports, sockets = free_ports(names)
    more, others = free_ports(names)
    try:
        assert list(ports) == names
        assert len({*ports.values(), *more.values()}) == 600
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", int(ports["PORT_7"])))
            server.listen()
    finally:
        for held in (*sockets, *others):
            held.close()


async def test_a_workspace_tells_its_ports_to_who_runs_in_it(site: Site) -> None:
    made = await site.make(site.commit({"a": "x"}), ports=("PORT", "OTHER"))
    said = (await site.act(made, "echo $PORT $OTHER")).split()
    assert said == [made.environment["PORT"], made.environment["OTHER"]]
    assert len(set(said)) == 2
    made.let_go()
    assert all(held.fileno() == -1 for held in made.sockets)


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

SPITEFUL = (
    "mkdir -p shut/deeper blind && touch shut/x shut/deeper/x blind/x && ln -s /etc link && ln -s ../.. up && "
    "(i=0; while [ $i -lt 1500 ]; do mkdir d && cd -P d || exit 1; i=$((i+1)); done) && "
    "chmod 000 shut/deeper && chmod 000 shut && chmod 444 blind && chmod 000 ."
)


async def test_a_workspace_goes_whatever_was_left_in_it(site: Site, tmp_path: Path) -> None:
    plant(tmp_path / "outside", {"file": "precious"})
    made = await site.make(site.commit({"a": "x", "out": Link(tmp_path / "outside")}))
    await site.act(made, SPITEFUL)
    site.maker.remove(made.place)
    assert not made.place.root.exists()
    assert found_in(tmp_path / "outside") == tree({"file": "precious"})
    site.maker.remove(made.place)


@walled
async def test_an_ordinary_user_removes_it_too(tmp_path: Path) -> None:
    """Inside a sandbox, where nobody is root."""
    box = Box(f"remove-{os.getpid()}", *(tmp_path / name for name in ("workspace", "home", "run", "tmp")))
    for folder in (box.workspace / "place" / "files", box.home, box.run, box.tmp):
        folder.mkdir(parents=True)
    source = Path(codeswarm.__file__).parent.parent
    mounts = (*map(Mount, interpreter()), Mount(source))
    inside = Box(box.name, box.workspace, box.home, box.run, box.tmp, mounts)
    code, out = await run(Bubblewrap(), inside, f"id -u; cd place/files && {SPITEFUL}")
    assert (code, out.split()[0]) == (0, "1000"), out
    program = (
        f"import sys; sys.path[:0] = {[str(source), *sys.path]!r}\nfrom pathlib import Path\n"
        "from codeswarm.worker.places import Place\nfrom codeswarm.worker.workspace import WorkspaceMaker\n"
        "WorkspaceMaker.remove(Place(Path('/codeswarm/workspace/place')))\n"
    )
    (box.run / "program.py").write_text(program)
    code, out = await run(Bubblewrap(), inside, f"{sys.executable} /codeswarm/run/program.py")
    assert (code, out) == (0, "")
    assert list(box.workspace.iterdir()) == []


def test_removing_tells_what_it_could_not_remove() -> None:
    place = Place(Path("/proc/1/fdinfo"))
    with pytest.raises(OSError, match="fdinfo"):
        WorkspaceMaker.remove(place)
