"""Commits that an agent made by itself: kept, under refs of their own, so that a stash or a side branch is not lost.

The agent wrote that repository, so git runs on it only behind walls, with the workspace read-only, and by a git
directory of ours that borrows its refs and objects and nothing else: its configuration could start programs that write
the bundle. What comes out is a bundle, and the router checks every object of it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from codeswarm.errors import CodeswarmError
from codeswarm.git.paths import as_bytes, shown
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Box, Limits, Mount, Sandbox
from codeswarm.sandbox.bubblewrap import DEFAULT_PATH
from codeswarm.worker.beneath import read_left, size_left
from codeswarm.worker.masks import masks
from codeswarm.worker.places import Place
from codeswarm.worker.run import run_to_end
from codeswarm.worker.view import View

NOTHING, BROKEN, SECRET = 4, 5, 6
CREDENTIAL = "a credential of yours stands in its own commits"
BUNDLE, NEVER, HOLDING = "commits.bundle", "never", "holding"
TIMEOUT_S = 120.0
MAX_BYTES = 512 << 20
LIMITS = Limits(memory_mib=2048)
LINE_MIB = 1024
"""What is looked through line by line, and a line may be as long as a file."""
MAX_NAMED, MAX_REFS = 1 << 16, 20

Upload = Callable[[Path], Awaitable[object]]

SCRIPT = f"""
exec 4<&0 < /dev/null
[ -e .git ] || [ -L .git ] || exit {NOTHING}
[ -d .git ] && [ -f .git/HEAD ] && [ ! -e .git/reftable ] || {{ echo "it is laid out in another way"; exit {BROKEN}; }}
cat .git/HEAD > "$GIT_DIR/HEAD"
count=$(git rev-list --count --all HEAD --not "$START") || exit {BROKEN}
[ "$count" -eq 0 ] && exit {NOTHING}
clean() {{
  git rev-list --objects --no-object-names --all HEAD --not "$START" > "$OUT/objects" || return
  {{ git cat-file --batch --buffer < "$OUT/objects" && : > "$OUT/all-read"; }} |
    (ulimit -v "$LINE_KIB"; exec grep -qaF -f - /dev/fd/3) 3<&0 <&4
  case $? in 0) exit {SECRET} ;; 1) [ -e "$OUT/all-read" ] ;; *) false ;; esac
}}
[ "$FORMS" -eq 0 ] || clean || exit {BROKEN}
git for-each-ref --format='%(objecttype) %(*objecttype)' > "$OUT/types" || exit {BROKEN}
git for-each-ref --format='%(refname)' > "$OUT/refs" && echo HEAD >> "$OUT/refs" || exit {BROKEN}
free() {{ [ ! -s "$OUT/{NEVER}" ] || {{ found=$(xargs -0 -s 100000 git rev-list --full-history --max-count=1 "$@" \
  --not "$START" -- < "$OUT/{NEVER}" 2>&1) && [ -z "$found" ]; }}; }}
plain() {{ [ ! -s "$OUT/{NEVER}" ] || {{ grep -qvxE 'commit |tag commit' "$OUT/types"; [ $? -eq 1 ]; }}; }}
free --all HEAD && plain && exec git bundle create --quiet "$OUT/{BUNDLE}" --all HEAD --not "$START"
while read -r ref; do
  if git rev-parse --verify --quiet "$ref^{{commit}}" > /dev/null && free "$ref"; then echo "$ref"; else
    echo "$ref" >> "$OUT/{HOLDING}"
  fi
done < "$OUT/refs" > "$OUT/keep"
echo "^$START" >> "$OUT/keep"
[ "$(git rev-list --count --stdin < "$OUT/keep")" -eq 0 ] && exit {NOTHING}
exec git bundle create --quiet "$OUT/{BUNDLE}" --stdin < "$OUT/keep"
"""
"""Forms of secrets come by standard input, and no file holds them. Nothing is sent unless all was looked through.

A tip that holds a copied secret, be it in a commit that a later one takes back, is not among what is bundled. Nor is
one that is no commit, where there are such secrets: nobody can tell by its paths what it holds."""
ENVIRONMENT = {
    "PATH": DEFAULT_PATH,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_LITERAL_PATHSPECS": "1",
}


async def keep_commits(
    place: Place,
    view: View,
    sandbox: Sandbox,
    objects: Path,
    start: str,
    upload: Upload,
    never: Iterable[str],
    secrets: Secrets,
) -> str | None:
    """Send the commits that `start` does not reach, if there are any; why that was not possible for all, or None.

    `never`: paths that must reach no ref (copied secrets). A branch, tag or stash that holds one in any commit since
    `start` is not sent. `secrets`: where one of these stands in any of the commits, none is sent.
    """
    scratch = place.meta / "commits"
    await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)  # of a try that was killed
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
        limits=LIMITS,
        read_only_workspace=True,
        namespaces=view.namespaces,
    )
    inside = sandbox.inside(box)
    _own_git(scratch / "run" / "git", inside.workspace / ".git", sha256=len(start) == 64)
    (scratch / "run" / NEVER).write_bytes(b"".join(as_bytes(path) + b"\0" for path in never))
    forms, out = b"".join(form + b"\n" for form in secrets.forms), str(inside.run)
    told = {"START": start, "OUT": out, "FORMS": f"{len(forms)}", "LINE_KIB": f"{LINE_MIB << 10}"}
    environment = {**ENVIRONMENT, **told, "GIT_DIR": f"{out}/git"}
    try:
        argv = ["/bin/sh", "-c", SCRIPT]
        done = await run_to_end(sandbox, box, argv, environment, timeout_s=TIMEOUT_S, stdin=forms)
        holding = _holding(scratch / "run")
        if done.exit_code == NOTHING:
            return holding
        if done.exit_code == SECRET:
            return CREDENTIAL
        size = size_left(scratch / "run", BUNDLE)
        if done.exit_code != 0 or size is None:
            why = done.tail[-300:] or ", ".join(done.exceeded) or "git failed"
            return f"its own repository can't be read: {why}"
        if size > MAX_BYTES:
            return f"its own commits are larger than {MAX_BYTES >> 20} MiB"
        await upload(scratch / "run" / BUNDLE)
    except CodeswarmError as error:
        return f"its own commits could not be kept: {error.what}"
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
    return holding


def _holding(run: Path) -> str | None:
    """What was not sent since a copied secret is in it, as a reason to keep it where it is."""
    found = (read_left(run, HOLDING, MAX_NAMED) or b"").split()
    if not found:
        return None
    named = ", ".join(shown(ref) for ref in found[:MAX_REFS]) + (" …" if len(found) > MAX_REFS else "")
    return f"these hold, or may hold, a copied file that must reach no ref, and are kept nowhere else: {named}"


def _own_git(path: Path, theirs: Path, *, sha256: bool) -> None:
    """A git directory with a configuration of ours, and the refs and objects of another as seen from inside."""
    path.mkdir()
    form = "1\n[extensions]\n\tobjectformat = sha256\n" if sha256 else "0\n"
    memory = "[pack]\n\tthreads = 2\n\twindowMemory = 128m\n[core]\n\tbigFileThreshold = 64m\n"
    (path / "config").write_text(f"{memory}\tbare = true\n\trepositoryformatversion = {form}")
    for name in ("objects", "refs", "packed-refs"):
        (path / name).symlink_to(theirs / name)
