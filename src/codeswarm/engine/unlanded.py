"""Work that only our store holds, as one file that any git can read: what is left when Codeswarm itself goes."""

from __future__ import annotations

from pathlib import Path

from codeswarm.engine.project import Project
from codeswarm.errors import GitError, UsageError
from codeswarm.git.command import Git


def save_unlanded(project: Project, store: Path, target: Path) -> Path | None:
    """Bundle every commit of the store that no branch or tag of the person's repository reaches.

    The branches that follow sessions don't count as the person's: they go. None where there is nothing to save.
    Raises: UsageError where the file can't be made; then nothing may be removed.
    """
    git = Git(store)
    theirs = project.git.line("for-each-ref", "--format=%(objectname)%09%(refname)", "refs/heads", "refs/tags")
    tips = [line.split("\t")[0] for line in theirs.splitlines() if "\trefs/heads/codeswarm/" not in line]
    known = git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join(tips).encode()).decode()
    have = [line.split()[0] for line in known.splitlines() if not line.endswith("missing")]
    known_to_them = "\n".join(f"^{tip}" for tip in dict.fromkeys(have)).encode()
    if not git.run("rev-list", "--max-count=1", "--all", "--stdin", stdin=known_to_them).strip():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise UsageError(f"{target} is there already", "it could be an earlier bundle", "codeswarm uninstall")
    try:
        git.run("bundle", "create", "--quiet", str(target.absolute()), "--all", "--stdin", stdin=known_to_them)
        project.git.run("bundle", "verify", "--quiet", str(target.absolute()))
    except GitError as error:
        raise UsageError(
            f"unlanded work could not be saved to {target}", error.why, "codeswarm ledger verify"
        ) from error
    return target
