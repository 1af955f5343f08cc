"""Lists what changed in a workspace, with its bytes. A program of its own: `python -I -S walker.py`.

It runs in a sandbox that sees the workspace read-only, and imports nothing but the standard library, so that it
starts in milliseconds. The workspace is hostile: everything is opened beneath its parent's descriptor without
following links, only regular files are read, and nothing in it is ever executed or taken for configuration. The
one git that it calls (`check-ignore`) uses a git directory of ours.

In: one JSON line on standard input (`Snapshotter._order` in `worker/snapshots.py`). Out: frames on standard output, in
the format of `changes.py`; and a new manifest beside the old one, as `.next`: whoever takes the frames home puts it in
place then. The manifest maps each path to its signature, so that the next walk can tell what changed without reading;
that of a new checkout is git's index, as it was then. Until the frames are known to have arrived, the paths that they
tell of stand in `.unsure`, and are told again.

Where the workspace is an overlay, the order names its upper layer, too. A folder that is not in it was not touched
since the manifest was begun, and is not looked into: before anything in a folder is written, removed or renamed, the
folder itself stands in the upper layer.
"""

from __future__ import annotations

import bisect
import gc
import json
import marshal
import os
import re
import select
import stat
import struct
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Signature = tuple[int, int, int, int, int]
    Manifest = dict[bytes, tuple[int, Signature | None]]
    Entry = tuple[bytes, int, int, int, int, int]  # (path, mode in a tree, size, mtime in ns, ctime in ns, inode)

TRACKED, SETUP, KEPT, IGNORED = 0, 1, 2, 3
"""What a path in the manifest is: in the commit; made by set-up; sent as new; sent as ignored."""

RACY_NS = 20_000_000
"""A file changed this shortly before the walk may change again within the same clock tick: look again next time."""

TICK_NS = 10_000_000
"""The longest that the kernel's clock for files lags behind."""
BITS = 0xFFFFFFFF
"""Of sizes and inodes: as many as git's index keeps."""
NS = 1_000_000_000
INDEX_HEADER = struct.Struct(">4sII")
GITLINK = 0o160000

MAX_PATH = 4095
"""Git checks nothing out at a longer path."""
MAX_DEPTH = 400
"""Each folder above the one that is looked at costs an open file."""

DOTGIT = re.compile(rb"(\.git|git~1)[ .]*(:.*)?\Z", re.IGNORECASE | re.DOTALL)
GITMODULES = re.compile(
    rb"(\.gitmodules|gitmod~[1-4]|g?i?7?e?b?a?~[1-9][0-9]*)[ .]*(:.*)?\Z", re.IGNORECASE | re.DOTALL
)
HFS_IGNORED = re.compile(rb"\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf")
CHUNK = 1 << 16
SUSPECT = b".gG\xe2\xef"
"""What a name starts with that a file system could take for `.git`, unless it holds a backslash."""


class Rules:
    """What holds in a folder for what git ignores, by the folders above it."""

    def __init__(self, *, ignored: bool = False, stale: bool = False, blind: bool = False) -> None:
        """`ignored`: everything here is.

        `stale`: a .gitignore here or above is not what it was: what was told may have changed sides.
        `blind`: a .gitignore here or above is a pipe, which git would wait at: nothing is asked, nothing is ignored.
        """
        self.ignored = ignored
        self.stale = stale
        self.blind = blind


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
        self.old: Manifest = self.load("") or {}
        self.told: set[bytes] = self.load(".unsure") or set()
        self.doubt()
        self.upper = order.get("upper", "")
        self.told_dirs = parents(self.told)
        self.sorted: list[bytes] = sorted(self.old) if self.upper else []
        self.tracked_dirs = parents(path for path, entry in self.old.items() if entry[0] != IGNORED)
        self.were_ignored = [path for path, entry in self.old.items() if entry[0] == IGNORED]
        self.new: Manifest = {}
        self.met: set[bytes] = set()
        self.started_ns = time.time_ns()
        self.newest_ns = 0
        self.sent = self.ignored = self.count = 0
        self.out = sys.stdout.buffer
        self.checker: subprocess.Popen[bytes] | None = None
        self.answers = b""

    # ── what is known ──

    def load(self, suffix: str) -> Any:
        try:
            return read_manifest(self.manifest_path + suffix)
        except FileNotFoundError:
            return None

    def save(self, suffix: str, value: Any) -> None:
        with open(self.manifest_path + suffix + ".new", "wb") as file:
            file.write(marshal.dumps(value))
        os.replace(self.manifest_path + suffix + ".new", self.manifest_path + suffix)

    def doubt(self) -> None:
        """What was told, and may or may not have arrived, is told again, whatever became of it."""
        for path in self.told:
            kind = self.old[path][0] if path in self.old else KEPT
            self.old[path] = (TRACKED if kind == TRACKED else KEPT, None)

    def run(self) -> None:
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        upper = os.open(self.upper, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW) if self.upper else None
        try:
            self.folder(root, upper, b"", Rules())
        finally:
            os.close(root)
            close(upper)
            self.end_checker()
        if self.baseline_only:
            let_the_tick_pass(self.newest_ns)
        else:
            self.deletions()
        self.frame({"op": "end", "files": self.count})
        self.out.flush()
        self.save(".next", self.new)
        if self.told:
            self.save(".unsure", self.told)

    # ── the walk ──

    def folder(self, fd: int, upper: int | None, prefix: bytes, rules: Rules) -> None:
        """Everything in one folder: files first, then folders, each opened beneath its parent.

        `upper`: what the upper layer has of it, if that can tell anything.
        """
        if time.monotonic() > self.deadline:
            raise TimeoutError("the workspace is too large to be looked through in time")
        if prefix.count(b"/") > MAX_DEPTH:
            self.shut(prefix, "a folder that is nested too deeply")
            return
        files, folders = [], []
        for entry in os.listdir(fd):
            name = os.fsencode(entry)
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except PermissionError:
                self.shut(prefix, "a folder that can't be read")
                return
            if self.refused(name, prefix + name, info):
                continue
            if stat.S_ISDIR(info.st_mode):
                folders.append((name, prefix + name))
            else:
                files.append((name, prefix + name, info))
        if prefix[:-1] in self.gitlinks:
            self.met.add(prefix[:-1])
            if files or folders:
                size = sum(info.st_size for _, _, info in files)
                self.left_out(prefix[:-1], "a change inside a submodule; submodules are not edited here", size)
            return
        rules = self.rules(prefix, files, rules)
        self.files(fd, files, rules)
        self.folders(fd, upper, folders, rules)

    def refused(self, name: bytes, path: bytes, info: os.stat_result) -> bool:
        """Whether a name can stand in no tree; it is told, and what has it stays where it is."""
        if name == b".git":
            if name != path:
                self.left_out(path, "a nested repository's own data; the files around it are kept")
            return True
        link = stat.S_ISLNK(info.st_mode)
        if name[:1] not in SUSPECT and not link and b"\\" not in name and len(path) <= MAX_PATH:
            return False
        problem = name_problem(path, link=link)
        if problem is None or self.baseline_only:
            return False
        if self.old.get(path, (None, None))[1] != signature_of(info):
            self.left_out(path, f"its name {problem}", info.st_size)
        self.stays(path)
        self.carry_over(path + b"/", self.old)
        return True

    def files(self, fd: int, files: list[tuple[bytes, bytes, os.stat_result]], rules: Rules) -> None:
        entries = [(name, path, info, signature_of(info)) for name, path, info in files]
        asked = [path for _, path, _, signature in entries if self.is_open(path, signature, rules)]
        ignored = set(asked) if rules.ignored else self.ask_ignored(asked, rules)
        for name, path, info, signature in entries:
            kind, before = self.old.get(path, (None, None))
            is_ignored = path in ignored or (kind == IGNORED and not rules.stale)
            same_side = not (kind == KEPT and is_ignored) and not (kind == IGNORED and not is_ignored)
            if kind is not None and before == signature and same_side:
                self.new[path] = (kind, before)
            elif self.baseline_only:
                self.remember(path, self.mark_new_as if kind is None else kind, signature)
            elif path in self.gitlinks:
                self.met.add(path)
                self.left_out(path, "it replaces a submodule; submodules are not edited here", info.st_size)
            elif is_ignored:
                self.ignored_file(fd, name, path, info)
            elif self.send(fd, name, path, info, is_ignored=False):
                self.remember(path, TRACKED if kind == TRACKED else KEPT, signature)

    def is_open(self, path: bytes, signature: Signature, rules: Rules) -> bool:
        """Whether git must be asked if it ignores a file."""
        kind, before = self.old.get(path, (None, None))
        if kind == SETUP:
            return before != signature
        return kind is None or (rules.stale and kind != TRACKED)

    def ignored_file(self, fd: int, name: bytes, path: bytes, info: os.stat_result) -> None:
        """Kept only in the snapshot at the end of an attempt, and only up to a cap."""
        if not self.scope_all or path in self.never:
            return
        size = info.st_size
        if self.ignored + size > self.max_ignored:
            self.left_out(path, "ignored by git, and beyond the cap for ignored files", size)
            return
        if self.send(fd, name, path, info, is_ignored=True):
            self.ignored += size
            self.remember(path, IGNORED, signature_of(info))

    def folders(self, fd: int, upper: int | None, folders: list[tuple[bytes, bytes]], rules: Rules) -> None:
        unknown = [] if rules.ignored else [path for _, path in folders if path not in self.tracked_dirs]
        ignored = self.ask_ignored(unknown, rules)
        for name, path in folders:
            below = Rules(ignored=rules.ignored or path in ignored, stale=rules.stale, blind=rules.blind)
            if below.ignored and not self.scope_all and not self.baseline_only:
                self.carry_over(path + b"/", self.were_ignored)
                continue
            above, is_untouched = self.layer(upper, name)
            if is_untouched and path not in self.told_dirs:
                self.untouched(path)
                continue
            try:
                opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                close(above)
                self.not_opened(path + b"/", error)
                continue
            try:
                self.folder(opened, above, path + b"/", below)
            finally:
                os.close(opened)
                close(above)

    def not_opened(self, prefix: bytes, error: OSError) -> None:
        if isinstance(error, PermissionError):
            self.shut(prefix, "a folder that can't be read")
        elif isinstance(error, NotADirectoryError):  # it was replaced since it was listed: the next walk sees what by
            self.carry_over(prefix, self.old)
        elif not isinstance(error, FileNotFoundError):
            raise error

    # ── the upper layer ──

    def layer(self, upper: int | None, name: bytes) -> tuple[int | None, bool]:
        """A folder of the upper layer, if there is one, and whether it is certain that there is none."""
        if upper is None:
            return None, False
        try:
            return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=upper), False
        except FileNotFoundError:
            return None, True
        except OSError:
            return None, False

    def untouched(self, folder: bytes) -> None:
        """Everything below is as the manifest says. It is the commit's own, so no rule of git's can hide it."""
        first = bisect.bisect_left(self.sorted, folder + b"/")
        last = bisect.bisect_left(self.sorted, folder + b"0", lo=first)  # what follows the slash
        for path in self.sorted[first:last]:
            self.new[path] = self.old[path]
        self.met |= {path for path in self.gitlinks if path == folder or path.startswith(folder + b"/")}

    # ── what stays ──

    def stays(self, path: bytes) -> bool:
        """What is there and can't be taken stays in the tree as it was, and is tried again the next time."""
        if path in self.old:
            self.new[path] = self.old[path]
        return False

    def shut(self, prefix: bytes, reason: str) -> None:
        """A folder that nobody can look into: what is known of it stays."""
        if not prefix:
            raise PermissionError("the workspace's own folder can't be read")
        self.left_out(prefix[:-1], reason, 0)
        self.carry_over(prefix, self.old)

    def carry_over(self, prefix: bytes, known: Iterable[bytes]) -> None:
        """A folder that is not looked at now keeps what the manifest knows of it."""
        for path in known:
            if path.startswith(prefix):
                self.new[path] = self.old[path]

    def remember(self, path: bytes, kind: int, signature: Signature) -> None:
        self.newest_ns = max(self.newest_ns, signature[3])
        racy = not self.baseline_only and self.started_ns - signature[3] < RACY_NS
        self.new[path] = (kind, None if racy else signature)

    def deletions(self) -> None:
        for path, (kind, _) in self.old.items():
            if kind in (TRACKED, KEPT) and self.new.get(path, (IGNORED, None))[0] == IGNORED:
                self.count += 1
                self.told.add(path)
                self.frame({"op": "delete", "path": os.fsdecode(path)})
        for path in sorted(self.gitlinks - self.met):
            self.left_out(path, "the removal of a submodule; submodules are not edited here")

    # ── what is sent ──

    def send(self, fd: int, name: bytes, path: bytes, info: os.stat_result, *, is_ignored: bool) -> bool:
        """One file as a frame. Whether it was sent."""
        mode, size = info.st_mode, info.st_size
        if path in self.never:
            return self.stays(path)
        if stat.S_ISLNK(mode):
            try:
                target = os.fsencode(os.readlink(name, dir_fd=fd))
            except FileNotFoundError:
                return False
            except OSError:  # it is no link any more
                return self.stays(path)
            return self.put(path, "120000", target, is_ignored=is_ignored)
        if not stat.S_ISREG(mode):
            self.left_out(path, "not a regular file")
            return False
        if size > self.max_file:
            self.left_out(path, "larger than the cap for one file", size)
            return self.stays(path)
        try:
            data = self.read(fd, name)
        except FileNotFoundError:
            return False
        except OSError:
            self.left_out(path, "a file that can't be read", size)
            return self.stays(path)
        if len(data) > self.max_file:
            self.left_out(path, "larger than the cap for one file", len(data))
            return self.stays(path)
        return self.put(path, "100755" if mode & 0o100 else "100644", data, is_ignored=is_ignored)

    def read(self, fd: int, name: bytes) -> bytes:
        """A regular file's content, up to one byte more than the cap. Raises: OSError."""
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        with os.fdopen(file, "rb") as handle:
            info = os.fstat(file)
            if not stat.S_ISREG(info.st_mode):
                raise OSError("it is no regular file any more")
            data = handle.read(min(info.st_size, self.max_file) + 1)
            return data if len(data) <= info.st_size else data + handle.read(self.max_file + 1 - len(data))

    def put(self, path: bytes, mode: str, data: bytes, *, is_ignored: bool) -> bool:
        if self.sent + len(data) > self.max_total:
            self.left_out(path, "beyond the cap for one snapshot", len(data))
            return self.stays(path)
        self.sent += len(data)
        self.count += 1
        if not is_ignored:
            self.told.add(path)
        self.frame({"op": "put", "path": os.fsdecode(path), "mode": mode, "size": len(data), "ignored": is_ignored})
        self.out.write(data)
        return True

    def left_out(self, path: bytes, reason: str, size: int | None = None) -> None:
        """`size` None: nothing of worth is lost with it."""
        if not self.baseline_only:
            self.frame({"op": "left_out", "path": os.fsdecode(path[:1000]), "reason": reason, "size": size})

    def frame(self, header: dict[str, object]) -> None:
        self.out.write(json.dumps(header).encode() + b"\n")

    # ── what git ignores ──

    def rules(self, prefix: bytes, files: list[tuple[bytes, bytes, os.stat_result]], rules: Rules) -> Rules:
        """What holds in a folder: the rules above it, and whether its own .gitignore is another than it was."""
        own = prefix + b".gitignore"
        now = next((info for _, path, info in files if path == own), None)
        before = self.old.get(own, (None, None))[1]
        changed = before != (None if now is None else signature_of(now))
        pipe = now is not None and not stat.S_ISREG(now.st_mode) and not stat.S_ISLNK(now.st_mode)
        return Rules(ignored=rules.ignored, stale=rules.stale or changed, blind=rules.blind or pipe)

    def ask_ignored(self, paths: list[bytes], rules: Rules) -> set[bytes]:
        """Those of `paths` that the workspace's own .gitignore files ignore.

        They are asked for as they stand, folders without a slash at the end: `build/*` would match `build/`.
        """
        if not paths or rules.blind or self.baseline_only:
            return set()
        if self.checker is None:
            self.checker = self.start_checker()
        assert self.checker.stdin is not None
        found = set()
        for path in paths:
            self.checker.stdin.write(b"./" + path + b"\0")  # else a colon would begin a magic word
            self.checker.stdin.flush()
            source, _, pattern, _ = self.answer(self.checker)
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

    def answer(self, checker: subprocess.Popen[bytes]) -> list[bytes]:
        """The four fields of one answer: source, line, pattern, path."""
        assert checker.stdout is not None
        while self.answers.count(b"\0") < 4:
            left_s = max(self.deadline - time.monotonic(), 0)
            if not select.select([checker.stdout], [], [], left_s)[0]:
                raise TimeoutError("git did not tell in time what is ignored")
            data = os.read(checker.stdout.fileno(), CHUNK)
            if not data:
                raise RuntimeError("git check-ignore ended early")
            self.answers += data
        *fields, self.answers = self.answers.split(b"\0", 4)
        return fields

    def end_checker(self) -> None:
        if self.checker is not None:
            self.checker.kill()
            with self.checker:
                self.checker = None


def read_manifest(path: str | os.PathLike[str]) -> Any:
    """What is known: as it was written down, or what the index of a new checkout tells. Raises: FileNotFoundError."""
    with open(path, "rb") as file:
        found = marshal.loads(file.read())  # a file of ours, which no agent can reach; `load` reads bit by bit
    return from_index(*found) if isinstance(found, tuple) else found


# ── what git's index tells ──


def from_index(modes: dict[int, int], index: bytes, object_id_bytes: int) -> Manifest:
    """The manifest of a checkout that nobody had touched. `modes`: mode in a tree → as the file system has it."""
    known: Manifest = {}
    for path, mode, size, mtime_ns, ctime_ns, inode in read_index(index, object_id_bytes):
        if mode != GITLINK:
            known[path] = (TRACKED, (modes[mode], size, mtime_ns, ctime_ns, inode))
    return known


def read_index(index: bytes, object_id_bytes: int) -> Iterator[Entry]:
    """The files of an index. Raises: ValueError where it is of a version that is not read here.

    Source: git's Documentation/gitformat-index.txt, version 2.
    """
    magic, version, count = INDEX_HEADER.unpack_from(index)
    if magic != b"DIRC" or version != 2:
        raise ValueError(f"an index of version {version} is not read here")
    fixed = struct.Struct(f">10I{object_id_bytes}xH")
    at, unpack, find, skip = INDEX_HEADER.size, fixed.unpack_from, index.index, fixed.size
    for _ in range(count):
        ctime_s, ctime_ns, mtime_s, mtime_ns, _, inode, mode, _, _, size, _ = unpack(index, at)
        end = find(b"\0", at + skip)
        yield index[at + skip : end], mode, size, mtime_s * NS + mtime_ns, ctime_s * NS + ctime_ns, inode
        at += (end - at) // 8 * 8 + 8  # padded with zeros to a multiple of eight, one at least


def close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def let_the_tick_pass(newest_ns: int, within_ns: int = RACY_NS) -> None:
    """Whoever changes the newest file after a baseline must do so in another tick than its own."""
    left_ns = newest_ns + within_ns - time.time_ns()
    if 0 < left_ns <= within_ns:
        time.sleep(left_ns / 1e9)


def signature_of(info: os.stat_result) -> Signature:
    """Size and inode are cut off as git's index does it, which tells of a new checkout what it looks like."""
    return (info.st_mode, info.st_size & BITS, info.st_mtime_ns, info.st_ctime_ns, info.st_ino & BITS)


def name_problem(path: bytes, *, link: bool) -> str | None:
    """Why git would not check out a path that is otherwise well formed (as a symlink, where `link`), or None.

    Source: git's read-cache.c `verify_path`, path.c `is_ntfs_dotgit`, utf8.c `is_hfs_dotgit`.
    """
    parts = path.split(b"/")
    if len(path) > MAX_PATH:
        return f"is longer than {MAX_PATH} bytes"
    if any(len(part) > 255 for part in parts):
        return "has a component longer than 255 bytes"
    if any(is_dotgit(part) for part in parts):
        return "names git's own directory"
    if link and any(GITMODULES.match(part) for part in HFS_IGNORED.sub(b"", parts[-1]).split(b"\\")):
        return "stands for .gitmodules, which must not be a link"
    return None


def is_dotgit(name: bytes) -> bool:
    """Whether a file system could take this name for `.git`."""
    return HFS_IGNORED.sub(b"", name).lower() == b".git" or any(DOTGIT.match(part) for part in name.split(b"\\"))


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
    gc.disable()  # it would look through a large manifest again and again
    Walk(json.loads(sys.stdin.buffer.readline())).run()


if __name__ == "__main__":
    main()
