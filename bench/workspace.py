"""A workspace, ready for an agent, on a repository of 20,000 files; beside `git worktree add` of the same commit.

Ours are made as a worker makes them: laid out, with a git repository of their own and the list of their files. Where
overlays can be had the first workspace of a session makes the lower that all others share; it is not timed. A checkout
is what is made elsewhere. Ours and git's take turns, and nothing is removed between: where thousands of files have just
been deleted, ext4 takes many times as long to make new ones.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

from bench.figure import Figure, Missing, Scale
from codeswarm.domain.ids import Commit
from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.environment import Environment
from codeswarm.git.identity import Identity
from codeswarm.git.store import Store
from codeswarm.protocol import WorkspaceOrder
from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap, probe
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker.mounting import probe as probe_overlays
from codeswarm.worker.places import Places
from codeswarm.worker.workspace import CHECKOUT, OVERLAY, WorkspaceMaker

PEER = "git worktree add"
FILES_PER_FOLDER = 15
AUTHOR = Identity("bench", "bench@example.invalid")


def measure(scale: Scale, folder: Path) -> list[Figure | Missing]:
    repository, commit = _repository(folder / "repository", scale.files)
    store = Store.open(folder / "store.git")
    store.fetch(repository / ".git", "+refs/heads/main:refs/heads/main")
    bench = _Bench(scale, folder, repository, store, commit)
    found: list[Figure | Missing] = []
    walls = probe()
    tried = probe_overlays(Places(folder / "places"), Bubblewrap()) if walls.works else walls
    if tried.works:
        found.append(bench.figure(OVERLAY, Bubblewrap(), 50))
    else:
        found.append(Missing(f"workspace, {OVERLAY}", tried.why))
    found.append(bench.figure(CHECKOUT, Bubblewrap() if walls.works else NoSandbox(), 1))
    return found


class _Bench:
    def __init__(self, scale: Scale, folder: Path, repository: Path, store: Store, commit: Commit) -> None:
        self._scale = scale
        self._folder = folder
        self._repository = repository
        self._store = store
        self._commit = commit
        self._places = Places(folder / "places")
        self._epoch = 0

    def figure(self, kind: str, sandbox: Sandbox, ratio_bar: float) -> Figure:
        maker = WorkspaceMaker(self._places, sandbox, Environment.read())
        if kind == OVERLAY:
            self._ours_ms(maker, kind)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(self._scale.long_runs):
            ours.append(self._ours_ms(maker, kind))
            theirs.append(self._worktree_ms(f"{kind}{len(theirs)}"))
        maker.close()
        note = f"{self._scale.files:,} files"
        return Figure(
            f"workspace, {kind}", "ms", "less", tuple(ours), None, PEER, tuple(theirs), ratio_bar=ratio_bar, note=note
        )

    def _ours_ms(self, maker: WorkspaceMaker, kind: str) -> float:
        self._epoch += 1
        place = self._places.attempt("bench", "ticket", self._epoch)
        order = WorkspaceOrder(
            repository="", objects=str(self._store.path / "objects"), settings=WorkspaceSettings(kind=kind)
        )
        home = self._places.home("bench", "ticket")
        begun = time.perf_counter()
        making = maker.make(place, order, self._commit, "main", AUTHOR, home, network=False)
        workspace = asyncio.run(making)
        took = time.perf_counter() - begun
        assert len(list(workspace.files.iterdir())) > 1
        workspace.let_go()
        return took * 1000

    def _worktree_ms(self, name: str) -> float:
        begun = time.perf_counter()
        _git(self._repository, "worktree", "add", "--quiet", "--detach", str(self._folder / name), self._commit)
        return (time.perf_counter() - begun) * 1000


def _repository(folder: Path, files: int) -> tuple[Path, Commit]:
    """Files of half a kilobyte, fifteen in a folder."""
    folder.mkdir(parents=True)
    for number in range(files):
        path = folder / f"package{number // FILES_PER_FOLDER}" / f"module{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"VALUE = {number}\n" + "# what it is for\n" * 30)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=bench", "-c", "user.email=bench@example.invalid", "commit", "--quiet", "-m", "Begin")
    return folder, Commit(_git(folder, "rev-parse", "HEAD").strip())


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout
