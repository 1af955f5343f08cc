"""The plain files of a commit, read as data: links, submodules and what is too large are as if they were not there."""

from __future__ import annotations

from functools import cached_property

from codeswarm.errors import GitError
from codeswarm.git.command import UserGit

MAX_LISTING_BYTES = 4 << 20
"""Of a folder that lists longer than this only its beginning is seen."""


class CommitFiles:
    """What stands in a commit of the person's repository. Each folder is listed once, and only when asked for."""

    def __init__(self, git: UserGit, commit: str, max_file_bytes: int) -> None:
        self._git = git
        self._commit = commit
        self._max_file_bytes = max_file_bytes
        self._listed: dict[str, dict[str, tuple[str, str, int]]] = {}

    def names(self, folder: str = "") -> frozenset[str]:
        return frozenset(name for name, (mode, _, _) in self._list(folder).items() if mode.startswith("100"))

    def folders(self) -> frozenset[str]:
        return frozenset(name for name, (mode, _, _) in self._list("").items() if mode == "040000")

    @cached_property
    def _paths(self) -> frozenset[str]:
        lines = self._ls_tree("-r").split(b"\0")
        plain = (line.partition(b"\t")[2] for line in lines if line.startswith(b"100"))
        return frozenset(path.decode(errors="surrogateescape") for path in plain)

    def paths(self) -> frozenset[str]:
        return self._paths

    def text(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        mode, object_id, size = self._list(folder).get(name, ("", "", 0))
        if not mode.startswith("100") or size > self._max_file_bytes:
            return None
        try:
            return self._git.run("cat-file", "blob", object_id).decode("utf-8-sig")
        except (GitError, UnicodeDecodeError):
            return None

    def _list(self, folder: str) -> dict[str, tuple[str, str, int]]:
        """Name → (mode, object, size) of what lies directly in a folder."""
        if folder not in self._listed:
            self._listed[folder] = _parsed(self._listing(folder), folder)
        return self._listed[folder]

    def _listing(self, folder: str) -> bytes:
        return self._ls_tree("-l", *((f"{folder}/",) if folder else ()))

    def _ls_tree(self, how: str, *where: str) -> bytes:
        words = ("ls-tree", "-z", how, "--full-tree", self._commit, "--", *where)
        try:
            out, whole = self._git.head(*words, most=MAX_LISTING_BYTES)
        except GitError:
            return b""
        return out if whole else out.rpartition(b"\0")[0]


def _parsed(listing: bytes, folder: str) -> dict[str, tuple[str, str, int]]:
    found: dict[str, tuple[str, str, int]] = {}
    for line in listing.split(b"\0"):
        facts, tab, path = line.partition(b"\t")
        if tab:
            mode, _, object_id, size = facts.decode().split()
            name = path.decode(errors="surrogateescape").removeprefix(f"{folder}/" if folder else "")
            found[name] = (mode, object_id, 0 if size == "-" else int(size))
    return found
