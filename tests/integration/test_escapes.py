"""Ways out of the walls that were there once: each is planted as an attacker would, and leads nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit
from codeswarm.domain.results import GateCommand, GateOutcome, GateRun
from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.engine.project import Project
from codeswarm.environment import Environment
from codeswarm.git.store import Store
from codeswarm.host import program, toolchains
from codeswarm.protocol import WorkspaceOrder
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Box, Mount
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.testing.sandbox_contract import make_box, run
from codeswarm.worker.cleaning import size_of
from codeswarm.worker.commits import keep_commits
from codeswarm.worker.gate import GateContext, GateRunner
from codeswarm.worker.masks import masks, secrets
from codeswarm.worker.places import Place, remove
from codeswarm.worker.play import put_bundle
from codeswarm.worker.view import View
from codeswarm.worker.workspace import Workspace, WorkspaceMaker
from tests.integration.test_workspaces import Site, made_site
from tests.support.repositories import PROBE, Kind, Repository, Script, found_in, own_home, plant

pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from made_site(Kind(Bubblewrap), tmp_path)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the person's, outside of every workspace."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_text("precious")
    return path


# ── links planted in a folder that the host writes to ────────────────────────────────────────────────────────


async def gates(site: Site, workspace: Workspace, *commands: str) -> tuple[GateRun, ...]:
    async def keep(log: bytes) -> str:
        return hashlib.sha256(log).hexdigest()

    context = GateContext("s", "t", Commit("0" * 40), Commit("1" * 40), ("a",))
    runner = GateRunner(site.sandbox, SystemClock(), keep)
    return await runner.run(
        workspace, [GateCommand(name=f"g{n}", command=text) for n, text in enumerate(commands)], context
    )


PLANTED = {
    "a link": "rm -f {name}; ln -s {target} {name}",
    "a dangling link": "rm -f {name}; ln -s {target}.new {name}",
    "a folder": "rm -f {name}; mkdir -p {name}/deep; ln -s {target} {name}/deep/link; chmod 0 {name}/deep",
    "a pipe": "rm -f {name}; mkfifo {name}",
}


@pytest.mark.parametrize("how", PLANTED)
async def test_what_a_gate_plants_in_its_run_folder_is_replaced_and_never_followed(
    site: Site, precious: Path, how: str
) -> None:
    made = await site.make(site.commit({"a": "x"}))
    script = "; ".join(
        PLANTED[how].format(name=f"/codeswarm/run/{name}", target=precious)
        for name in ("changed-files", "gate-report.xml", "gate-result.json")
    )
    runs = await asyncio.wait_for(gates(site, made, script, "cat $CODESWARM_CHANGED_FILES_PATH"), 30)
    assert [(run.outcome, run.tail) for run in runs] == [(GateOutcome.GREEN, ""), (GateOutcome.GREEN, "a")]
    assert precious.read_text() == "precious"
    assert os.listdir(precious.parent) == ["precious"]


async def test_what_a_set_up_plants_where_the_gate_is_told_its_files_is_replaced(site: Site, precious: Path) -> None:
    made = await site.make(site.commit({"a": "x"}), setup=f"ln -s {precious} /codeswarm/run/changed-files")
    await gates(site, made, "true")
    assert precious.read_text() == "precious"


async def test_a_result_that_leads_elsewhere_is_no_answer(site: Site, precious: Path) -> None:
    precious.write_text('{"failing": ["canary"]}')
    made = await site.make(site.commit({"a": "x"}))
    (run,) = await gates(site, made, f"ln -s {precious} $CODESWARM_RESULT; exit 1")
    assert run.failing == ()


async def test_what_a_set_up_plants_in_the_place_of_the_bundle_is_replaced(site: Site, precious: Path) -> None:
    made = await site.make(site.commit({"a": "x"}), setup=f"ln -s {precious} /codeswarm/run/bundle.json")
    put_bundle(made.place.run, {"word": "a lone \ud800"})
    assert precious.read_text() == "precious"
    assert "a lone" in await site.act(made, "cat /codeswarm/run/bundle.json")


# ── what of a project can be seen around a program ───────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Checkout:
    """A person's checkout with our data in it, and a router that listens there."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / ".git" / "codeswarm"

    @property
    def objects(self) -> Path:
        return self.data / "store.git" / "objects"


@contextlib.contextmanager
def checkout_below(folder: Path) -> Iterator[Checkout]:
    """In a folder with a short name: that of a socket can't be long."""
    root = Path(tempfile.mkdtemp(prefix="cs-", dir=folder))
    try:
        made = Checkout(root / "p")
        Repository.make(made.path, {"tracked": "x", "bin/tool": Script("#!/bin/sh\necho tool")})
        Store.open(made.objects.parent)
        made.path.joinpath(".env").write_text("canary")
        plant(made.data, {"keys/receipts.key": "canary"})
        plant(root, {"agent.py": "print('agent')"})
        with socket.socket(socket.AF_UNIX) as router:
            router.bind(str(made.data / "router.sock"))
            router.listen()
            yield made
    finally:
        shutil.rmtree(root)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    with checkout_below(Path(tempfile.gettempdir())) as made:
        yield made


def box_for(site: Site, checkout: Checkout, *, path: str = "/usr/bin:/bin", read: tuple[str, ...] = ()) -> Box:
    """A box as an agent of the project gets it."""
    maker = WorkspaceMaker(
        site.places, site.sandbox, Environment({"PATH": path, "HOME": str(site.root)}), SystemClock()
    )
    settings = WorkspaceSettings(kind="checkout", visible=read)
    order = WorkspaceOrder(repository=str(checkout.path), objects=str(checkout.objects), settings=settings)
    place, home = Place(site.root / f"attempt-{os.getpid()}"), site.root / "home"
    place.create()
    home.mkdir()
    return maker.box(place, View.of_checkout(place), order, home, network=True)


def pry(checkout: Checkout) -> str:
    """What an attacker would try; each success is told."""
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(checkout.data / 'router.sock')!r})"
    return (
        f"{{ cat {checkout.data}/keys/receipts.key && echo KEY; cat {checkout.path}/.env && echo ENV; "
        f'cat {checkout.path}/.git/config && echo CONFIG; python3 -c "{connect}" && echo ROUTER; }} '
        f"2>/dev/null; test -d {checkout.objects}/pack && echo OBJECTS"
    )


async def seen(site: Site, box: Box, checkout: Checkout) -> set[str]:
    _, out = await run(site.sandbox, box, pry(checkout))
    return set(out.replace("canary", "").split()) & {"KEY", "ENV", "CONFIG", "ROUTER", "OBJECTS"}


async def test_the_attack_is_one(site: Site, checkout: Checkout) -> None:
    box = replace(box_for(site, checkout), masks=(), mounts=(Mount(checkout.path.parent),))
    assert await seen(site, box, checkout) == {"KEY", "ENV", "CONFIG", "ROUTER", "OBJECTS"}


@pytest.mark.parametrize("shown", [".", "..", ".git", "../agent.py"])
async def test_whatever_is_shown_around_it_a_projects_own_data_is_not(
    site: Site, checkout: Checkout, shown: str
) -> None:
    box = box_for(site, checkout)
    box = replace(box, mounts=(*box.mounts, Mount((checkout.path / shown).resolve())))
    assert await seen(site, box, checkout) - {"CONFIG"} == {"OBJECTS"}


@pytest.mark.skipif(not os.access("/opt", os.W_OK), reason="/opt can't be written here")
async def test_a_project_among_the_systems_folders_is_not_seen_either(site: Site) -> None:
    with checkout_below(Path("/opt")) as checkout:
        box = box_for(site, checkout)
        assert await seen(site, replace(box, masks=()), checkout) >= {"KEY", "ENV", "ROUTER"}
        assert await seen(site, box, checkout) == {"OBJECTS"}


async def test_a_checkout_that_the_person_asked_for_is_seen_without_our_data(site: Site, checkout: Checkout) -> None:
    box = box_for(site, checkout, read=(str(checkout.path), str(checkout.data / "keys")))
    assert await seen(site, box, checkout) == {"ENV", "CONFIG", "OBJECTS"}


async def test_a_projects_own_programs_on_the_path_can_be_run(site: Site, checkout: Checkout) -> None:
    plant(checkout.path, {".venv/bin/python": Script("#!/bin/sh\n. ${0%/*}/../lib/x"), ".venv/lib/x": "echo venv"})
    path = f"{checkout.path}/bin:{checkout.path}/.venv/bin:/usr/bin:/bin"
    box = box_for(site, checkout, path=path)
    assert await seen(site, box, checkout) == {"OBJECTS"}
    assert await run(site.sandbox, box, f"{checkout.path}/bin/tool; {checkout.path}/.venv/bin/python") == (
        0,
        "tool\nvenv\n",
    )


async def test_an_agent_beside_the_project_is_shown_alone(site: Site, checkout: Checkout) -> None:
    command, shown = program("python3 ../agent.py", checkout.path, site.root)
    assert (command, shown) == (
        f"python3 {checkout.path.parent}/agent.py",
        (checkout.path.parent / "agent.py",),
    )
    other = checkout.path.parent / "tools" / "deep"
    plant(other, {"bin/agent": Script(""), "lib/x": "x"})
    assert program(f"{other}/bin/agent", checkout.path, site.root)[1] == (other / "bin",)
    assert program(f"x --in {checkout.path.parent}/", checkout.path, site.root)[1] == ()


def test_folders_on_the_path_never_show_a_checkout(checkout: Checkout, tmp_path: Path) -> None:
    around, path = checkout.path.parent, checkout.path
    plant(around, {"bin/beside": Script("")})
    assert toolchains(f"{path}/bin", tmp_path) == (path / "bin",)
    assert toolchains(f"{around}/bin", tmp_path) == (around / "bin",)
    plant(path, {"run-me": Script(""), ".env": "canary"})
    assert toolchains(str(path), tmp_path) == (path / "run-me",)


def test_a_version_manager_is_shown_whole_although_it_is_a_checkout(tmp_path: Path) -> None:
    Repository.make(tmp_path / ".pyenv", {"shims/python": Script("")})
    assert toolchains(f"{tmp_path}/.pyenv/shims", tmp_path) == (tmp_path / ".pyenv",)


async def test_git_on_an_agents_repository_does_not_see_our_data(site: Site, checkout: Checkout) -> None:
    """That git runs what the agent configured, behind walls of its own."""
    masked = masks(checkout.objects)
    box = replace(box_for(site, checkout), masks=masked, mounts=(Mount(checkout.path.parent), Mount(checkout.objects)))
    assert await seen(site, box, checkout) == {"OBJECTS"}


# ── what is not there yet when a run begins ──────────────────────────────────────────────────────────────────


async def while_running(box: Box, script: str, meanwhile: Callable[[], None]) -> str:
    """What a run says that goes on with a script once something has happened on the host."""
    running = await Bubblewrap().start(box, ["/bin/sh", "-c", f"echo begun; read _; {script}"], {"PATH": "/usr/bin"})
    stdin, stdout = running.process.stdin, running.process.stdout
    assert stdin is not None
    assert stdout is not None
    assert await stdout.readline() == b"begun\n"
    meanwhile()
    stdin.write(b"\n")
    out = await stdout.read()
    assert await running.end() == ()
    return out.decode()


@pytest.mark.parametrize("hides", [True, False])
async def test_what_a_home_keeps_secret_is_hidden_even_when_it_comes_later(tmp_path: Path, hides: bool) -> None:
    person = tmp_path / "home"
    plant(person, {".aws/credentials": "canary", ".netrc": "canary", ".config/tool/x": "seen", "notes": "seen"})
    person.joinpath("link").symlink_to("notes")
    mounts = (Mount(person),)
    box = replace(make_box(tmp_path / "box"), mounts=mounts, masks=secrets(person, mounts) if hides else ())
    script = f"cd {person}; cat .aws/credentials .netrc .ssh/id .config/gh/hosts.yml 2>/dev/null; cat notes link"

    def meanwhile() -> None:
        plant(person, {".ssh/id": "canary", ".config/gh/hosts.yml": "canary"})

    said = await while_running(box, f"{script} .config/tool/x", meanwhile)
    assert said == "canary" * (0 if hides else 4) + "seen" * 3


async def test_a_secret_that_the_person_names_is_seen(tmp_path: Path) -> None:
    plant(tmp_path / "home", {".aws/config": "seen", ".aws/sso/cache": "seen", ".ssh/id": "canary"})
    home = tmp_path / "home"
    mounts = (Mount(home), Mount(home / ".aws" / "config"))
    box = replace(make_box(tmp_path / "box"), mounts=mounts, masks=secrets(home, mounts, [str(home / ".aws")]))
    code, out = await run(Bubblewrap(), box, f"cd {home}; cat .aws/config .aws/sso/cache; cat .ssh/id")
    assert (code, out.count("seen"), out.count("canary")) == (1, 2, 0)


def test_secrets_cost_nothing_where_no_home_is_shown(tmp_path: Path) -> None:
    plant(tmp_path, {"home/.pyenv/shims/python": "", "elsewhere/x": ""})
    assert secrets(tmp_path / "home", [Mount(tmp_path / "elsewhere"), Mount(tmp_path / "home" / ".pyenv")]) == ()


async def test_a_socket_that_comes_to_a_masked_place_is_not_reached(site: Site, checkout: Checkout) -> None:
    box = replace(box_for(site, checkout), mounts=(Mount(checkout.path.parent),))
    later = socket.socket(socket.AF_UNIX)
    script = f"python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect('{checkout.data}/later')\" 2>&1"

    def meanwhile() -> None:
        later.bind(str(checkout.data / "later"))
        later.listen()

    with later:
        assert "No such file" in await while_running(box, script, meanwhile)
        shown = replace(box, masks=())
        assert await while_running(shown, script, lambda: None) == ""


@pytest.mark.skipif(not os.access("/etc", os.W_OK), reason="/etc can't be written here")
async def test_a_file_of_the_system_that_others_may_not_read_is_hidden_though_it_is_new(tmp_path: Path) -> None:
    box = make_box(tmp_path)
    assert (await run(Bubblewrap(), box, "ls /etc/hostname"))[0] == 0
    late = Path(f"/etc/codeswarm-canary-{os.getpid()}")
    with open(os.open(late, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write("canary\n")
    try:
        assert "canary\n" not in (await run(Bubblewrap(), box, f"cat {late}; echo"))[1].replace("canary-", "")
    finally:
        late.unlink()


LATE_MOUNT = """
import asyncio, subprocess, sys
from pathlib import Path
from codeswarm.sandbox import bubblewrap
from codeswarm.sandbox.base import Mount
from codeswarm.testing.sandbox_contract import make_box
from dataclasses import replace

root, weak = Path(sys.argv[1]), sys.argv[2] == "weak"
late = root / "shown" / "late"
late.mkdir(parents=True, exist_ok=True)
subprocess.run(["mount", "--make-rshared", "/"], check=True)
if weak:
    bubblewrap._apart = lambda: ()


async def main():
    box = replace(make_box(root / "box"), mounts=(Mount(root / "shown"),))
    script = f"echo begun; read _; cat {late}/canary; touch {late}/written"
    running = await bubblewrap.Bubblewrap().start(box, ["/bin/sh", "-c", script], {"PATH": "/usr/bin"})
    await running.process.stdout.readline()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(late)], check=True)
    (late / "canary").write_text("canary")
    running.process.stdin.write(b"\\n")
    said = await running.process.stdout.read()
    await running.end()
    print(said.decode(), (late / "written").exists())


asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "seen"), [("weak", "canary True"), ("as it is", " False")])
def test_what_the_host_mounts_later_is_neither_seen_nor_written(tmp_path: Path, how: str, seen: str) -> None:
    apart = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
    said = subprocess.run(
        [*apart, sys.executable, "-c", LATE_MOUNT, str(tmp_path), how],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.stdout.rstrip("\n") == seen, said.stderr


# ── files that a repository asks to be copied ────────────────────────────────────────────────────────────────

NEVER_COPIED = (
    ".git/config",
    ".GIT/config",
    ".git/codeswarm/keys/receipts.key",
    "git~1/config",
    ".g\u200cit/config",
    ".git /config",
    "sub/.git/config",
    "/etc/hostname",
    "../beside",
    "sub/../../beside",
    "tracked",
    "untracked",
    "link",
)


@pytest.fixture
def asked(site: Site) -> Site:
    """A project in which there is something at each name that must never be copied."""
    person = site.person
    person.path.joinpath(".git", "info", "exclude").write_text(".env*\n.git*\n.g*\ngit*\nlink\n/sub/\n")
    person.git("config", "remote.origin.url", "https://user:canary@example.invalid/")
    plant(person.path.parent, {"beside": "canary"})
    person.commit({"tracked": "canary", ".env.tracked": "canary"})
    person.git("add", "--force", ".env.tracked")
    plant(person.path, dict.fromkeys(NEVER_COPIED[1:7], "canary") | {"untracked": "canary", ".env": "mine"})
    person.path.joinpath("link").symlink_to(person.path / ".git" / "config")
    return site


async def test_a_repository_gets_no_file_but_those_that_git_ignores(asked: Site) -> None:
    names = (*NEVER_COPIED, ".env.tracked", ".env")
    made = await asked.make(asked.commit({"a": "x"}), copies=names)
    assert made.secrets == (".env",)
    assert found_in(made.files) == {b"a": ("100644", b"x"), b".env": ("100644", b"mine")}
    told = Project.find(asked.person.path).not_copied((*names, "missing"))
    assert len(told) == len(names) - 1
    assert "workspace.copy: '.git/config' is not copied: it names git's own directory" in told
    assert "workspace.copy: 'tracked' is not copied: it is no file that git ignores and does not track" in told


# ── copied secrets in commits that an agent makes itself ─────────────────────────────────────────────────────

SECRET = ".env*[test] x"
FORCED = {
    "a commit": "git checkout -qb evil; git add -f .env*; git commit -qm x",
    "a commit taken back": "git checkout -qb evil; git add -f .env*; git commit -qm x; git rm -q --cached .env*; "
    "git commit -qm y; echo b > b; git add b; git commit -qm z",
    "a stash": "echo b > c; git stash -q --all; git stash apply -q",
    "a merge": "git checkout -qb other; git commit -q --allow-empty -m o; git checkout -q -; "
    "git checkout -qb evil; git commit -q --allow-empty -m e; git merge -q --no-commit --no-ff other; "
    "git add -f .env*; git commit -qm m",
    "a blob": "git tag evil $(git hash-object -w .env*); git add -f .env*; git commit -qm x; git reset -q HEAD^",
    "a detached head": "git checkout -q --detach; git add -f .env*; git commit -qm x",
}


async def bundled(site: Site, made: Workspace, start: Commit) -> tuple[str | None, set[str], str]:
    """Why not all is kept, the refs that are, and all that can be reached from them."""
    bundles = []

    async def upload(bundle: Path) -> None:
        bundles.append(Path(shutil.copy(bundle, site.root / "bundle")))

    problem = await keep_commits(
        made.place, made.view, site.sandbox, site.store.objects, start, upload, made.secrets, Secrets()
    )
    if not bundles:
        return problem, set(), ""
    kept = site.store.fetch_bundle(bundles[0], "refs/codeswarm/agent/s/t/1")
    reached = site.store.git.run("rev-list", "--objects", "--glob=refs/codeswarm/agent").decode()
    return problem, {ref.removeprefix("refs/codeswarm/agent/s/t/1/") for ref in kept}, reached


@pytest.mark.parametrize("how", FORCED)
async def test_a_copied_secret_that_an_agent_commits_reaches_no_ref(site: Site, how: str) -> None:
    site.person.write({SECRET: "SECRET=canary"})
    start = site.commit({"a": "x"})
    made = await site.make(start, copies=(SECRET,))
    assert made.secrets == (SECRET,)
    await site.act(made, "git checkout -qb side; echo s > s; git add s; git commit -qm s; git checkout -q task/t")
    await site.act(made, FORCED[how])
    problem, kept, reached = await bundled(site, made, start)
    blob = site.store.git.run("hash-object", "--stdin", stdin=b"SECRET=canary").decode().strip()
    assert "heads/side" in kept
    assert blob not in reached
    assert problem is not None
    assert "a copied file that must reach no ref" in problem
    assert "side" not in problem


async def test_git_in_a_workspace_ignores_what_was_copied(site: Site) -> None:
    site.person.write({SECRET: "canary", "deep/key": "canary"})
    start = site.commit({"a": "x"})
    made = await site.make(start, copies=(SECRET, "deep/key"))
    assert await site.act(made, "git status --porcelain; git add -A; git commit -qm x --allow-empty") == ""
    assert (await bundled(site, made, start))[0] is None
    assert "env" not in site.store.git.run("ls-tree", "-r", "refs/codeswarm/agent/s/t/1/HEAD").decode()


async def test_a_planted_exclude_file_leads_nowhere(site: Site, precious: Path) -> None:
    site.person.write({".env": "canary"})
    script = f"ln -sf {precious} .git/info/exclude"
    await site.make(site.commit({"a": "x"}), setup=script, copies=(".env",))
    script = f"rm -rf .git/info; ln -s {precious.parent} .git/info"
    await site.make(site.commit({"a": "x"}), setup=script, copies=(".env",))
    assert (os.listdir(precious.parent), precious.read_text()) == (["precious"], "precious")


# ── mount points that are made where a run could write ───────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["a link out", "a link within", "a file"])
async def test_what_a_run_plants_in_its_tmpdir_never_leads_a_mount_out(tmp_path: Path, what: str) -> None:
    outside, tool = tmp_path / "outside", tmp_path / "tool"
    outside.mkdir()
    plant(tool, {"run": Script("#!/bin/sh\necho tool")})
    box = make_box(tmp_path / "box")
    plants = {"a link out": f"ln -s /oldroot{outside} d", "a link within": "ln -s . d", "a file": "touch d"}
    assert (await run(Bubblewrap(), box, f"cd /tmp && {plants[what]}"))[0] == 0
    shown = replace(box, mounts=(Mount(tool, Path("/tmp/d/deep/tool")), Mount(tool / "run", Path("/tmp/d/run"))))
    assert await run(Bubblewrap(), shown, "/tmp/d/deep/tool/run; /tmp/d/run") == (0, "tool\ntool\n")
    assert os.listdir(outside) == []


def test_the_size_of_a_folder_is_told_however_deep_it_is_and_links_are_not_followed(tmp_path: Path) -> None:
    plant(tmp_path / "outside", {"large": "x" * 500_000})
    litter = tmp_path / "litter"
    litter.mkdir()
    litter.joinpath("link").symlink_to(tmp_path / "outside")
    deep = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\nopen('file', 'w').write('x' * 9000)"
    subprocess.run([sys.executable, "-c", deep], cwd=litter, check=True)
    assert 9000 <= size_of(litter) - 3000 * os.stat(litter / "d").st_blocks * 512 < 400_000
    remove(litter)
