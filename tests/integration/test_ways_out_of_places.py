"""Places where a session can't begin or go on: disks, rights, names, git's own files, programs that are missing.

As in `test_ways_out`: each is brought about for real, seen in three lines, and what they offer is typed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.runs import Place
from tests.support.small_disk import small_disks, why_impossible
from tests.support.ways_out import GO, TRY, Fault, check, make_place, program, shell

MIB = 1 << 20
LIMITED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""For root, too, rights are what they are for everyone."""


def begun(place: Place) -> None:
    """One session, whose ticket has landed."""
    assert shell(place, f"{GO} --name harbour").code == 0


def without_rights(name: str, mode: int = 0, *, begin: bool = True) -> Callable[[Place], None]:
    """A file or folder, named from the place's root, that its owner may not use."""

    def make(place: Place) -> None:
        if begin:
            begun(place)
        else:
            (place.root / "cache").mkdir()
        for path in place.root.glob(name):
            path.chmod(mode)
        place.prefix = LIMITED

    return make


def in_a_folder(name: bytes) -> Callable[[Place], None]:
    """The repository is found under another name; the old one leads there no more."""

    def make(place: Place) -> None:
        new = os.path.join(os.fsencode(place.root), name)
        os.rename(place.repository, new)
        place.repository.mkdir()

    return make


def broken_config(place: Place) -> None:
    config = place.repository / ".git" / "config"
    (place.root / "mended").write_text(config.read_text())
    config.write_text(config.read_text() + "broken [\n")


def broken_head(place: Place) -> None:
    (place.repository / ".git" / "HEAD").write_text("garbage\n")


def without_refs(place: Place) -> None:
    """What copies and archives that leave out empty folders make of a packed repository."""
    place.git("pack-refs", "--all")
    shutil.rmtree(place.repository / ".git" / "refs")


def without_its_store(place: Place) -> None:
    begun(place)
    shutil.rmtree(place.data / "store.git")


def ledger_is_a_folder(place: Place) -> None:
    (place.data / "ledger.sqlite3").mkdir(parents=True)


def lock_is_a_folder(place: Place) -> None:
    (place.data / "router.lock").mkdir(parents=True)


def without_a_role(place: Place) -> None:
    own = place.root / "home" / ".config" / "codeswarm" / "config.toml"
    own.write_text(own.read_text().partition("[sandbox]")[2].join(["[sandbox]", ""]))


def claude(version: str) -> str:
    return f"echo '{version} (Claude Code)'"


def no_claude(place: Place) -> None:
    """None on the PATH and none in a package beside us; and an `npm` that brings one."""
    without_a_role(place)
    hidden = "import sys; sys.modules['claude_agent_sdk'] = None; from codeswarm.cli.main import main; main()"
    program(place.root / "bin" / "codeswarm", f'exec {shlex.quote(sys.executable)} -c {shlex.quote(hidden)} "$@"')
    npm_brings_claude(place, "")


def old_claude(place: Place) -> None:
    """As 1.0.60 of the npm package answers; and an `npm` that brings a newer one."""
    without_a_role(place)
    program(place.root / "bin" / "claude", claude("1.0.60"))
    npm_brings_claude(place, "@latest")


def npm_brings_claude(place: Place, tag: str) -> None:
    new = place.root / "new-claude"
    program(new, claude("2.1.327"))
    wanted = f"install -g @anthropic-ai/claude-code{tag}"
    program(place.root / "bin" / "npm", f'[ "$*" = "{wanted}" ] && cp {new} {place.root}/bin/claude')


PLACES: dict[str, Fault] = {
    "a data directory without rights": Fault(
        f"{GO} --name again", ("Permission denied", "chmod"), without_rights("repository/.git/codeswarm")
    ),
    "looking at a data directory without rights": Fault(
        "codeswarm status", ("Permission denied",), without_rights("repository/.git/codeswarm")
    ),
    "a repository that nothing can be written to": Fault(
        GO, ("nothing can be written to",), without_rights("repository/.git", 0o500, begin=False)
    ),
    "a ledger without rights": Fault(
        "codeswarm status", ("unable to open",), without_rights("repository/.git/codeswarm/ledger.sqlite3"), code=1
    ),
    "a ledger that can only be read": Fault(
        f"{GO} --name again",
        ("readonly database",),
        without_rights("repository/.git/codeswarm/ledger.sqlite3", 0o400),
        code=1,
    ),
    "a cache without rights": Fault(GO, ("nothing can be written to",), without_rights("cache", 0o500, begin=False)),
    "a HOME without rights": Fault(
        GO, ("nothing can be written to",), without_rights("home", 0o500, begin=False), env={"XDG_CACHE_HOME": ""}
    ),
    "own settings without rights": Fault(
        "codeswarm config check",
        ("Permission denied",),
        without_rights("home/.config/codeswarm/config.toml", begin=False),
    ),
    "workspaces where nothing can be": Fault(
        GO, ("nothing can be written to /proc/none",), env={"CODESWARM_WORKSPACES": "/proc/none"}, gone="-"
    ),
    "data where nothing can be": Fault(
        "codeswarm --data /proc/none run --tickets ../t.yaml", ("nothing can be written to /proc/none",), gone="-"
    ),
    "data below a device": Fault(
        "codeswarm --data /dev/null/data run --tickets ../t.yaml", ("Not a directory", "--data ../"), gone="-"
    ),
    "a ledger that is a folder": Fault(GO, ("unable to open",), ledger_is_a_folder, code=1),
    "a lock that is a folder": Fault(GO, ("Is a directory",), lock_is_a_folder),
    "a store that is gone": Fault("codeswarm save", ("the store does not hold",), without_its_store, code=1),
    "a diff of what was in it": Fault("codeswarm diff hello", ("the store does not hold",), without_its_store, code=1),
    "a folder that is gone": Fault(
        "mkdir gone && cd gone && rmdir ../gone && codeswarm status", ("not there any more",), gone="git status"
    ),
    "a file for a folder": Fault(
        "codeswarm -C README.md init --yes", ("is no folder",), gone="codeswarm -C README.md.d session list"
    ),
    "a folder that is no text": Fault(
        "cd $'../na\\303me\\377' && " + GO,
        ("not UTF-8",),
        in_a_folder(b"na\xc3me\xff"),
        gone=f"cd ../name && {GO}",
    ),
    "settings of git with a mistake": Fault("codeswarm session list", ("bad config line",), broken_config),
    "a HEAD that is none": Fault(TRY, ("can't read the repository",), broken_head),
    "a repository without its refs": Fault(TRY, ("can't read the repository",), without_refs),
    "claude is missing": Fault(
        TRY, ("claude is not installed",), no_claude, env={"ANTHROPIC_API_KEY": "a key"}
    ),
    "claude is too old": Fault(TRY, ("claude 1.0.60", "too old"), old_claude, env={"ANTHROPIC_API_KEY": "a key"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_is_not_fit(name: str, tmp_path: Path) -> None:
    place, fault = make_place(tmp_path), PLACES[name]
    check(place, fault)


# ── disks ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def on_small_disks(tmp_path: Path) -> Iterator[Place]:
    """A place whose data and cache are file systems of their own; `sudo` is a person who may do anything there."""
    if why := why_impossible():
        pytest.skip(why)
    place = make_place(tmp_path)
    program(place.root / "bin" / "sudo", 'exec "$@"')
    with ExitStack() as stack:
        folders = (place.data, place.root / "cache")
        place.prefix, disks = stack.enter_context(
            small_disks(place.repository, *((folder, 24 * MIB) for folder in folders))
        )
        for disk in disks:
            program(place.root / "bin" / f"fill-{disk.path.name}", f"cat /dev/zero > {disk.path}/ballast 2>/dev/null")
        yield place


@pytest.mark.parametrize("name", ["data", "cache"])
def test_a_file_system_that_is_read_only(name: str, on_small_disks: Place) -> None:
    place = on_small_disks
    folder = place.data if name == "data" else place.root / "cache"

    def read_only(place: Place) -> None:
        assert shell(place, f"mount -o remount,ro {folder}").code == 0

    check(place, Fault(GO, ("Read-only file system", f"mount -o remount,rw {folder}"), read_only))


def test_looking_at_data_on_a_read_only_file_system_needs_no_way_out(on_small_disks: Place) -> None:
    place = on_small_disks
    begun(place)
    assert shell(place, f"mount -o remount,ro {place.data}").code == 0
    for line in ("codeswarm status", "codeswarm report", "codeswarm diff hello", "codeswarm ledger verify"):
        done = shell(place, line)
        assert done.code == 0, (line, done.out, done.err)


@dataclass(frozen=True)
class Full:
    """Which disk is full, and what is typed meanwhile."""

    disk: str
    line: str


@pytest.mark.parametrize(
    "full", [Full("codeswarm", "codeswarm ticket add --title More"), Full("codeswarm", GO), Full("cache", GO)], ids=str
)
def test_a_disk_that_is_full(full: Full, on_small_disks: Place) -> None:
    """What is offered shows what takes the room; a person who takes the ballast away is done."""
    place = on_small_disks
    begun(place)
    program(place.root / "bin" / "free", f"rm {place.data}/ballast {place.root}/cache/ballast 2>/dev/null; true")

    def fill(place: Place) -> None:
        shell(place, f"fill-{full.disk}")
        real = f"exec {shlex.quote(sys.executable)} -m codeswarm.cli"
        program(place.root / "bin" / "codeswarm", f'[ "$1" = du ] && {real[5:]} "$@" && exec free\n{real} "$@"')

    check(place, Fault(f"timeout -s INT 60 {full.line}", ("the disk is full", "codeswarm du"), fill, code=1))
