"""Verbs that are planned and not there yet: whoever types one is told so, and what there is in its stead."""

from __future__ import annotations

from codeswarm.errors import UsageError

ONE_MACHINE = "agents work on this machine only, in the repository where they are started"
NO_ROUTER = "shared routers and workers on other machines don't exist yet"
RUN = "codeswarm run --help   # --workers: agents at once; --detach: in the background"

LATER: dict[str, tuple[str, str]] = {
    "rollback": ("your branch is moved back with git; each save leaves a tag", "codeswarm checkpoints"),
    "revert": ("each landed ticket is one commit, which git can take back", "codeswarm report   # tells how, of each"),
    "blame": ("what a commit was made for, and its proof, stand in the report", "codeswarm report"),
    "try": ("what has landed lies on a branch of its own", "codeswarm report   # names it; or: codeswarm diff"),
    "plugin": ("any program can be an agent, without a plugin", "codeswarm example agent"),
    "open": ("there is no portal yet, but a page of each session", "codeswarm report --html report.html"),
    "mcp": ("programs use the commands themselves", "codeswarm --help   # each takes --json"),
    "serve": (NO_ROUTER, RUN),
    "worker": (NO_ROUTER, RUN),
    "swarm": (ONE_MACHINE, RUN),
    "providers": (ONE_MACHINE, RUN),
    "project": (ONE_MACHINE, "codeswarm session list"),
    "login": (f"{NO_ROUTER}; agents log in by themselves", "codeswarm doctor   # tells what each lacks"),
    "context": (NO_ROUTER, "codeswarm session list"),
    "token": (f"{NO_ROUTER}, so nobody needs one", "codeswarm doctor   # tells which tokens agents use"),
}
"""Verb → why, and what to do."""


def refuse_what_comes_later(word: str) -> None:
    """Raises: UsageError for a verb of later."""
    if word in LATER:
        raise UsageError(f"`codeswarm {word}` is not part of this version", *LATER[word])
