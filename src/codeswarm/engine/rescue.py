"""Commits that the ledger names and the store lacks: said in three lines, with the command that brings them back.

What has landed is in the person's repository, too, by the branch that shows it; so most of a lost store can be fetched.
"""

from __future__ import annotations

import shlex

from codeswarm.engine.project import Project
from codeswarm.errors import StoreDiverged
from codeswarm.git.store import Store

RESCUED = "refs/codeswarm/rescued"
"""Where what is brought back is kept, until the refs stand again that the ledger names."""


def check_held(store: Store, project: Project, session: str, *commits: str) -> None:
    """Raises: StoreDiverged for the first commit that the store does not hold."""
    there = store.path.is_dir()
    for commit in commits:
        if not there or store.commit(commit) is None:
            raise StoreDiverged(
                f"the store does not hold {commit[:12]}, which session {session} stands on",
                "the ledger names it, so the store has been damaged, exchanged or removed",
                _way_back(store, project, commit, there=there),
            )


def _way_back(store: Store, project: Project, lost: str, *, there: bool) -> str:
    if not project.has(lost):
        return "codeswarm ledger verify   # names all that is missing; only a copy of store.git has it"
    theirs = shlex.quote(str(project.git_dir))
    made = "" if there else f"git init -q --bare --object-format={project.object_format} {_path(store)} && "
    fetch = f"git --git-dir={_path(store)} fetch --no-tags {theirs} '+refs/*:{RESCUED}/*'"
    return f"{made}{fetch}   # your repository has it; then the same again"


def _path(store: Store) -> str:
    return shlex.quote(str(store.path))
