"""Commits that an agent made by itself: kept, under refs of their own, so that a stash or a side branch is not lost.

The agent wrote that repository, so git runs on it only behind walls, with the workspace read-only, and by a git
directory of ours that borrows its refs and objects and nothing else: its configuration could start programs that write
the bundle. What comes out is a bundle, and the router checks every object of it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from codeswarm.errors import CodeswarmError
from codeswarm.sandbox.base import Box, Mount, Sandbox
from codeswarm.sandbox.bubblewrap import DEFAULT_PATH
from codeswarm.worker.beneath import size_left
from codeswarm.worker.masks import masks
from codeswarm.worker.places import Place
from codeswarm.worker.run import run_to_end
from codeswarm.worker.view import View

NOTHING, BROKEN = 4, 5
BUNDLE = "commits.bundle"
TIMEOUT_S = 120.0
MAX_BYTES = 512 << 20

Upload = Callable[[Path], Awaitable[object]]

SCRIPT = f"""
[ -e .git ] || [ -L .git ] || exit {NOTHING}
[ -d .git ] && [ -f .git/HEAD ] && [ ! -e .git/reftable ] || {{ echo "it is laid out in another way"; exit {BROKEN}; }}
cat .git/HEAD > "$GIT_DIR/HEAD"
count=$(git rev-list --count --all HEAD --not "$START") || exit {BROKEN}
[ "$count" -eq 0 ] && exit {NOTHING}
exec git bundle create --quiet "$OUT/{BUNDLE}" --all HEAD --not "$START"
"""
ENVIRONMENT = {
    "PATH": DEFAULT_PATH,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
}


async def keep_commits(
    place: Place, view: View, sandbox: Sandbox, objects: Path, start: str, upload: Upload
) -> str | None:
    """Send the commits that `start` does not reach, if there are any; why that was not possible, or None."""
    scratch = place.meta / "commits"
    for folder in (scratch / "home", scratch / "run", scratch / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    box = Box(
        name=f"commits-{place.name}",
        workspace=view.source,
        home=scratch / "home",
        run=scratch / "run",
        tmp=scratch / "tmp",
        mounts=(Mount(objects),),
        masks=masks(objects),
        read_only_workspace=True,
        namespaces=view.namespaces,
    )
    inside = sandbox.inside(box)
    _own_git(scratch / "run" / "git", inside.workspace / ".git", sha256=len(start) == 64)
    environment = {**ENVIRONMENT, "START": start, "OUT": str(inside.run), "GIT_DIR": str(inside.run / "git")}
    try:
        done = await run_to_end(sandbox, box, ["/bin/sh", "-c", SCRIPT], environment, timeout_s=TIMEOUT_S)
        if done.exit_code == NOTHING:
            return None
        size = size_left(scratch / "run", BUNDLE)
        if done.exit_code != 0 or size is None:
            return f"its own repository can't be read: {done.tail[-300:] or 'git failed'}"
        if size > MAX_BYTES:
            return f"its own commits are larger than {MAX_BYTES >> 20} MiB"
        await upload(scratch / "run" / BUNDLE)
    except CodeswarmError as error:
        return f"its own commits could not be kept: {error.what}"
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
    return None


def _own_git(path: Path, theirs: Path, *, sha256: bool) -> None:
    """A git directory with a configuration of ours, and the refs and objects of another as seen from inside."""
    path.mkdir()
    form = "1\n[extensions]\n\tobjectformat = sha256\n" if sha256 else "0\n"
    (path / "config").write_text(f"[core]\n\tbare = true\n\trepositoryformatversion = {form}")
    for name in ("objects", "refs", "packed-refs"):
        (path / name).symlink_to(theirs / name)
