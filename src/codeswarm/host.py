"""What of the host a run needs to see beside the system: the toolchains on the PATH, and an agent's own program.

The person's HOME is never shown. A toolchain that lives in it is, by its own folder alone, and never its secrets.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/snap", "/etc/alternatives")
_SYSTEM_PARTS = tuple(Path(top).parts for top in SYSTEM)
_PROGRAM_FOLDERS = {"bin", "sbin", "shims", "scripts", "libexec"}
_SHARED_PREFIXES = {".local", ".cargo", "go", ".bun", ".deno"}
"""Folders of a HOME that hold more than a toolchain (credentials, data): of these only `bin` is shown."""
_COMPANIONS = {".cargo": (".rustup",)}
"""What a toolchain needs beside its own folder."""
_TOLD_BY = {".rustup": "RUSTUP_HOME"}
"""How such a toolchain is told where that is: else it would look in the HOME inside, which is not the person's."""
_TOLD_TO = {"uv": (".local/share/uv/python", "UV_PYTHON_INSTALL_DIR")}
"""Program → where in a HOME it keeps what else it needs, and how it is told where that is."""
_VERSION_MANAGERS = {".asdf", ".goenv", ".jenv", ".nodenv", ".nvm", ".phpenv", ".pyenv", ".rbenv", ".sdkman", ".tfenv"}
"""Toolchains of a HOME that are checkouts themselves: nobody works in them."""
_INNARDS = {"node_modules", "site-packages", "dist-packages", "pkgs"}
"""Folders of a toolchain that are large, and in which no one keeps a project."""
_DEEP, _MANY = 4, 20_000
"""How deep a folder is looked through for checkouts; and with how many folders in it, it counts as holding one."""


def is_system(path: Path) -> bool:
    parts = path.parts
    return any(parts[: len(top)] == top for top in _SYSTEM_PARTS)


def toolchains(path_variable: str, home: Path) -> tuple[Path, ...]:
    """The folders on a PATH that are not part of the system, and for what their programs link to."""
    shown: dict[Path, None] = {}
    for entry in dict.fromkeys(path_variable.split(os.pathsep)):
        folder = Path(entry)
        if not entry.startswith("/") or not folder.is_dir() or is_system(folder):
            continue
        for path in (*_with_prefix(folder, home), *_links(folder, home)):
            shown[path] = None
    return tuple(_without_nested(shown))


def variables(path_variable: str, home: Path, told: Mapping[str, str]) -> dict[str, str]:
    """What toolchains on a PATH must be told in the environment, since HOME is another one inside: name → folder.

    What the person's own environment (`told`) says counts before the usual place.
    """
    prefixes = {Path(entry).parent.name for entry in path_variable.split(os.pathsep) if Path(entry).is_dir()}
    usual = {_TOLD_BY[name]: home / name for prefix in prefixes for name in _COMPANIONS.get(prefix, ())}
    usual |= {name: home / place for tool, (place, name) in _TOLD_TO.items() if which(tool, path_variable)}
    names = (*_TOLD_BY.values(), *(name for _, name in _TOLD_TO.values()))
    places = {name: Path(told.get(name) or usual.get(name) or "") for name in names}
    return {name: str(place) for name, place in places.items() if place.is_absolute() and place.is_dir()}


def interpreter() -> tuple[Path, ...]:
    """The folders of the Python that runs this very program, for programs of ours inside."""
    prefixes = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
    return tuple(_without_nested(path for path in prefixes if not is_system(path)))


def bare_interpreter() -> tuple[Path, tuple[Path, ...]]:
    """That Python itself, without any environment around it, and the folder that it needs: for programs of ours that
    import nothing but the standard library.
    """
    prefix = Path(sys.base_prefix).resolve()
    return Path(sys.executable).resolve(), () if is_system(prefix) else (prefix,)


def program(command: str, directory: Path, home: Path) -> tuple[str, tuple[Path, ...]]:
    """A command as it is to be run inside, and the folders of the files that it names.

    Words that name existing files (relative ones as seen from `directory`) become absolute; each such file's folder
    is shown read-only, unless that folder is a HOME, a top folder, shared by everyone, or holds a checkout: then the
    file alone.
    """
    try:
        named = shlex.split(command)
    except ValueError:
        return command, ()
    named_folders: list[Path] = []
    for place, word in enumerate(named):
        found = _named_file(word, directory, first=place == 0)
        if found is None or is_system(found):
            continue
        named_folders += [*_own_folder(found, home), *_own_folder(found.resolve(), home)]
        if not word.startswith("/"):
            command = _replaced(command, word, shlex.quote(str(found)))
    return command, tuple(_without_nested(named_folders))


def _replaced(command: str, word: str, by: str) -> str:
    """A command with a word of it exchanged, however that was quoted."""
    written = (word, shlex.quote(word), f"'{word}'", f'"{word}"', word.replace(" ", "\\ "))
    either = "|".join(map(re.escape, dict.fromkeys(written)))
    return re.sub(rf"(?<!\S)(?:{either})(?!\S)", lambda _: by, command)


def _named_file(word: str, directory: Path, *, first: bool) -> Path | None:
    """The existing file that a word of a command names; a bare first word is looked up on the PATH, not here."""
    if not word or word.startswith("-"):
        return None
    if "/" not in word:
        if first:
            return None
        path = directory / word
        return path if path.is_file() else None
    path = directory / word
    return Path(os.path.normpath(path)) if path.exists() else None


def _own_folder(file: Path, home: Path) -> Iterator[Path]:
    if is_system(file):
        return
    folder = file if file.is_dir() else file.parent
    everyones = {Path("/"), home, Path("/tmp"), Path("/var/tmp"), Path("/home"), Path("/root")}  # noqa: S108
    if folder not in everyones and folder not in home.parents and not holds_checkout(folder):
        yield folder
    elif folder != file:
        yield file


def holds_checkout(folder: Path) -> bool:
    """Whether a folder is a git checkout, or one stands below it, as far as can be told at once.

    There is more in one than its files: what is not committed, credentials of remotes, the data of a session.
    """
    seen, top = 0, str(folder).rstrip("/").count("/")
    for above, folders, files in os.walk(folder):
        seen += len(folders)
        if ".git" in folders or ".git" in files or seen > _MANY or _is_bare(folders, files):
            return True
        deep = above.count("/") - top >= _DEEP
        folders[:] = [] if deep else [name for name in folders if name not in _INNARDS]
    return False


def _is_bare(folders: list[str], files: list[str]) -> bool:
    return "HEAD" in files and "objects" in folders and "refs" in folders


def _with_prefix(folder: Path, home: Path) -> Iterator[Path]:
    """A folder on the PATH, or the whole toolchain around it."""
    prefix = folder.parent
    shared = prefix == home or prefix in home.parents or prefix == Path("/") or _is_shared(prefix, home)
    if not shared and folder.name in _PROGRAM_FOLDERS and not _holds_project(prefix, home):
        yield prefix
    elif not _holds_project(folder, home):
        yield folder
    else:
        yield from _programs(folder)
    for companion in _COMPANIONS.get(prefix.name, ()):
        if (home / companion).is_dir():
            yield home / companion


def _holds_project(folder: Path, home: Path) -> bool:
    """Whether a folder on the PATH holds more than programs: a checkout of someone's."""
    inside = folder.relative_to(home).parts if folder.is_relative_to(home) else ()
    return not (inside and inside[0] in _VERSION_MANAGERS) and holds_checkout(folder)


def _programs(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file() and os.access(entry.path, os.X_OK):
                yield Path(entry.path)


def _is_shared(prefix: Path, home: Path) -> bool:
    return prefix.parent == home and prefix.name in _SHARED_PREFIXES


def _links(folder: Path, home: Path) -> Iterator[Path]:
    """Where the links in a folder of programs lead: the toolchain there, or the one file."""
    with os.scandir(folder) as entries:
        targets = {Path(os.path.realpath(entry.path)) for entry in entries if entry.is_symlink()}
    programs = set()
    for target in targets:
        if is_system(target) or not target.exists():
            continue
        if target.parent.name in _PROGRAM_FOLDERS:
            programs.add(target.parent)
        elif target.is_file() or not holds_checkout(target):
            yield target
    for shared in programs:
        yield from _with_prefix(shared, home)


def _without_nested(paths: Iterable[Path]) -> list[Path]:
    """The paths without those that stand below another one of them."""
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if not any(above in path.parents for above in kept):
            kept.append(path)
    return kept


def which(name: str, path_variable: str) -> str | None:
    """The program that a PATH gives for a name."""
    return shutil.which(name, path=path_variable)
