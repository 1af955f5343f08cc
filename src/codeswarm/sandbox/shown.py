"""What of the host a box shows, as bubblewrap's words: its mounts, and over what they would show too much, the masks.

A mask also holds for what is not there yet. Nothing can be mounted where nothing is: so the folder that would come to
hold it is put together anew, entry by entry, and what the host adds to it later is not among them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from codeswarm.sandbox.base import Box, Mask, Mount

SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
Step = tuple[Path, int, list[str]]
"""Where inside, its rank among steps as deep as it, and the words without that path."""
_ENTRY, _MOUNT, _REBUILT, _MASK = range(4)


def shown(box: Box) -> list[str]:
    """Mounts and masks, outer ones first: a mask hides what stands around a narrower mount, and never that itself."""
    mounts = [mount for mount in box.mounts if all(mask.allows(mount) for mask in box.masks)]
    steps = [(mount.inside, _MOUNT, _bound(mount)) for mount in mounts]
    steps += _masking(box.masks, mounts)
    ordered = sorted(steps, key=lambda step: (len(step[0].parts), step[1]))
    return [word for inside, _, words in ordered for word in (*words, str(inside))]


def _bound(mount: Mount) -> list[str]:
    return ["--bind" if mount.writable else "--ro-bind", str(mount.source)]


def _masking(masks: Sequence[Mask], mounts: Sequence[Mount]) -> Iterator[Step]:
    """Wherever masked paths appear inside, or would, by the system's folders and by mounts."""
    if not masks:
        return
    places = [(Path(top).resolve(), Path(top)) for top in ("/usr", "/opt", "/nix", "/snap", "/etc", *_own_system())]
    places += [(mount.source.resolve(), mount.inside) for mount in mounts if mount.source.is_dir()]
    hidden = dict.fromkeys(mask.folder.resolve() for mask in masks)
    for real, inside in dict.fromkeys(places):
        missing = []
        for path in hidden:
            if path != real and not path.is_relative_to(real):
                continue
            if path.is_dir():
                yield inside / path.relative_to(real), _MASK, ["--tmpfs"]
            elif path.exists():
                yield inside / path.relative_to(real), _MASK, ["--ro-bind", os.devnull]
            else:
                missing.append(path)
        yield from _rebuilt(real, inside, missing)


def _rebuilt(real: Path, inside: Path, missing: Sequence[Path]) -> Iterator[Step]:
    """The folders in which masked paths are missing: with what is in them now, but for sockets and the like."""
    for folder in dict.fromkeys(_nearest(path) for path in missing):
        if not folder.is_relative_to(real):
            continue
        here = inside / folder.relative_to(real)
        yield here, _REBUILT, ["--tmpfs"]
        for entry in _entries(folder):
            if entry.is_symlink():
                yield here / entry.name, _ENTRY, ["--symlink", str(Path(entry.path).readlink())]
            elif entry.is_dir() or entry.is_file():
                yield here / entry.name, _ENTRY, ["--ro-bind-try", entry.path]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        return []


def _nearest(path: Path) -> Path:
    """The nearest folder above a path that is there."""
    return next(folder for folder in path.parents if folder.is_dir())


def _own_system() -> list[str]:
    """The system's folders that are no links into another one."""
    return [f"/{name}" for name in SYSTEM_FOLDERS if not Path("/", name).is_symlink()]
