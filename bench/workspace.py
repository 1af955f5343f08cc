"""A workspace, ready for an agent, on a repository of 20,000 files; beside `git worktree add` of the same commit.

Ours are made as a worker makes them: laid out, with a git repository of their own and the list of their files. Where
overlays can be had the first workspace of a session makes the lower that all others share; it is not timed. A checkout
is what is made elsewhere. Ours and git's take turns, and nothing is removed between: where thousands of files have just
been deleted, ext4 takes many times as long to make new ones.

Agents ask git for its status before they do anything else, so that is a row of its own: ready, and asked for the first
time, of ours and of git's.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure, Missing, Scale
from codeswarm.clock import SystemClock
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
STATUS = " + first git status"
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
        found += bench.figures(OVERLAY, Bubblewrap(), 50, 5)
    else:
        found += [Missing(f"workspace, {OVERLAY}{more}", tried.why) for more in ("", STATUS)]
    found += bench.figures(CHECKOUT, Bubblewrap() if walls.works else NoSandbox(), 1, None)
    return found


@dataclass(frozen=True, slots=True)
class _Took:
    """Milliseconds: until it is ready, then of the first `git status` in it; by the clock and of processors."""

    ready: float
    ready_processor: float
    status: float
    status_processor: float

    @property
    def both(self) -> float:
        return self.ready + self.status


class _Bench:
    def __init__(self, scale: Scale, folder: Path, repository: Path, store: Store, commit: Commit) -> None:
        self._scale = scale
        self._folder = folder
        self._repository = repository
        self._store = store
        self._commit = commit
        self._places = Places(folder / "places")
        self._epoch = 0

    def figures(self, kind: str, sandbox: Sandbox, ready_bar: float, status_bar: float | None) -> list[Figure]:
        """The bars say how many times better than git's worktree ours must be."""
        maker = WorkspaceMaker(self._places, sandbox, Environment.read(), SystemClock())
        ours: list[_Took] = []
        theirs: list[_Took] = []
        with asyncio.Runner() as loop:  # a worker's loop lives as long as the worker
            if kind == OVERLAY:
                self._ours(loop, maker, kind, sandbox.as_agent)
            for _ in range(self._scale.runs):
                ours.append(self._ours(loop, maker, kind, sandbox.as_agent))
                theirs.append(self._worktree(f"{kind}{len(theirs)}"))
        maker.close()
        note = f"{self._scale.files:,} files"
        return [
            Figure(
                f"workspace, {kind}", "ms", "less", tuple(took.ready for took in ours), None, PEER,
                tuple(took.ready for took in theirs), ready_bar, note, tuple(took.ready_processor for took in ours),
            ),
            Figure(
                f"workspace, {kind}{STATUS}", "ms", "less", tuple(took.both for took in ours), None, PEER,
                tuple(took.both for took in theirs), status_bar, note,
                tuple(took.ready_processor + took.status_processor for took in ours),
            ),
        ]  # fmt: skip

    def _ours(self, loop: asyncio.Runner, maker: WorkspaceMaker, kind: str, as_agent: tuple[str, ...]) -> _Took:
        self._epoch += 1
        place = self._places.attempt("bench", "ticket", self._epoch)
        order = WorkspaceOrder(
            repository="", objects=str(self._store.path / "objects"), settings=WorkspaceSettings(kind=kind)
        )
        home = self._places.home("bench", "ticket", "implementer")
        begun = _now()
        making = maker.make(place, order, self._commit, "main", AUTHOR, home, network=False)
        workspace = loop.run(making)
        ready = _since(begun)
        view = workspace.view
        status = _status(view.source, view.namespaces.entering if view.namespaces else as_agent)
        workspace.let_go()
        return _Took(*ready, *status)

    def _worktree(self, name: str) -> _Took:
        folder, begun = self._folder / name, _now()
        _git(self._repository, "worktree", "add", "--quiet", "--detach", str(folder), self._commit)
        return _Took(*_since(begun), *_status(folder))


def _status(folder: Path, entering: tuple[str, ...] = ()) -> tuple[float, float]:
    begun = _now()
    words = [*entering, "git", "-C", str(folder), "status", "--porcelain"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    took = _since(begun)
    assert said == "", f"git takes a workspace that nobody has touched for changed: {said[:200]}"
    return took


def _now() -> tuple[float, float]:
    """Seconds, by the clock and of processors: this process's, and those of programs that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(each.ru_utime + each.ru_stime for each in used)


def _since(begun: tuple[float, float]) -> tuple[float, float]:
    clock, processor = ((now - then) * 1000 for now, then in zip(_now(), begun, strict=True))
    return clock, max(processor, 0.001)


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
