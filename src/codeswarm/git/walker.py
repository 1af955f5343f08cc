"""Lists what changed in a workspace, with its bytes. A program of its own: `python -I -S walker.py`.

It runs in a sandbox that sees the workspace read-only, and imports nothing but the standard library, so that it
starts in milliseconds. The workspace is hostile: everything is opened beneath its parent's descriptor without
following links, only regular files are read, and nothing in it is ever executed or taken for configuration. The
one git that it calls (`check-ignore`) uses a git directory of ours.

In: one JSON line on standard input (`WalkOrder` in `worker/snapshots.py`). Out: frames on standard output, in the
format of `changes.py`; and a new manifest beside the old one, as `.next`: whoever takes the frames home puts it in
place then. The manifest maps each path to its signature, so that the next walk can tell what changed without reading.
"""

from __future__ import annotations

import json
import marshal
import os
import re
import stat
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO

    Signature = tuple[int, int, int, int, int]
    Manifest = dict[bytes, tuple[int, Signature | None]]

TRACKED, SETUP, KEPT, IGNORED = 0, 1, 2, 3
"""What a path in the manifest is: in the commit; made by set-up; sent as new; sent as ignored."""

RACY_NS = 20_000_000
"""A file changed this shortly before the walk may change again within the same clock tick: look again next time."""

DOTGIT = re.compile(rb"(\.git|git~1)[ .]*(:.*)?$", re.IGNORECASE)
CHUNK = 1 << 20


class Walk:
    def __init__(self, order: dict[str, Any]) -> None:
        self.root = os.fsencode(order["root"])
        self.git_dir = order["git_dir"]
        self.scope_all = order["scope"] == "all"
        self.baseline_only = order["scope"] == "baseline"
        self.gitlinks = {os.fsencode(path) for path in order["gitlinks"]}
        self.never = {os.fsencode(path) for path in order["never"]}
        self.max_file = order["max_file_bytes"]
        self.max_total = order["max_total_bytes"]
        self.max_ignored = order["max_ignored_bytes"]
        self.deadline = time.monotonic() + order["deadline_s"]
        self.mark_new_as = order.get("mark_new_as", KEPT)
        self.manifest_path = order["manifest"]
        self.old = self.load()
        self.tracked_dirs = parents(path for path, entry in self.old.items() if entry[0] != IGNORED)
        self.new: Manifest = {}
        self.started_ns = time.time_ns()
        self.sent = self.ignored = self.count = 0
        self.out = sys.stdout.buffer
        self.checker: subprocess.Popen[bytes] | None = None

    def load(self) -> Manifest:
        try:
            with open(self.manifest_path, "rb") as file:
                known: Manifest = marshal.load(file)  # a file of ours, which no agent can reach
                return known
        except FileNotFoundError:
            return {}

    def run(self) -> None:
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self.folder(root, b"", ignored=False)
        os.close(root)
        if not self.baseline_only:
            self.deletions()
        self.frame({"op": "end", "files": self.count})
        self.out.flush()
        with open(self.manifest_path + ".next", "wb") as file:
            marshal.dump(self.new, file)

    def folder(self, fd: int, prefix: bytes, *, ignored: bool) -> None:
        """Everything in one folder: files first, then folders, each opened beneath its parent."""
        if time.monotonic() > self.deadline:
            raise TimeoutError("the workspace is too large to be looked through in time")
        files, folders = [], []
        for entry in os.listdir(fd):
            name = os.fsencode(entry)
            path = prefix + name
            if DOTGIT.match(name):
                if prefix:
                    self.left_out(path, "a nested repository's own data; the files around it are kept")
                continue
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(info.st_mode):
                folders.append((name, path))
            else:
                files.append((name, path, info))
        if prefix[:-1] in self.gitlinks:
            if files or folders:
                self.left_out(prefix[:-1], "a change inside a submodule; submodules are not edited here")
            return
        self.files(fd, files, ignored=ignored)
        self.folders(fd, folders, ignored=ignored)

    def files(self, fd: int, files: list[tuple[bytes, bytes, os.stat_result]], *, ignored: bool) -> None:
        fresh = [path for _, path, _ in files if path not in self.old]
        ignored_paths = set(fresh) if ignored else self.ask_ignored(fresh)
        for name, path, info in files:
            before = self.old.get(path)
            signature = (info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
            if before is not None and before[1] == signature:
                self.new[path] = before
                continue
            if self.baseline_only:
                self.remember(path, self.mark_new_as if before is None else before[0], signature)
                continue
            if path in ignored_paths or (
                before is not None and before[0] in (IGNORED, SETUP) and self.is_ignored(path)
            ):
                self.ignored_file(fd, name, path, signature)
            elif self.send(fd, name, path, info, is_ignored=False):
                kind = TRACKED if before is not None and before[0] == TRACKED else KEPT
                self.remember(path, kind, signature)

    def ignored_file(self, fd: int, name: bytes, path: bytes, signature: Signature) -> None:
        """Kept only in the snapshot at the end of an attempt, and only up to a cap."""
        if not self.scope_all or path in self.never:
            return
        size = signature[1]
        if self.ignored + size > self.max_ignored:
            self.left_out(path, "ignored by git, and beyond the cap for ignored files", size)
            return
        if self.send(fd, name, path, os.stat(name, dir_fd=fd, follow_symlinks=False), is_ignored=True):
            self.ignored += size
            self.remember(path, IGNORED, signature)

    def folders(self, fd: int, folders: list[tuple[bytes, bytes]], *, ignored: bool) -> None:
        unknown = [] if ignored else [path for _, path in folders if path not in self.tracked_dirs]
        ignored_folders = {path[:-1] for path in self.ask_ignored([path + b"/" for path in unknown])}
        for name, path in folders:
            below_ignored = ignored or path in ignored_folders
            if below_ignored and not self.scope_all and not self.baseline_only:
                self.carry_over(path + b"/")
                continue
            try:
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except PermissionError:
                self.left_out(path, "a folder that can't be read")
                continue
            except OSError:
                continue
            try:
                self.folder(below, path + b"/", ignored=below_ignored)
            finally:
                os.close(below)

    def carry_over(self, prefix: bytes) -> None:
        """An ignored folder that is not looked at now keeps what the manifest knows of it."""
        for path, entry in self.old.items():
            if path.startswith(prefix):
                self.new[path] = entry

    def remember(self, path: bytes, kind: int, signature: Signature) -> None:
        racy = not self.baseline_only and self.started_ns - signature[3] < RACY_NS
        self.new[path] = (kind, None if racy else signature)

    def deletions(self) -> None:
        for path, entry in self.old.items():
            if path not in self.new and entry[0] in (TRACKED, KEPT):
                self.count += 1
                self.frame({"op": "delete", "path": os.fsdecode(path)})

    def send(self, fd: int, name: bytes, path: bytes, info: os.stat_result, *, is_ignored: bool) -> bool:
        """One file as a frame. Whether it was sent."""
        if path in self.never:
            return False
        if stat.S_ISLNK(info.st_mode):
            try:
                target = os.fsencode(os.readlink(name, dir_fd=fd))
            except OSError:
                return False
            return self.put(path, "120000", target, is_ignored=is_ignored)
        if not stat.S_ISREG(info.st_mode):
            self.left_out(path, "not a regular file")
            return False
        if info.st_size > self.max_file:
            self.left_out(path, "larger than the cap for one file", info.st_size)
            return False
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        except PermissionError:
            self.left_out(path, "a file that can't be read", info.st_size)
            return False
        except OSError:
            return False
        with os.fdopen(file, "rb") as handle:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return False
            data = handle.read(self.max_file + 1)
        if len(data) > self.max_file:
            self.left_out(path, "larger than the cap for one file", len(data))
            return False
        return self.put(path, "100755" if info.st_mode & 0o100 else "100644", data, is_ignored=is_ignored)

    def put(self, path: bytes, mode: str, data: bytes, *, is_ignored: bool) -> bool:
        if self.sent + len(data) > self.max_total:
            self.left_out(path, "beyond the cap for one snapshot", len(data))
            return False
        self.sent += len(data)
        self.count += 1
        self.frame({"op": "put", "path": os.fsdecode(path), "mode": mode, "size": len(data), "ignored": is_ignored})
        self.out.write(data)
        return True

    def left_out(self, path: bytes, reason: str, size: int | None = None) -> None:
        if not self.baseline_only:
            self.frame({"op": "left_out", "path": os.fsdecode(path), "reason": reason, "size": size})

    def frame(self, header: dict[str, object]) -> None:
        self.out.write(json.dumps(header).encode() + b"\n")

    # ── what git ignores ──

    def is_ignored(self, path: bytes) -> bool:
        return bool(self.ask_ignored([path]))

    def ask_ignored(self, paths: list[bytes]) -> set[bytes]:
        """Those of `paths` (folders end with a slash) that the workspace's own .gitignore files ignore."""
        if not paths or self.baseline_only:
            return set()
        if self.checker is None:
            self.checker = self.start_checker()
        questions, answers = self.checker.stdin, self.checker.stdout
        assert questions is not None
        assert answers is not None
        found = set()
        for path in paths:
            questions.write(path + b"\0")
            questions.flush()
            source, _, pattern, _ = (self.field(answers) for _ in range(4))  # type: ignore[arg-type]
            if source and not pattern.startswith(b"!"):
                found.add(path)
        return found

    def start_checker(self) -> subprocess.Popen[bytes]:
        """`git check-ignore` with a git directory of ours: of the workspace it reads .gitignore files, no more."""
        argv = ["git", "--git-dir=" + self.git_dir, "--work-tree=" + os.fsdecode(self.root)]
        argv += ["check-ignore", "--no-index", "--stdin", "-z", "--verbose", "--non-matching"]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C"}
        env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen(argv, cwd=self.root, env=env, stdin=pipe, stdout=pipe, stderr=null)

    def field(self, answers: BinaryIO) -> bytes:
        data = bytearray()
        while (byte := answers.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("git check-ignore ended early")
            data += byte
        return bytes(data)


def parents(paths: Iterable[bytes]) -> set[bytes]:
    """Every folder above any of the paths."""
    found = set()
    for path in paths:
        end = path.rfind(b"/")
        while end > 0 and (folder := path[:end]) not in found:
            found.add(folder)
            end = path.rfind(b"/", 0, end)
    return found


def main() -> None:
    Walk(json.loads(sys.stdin.buffer.readline())).run()


if __name__ == "__main__":
    main()
