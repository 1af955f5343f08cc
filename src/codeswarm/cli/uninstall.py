"""`codeswarm uninstall`: removes what Codeswarm made for this repository, and first saves what has not been saved.

Nothing goes before a person has seen the list and said yes. What no ref holds is brought home first; then every commit
that the repository does not have itself goes into a bundle beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import choose, is_terminal
from codeswarm.cli.output import count, next_step, progress, say, say_json
from codeswarm.errors import UsageError


@dataclass(frozen=True, slots=True)
class Goes:
    """One thing that is removed."""

    what: str
    where: str
    bytes: int = 0


def uninstall(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where unlanded work is saved; beside the git directory's data.")
    ] = None,
) -> None:
    """Remove what Codeswarm keeps for this repository.

    That is the ledger, the store, workspaces, and the branches that follow sessions. Unlanded work is first saved as a
    git bundle. The program itself is removed by the installer that brought it.

    Example: codeswarm uninstall --dry-run
    """
    here: Here = context.obj
    goes = list(_goes(here))
    if not here.json:
        _list(goes)
    if not goes or dry_run:
        _tell(here, goes, None, [], done=False)
        return
    _check_not_live(here)
    if not (yes or _confirmed(here)):
        return
    progress("bringing home what lies in workspaces, and saving what no branch of yours has")
    stays = run_async(_bring_home(here))
    saved = _save(here, bundle)
    _remove(here, stays)
    _tell(here, goes, saved, stays, done=True)


def _goes(here: Here) -> Iterator[Goes]:
    from codeswarm.worker.cleaning import size_of

    home = here.home
    if home.data.root.is_dir():
        yield Goes("ledger, store, transcripts", str(home.data.root), size_of(home.data.root))
    if home.workspaces.is_dir():
        yield Goes("workspaces, caches", str(home.workspaces), size_of(home.workspaces))
    for branch in _branches(here):
        yield Goes("branch", branch)


def _branches(here: Here) -> list[str]:
    """The branches that follow sessions, but for those that someone has checked out."""
    project = here.home.project
    names = project.git.line("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/codeswarm/").splitlines()
    return [name for name in names if name not in project.checked_out()]


def _list(goes: list[Goes]) -> None:
    for item in goes:
        size = f"{item.bytes / (1 << 20):8.1f} MiB" if item.bytes else " " * 12
        say(f"goes  {size}  {item.what}: {item.where}")
    if goes:
        say("stays               your branches, tags checkpoint/…, codeswarm.toml, your own settings")


def _check_not_live(here: Here) -> None:
    if here.live:
        raise UsageError(
            "a session is live here", "its agents are at work in what would be removed", "codeswarm stop --now"
        )


def _confirmed(here: Here) -> bool:
    if here.json or not is_terminal():
        raise UsageError("nothing was removed", "nobody was there to say yes", "codeswarm uninstall --yes")
    return choose("remove all this? yes / no", ("yes", "no")) == "yes"


# ── saving, then removing ────────────────────────────────────────────────────────────────────────────────────


async def _bring_home(here: Here) -> list[Any]:
    """What lies in workspaces goes into refs; the folders that hold what no ref can are kept, and answered."""
    from codeswarm.cli.gc import clean_up, find_litter
    from codeswarm.worker.cleaning import Litter
    from codeswarm.worker.places import ATTEMPTS

    stays = await clean_up(here, find_litter(here)) if here.home.data.ledger.is_file() else []
    named = {item.path for item in stays}
    root = here.home.workspaces / ATTEMPTS
    unfinished = [path for path in (sorted(root.iterdir()) if root.is_dir() else ()) if path not in named]
    return [*stays, *(Litter(path, "keep", "its attempt is not over") for path in unfinished)]


def _save(here: Here, wanted: Path | None) -> Path | None:
    """The bundle with every commit of the store that the person's repository does not have; None where it has all."""
    from codeswarm.engine.unlanded import save_unlanded

    store = here.home.data.store
    if not store.is_dir():
        return None
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    target = here.directory / wanted if wanted else here.home.project.git_dir / f"codeswarm-unlanded-{stamp}.bundle"
    return save_unlanded(here.home.project, store, target)


def _remove(here: Here, stays: list[Any]) -> None:
    from codeswarm.worker.places import remove

    kept = {item.path for item in stays}
    workspaces = here.home.workspaces
    if not kept:
        remove(workspaces)
    for folder in (path for top in workspaces.glob("*") for path in top.glob("*")) if kept else ():
        if folder not in kept:
            remove(folder)
    for branch in _branches(here):
        here.home.project.git.run("update-ref", "-d", f"refs/heads/{branch}")
    shutil.rmtree(here.home.data.root, ignore_errors=False) if here.home.data.root.is_dir() else None


def _tell(here: Here, goes: list[Goes], saved: Path | None, stays: list[Any], *, done: bool) -> None:
    if here.json:
        found = [{"what": item.what, "where": item.where, "bytes": item.bytes} for item in goes]
        kept = [{"path": str(item.path), "why": item.why} for item in stays]
        say_json({"done": done, "goes": found, "bundle": str(saved) if saved else None, "stays": kept})
        return
    if not goes:
        say("nothing of this repository is kept here")
    for item in stays:
        say(f"stays: {item.path}: {item.why}")
    if saved is not None:
        say(f"saved first: {saved}, every commit of every attempt that no branch of yours has")
        say(f"  to have it back: git fetch {saved} 'refs/*:refs/rescued/*'")
        say(f"  to do without it: rm {saved}")
    if done:
        say(f"{count(len(goes), 'thing')} removed")
        next_step("pip uninstall codeswarm   # or go on: codeswarm init")
