"""Where nothing can be written to the data directory: what is typed to change that."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from codeswarm.access import way_out
from codeswarm.engine.data import Data
from codeswarm.errors import UsageError
from codeswarm.home import router_lock


def test_a_file_in_the_way_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("mine")
    with pytest.raises(UsageError) as caught, router_lock(Data(tmp_path / "a file" / "data")):
        pass
    assert caught.value.hint == f"mv '{tmp_path}/a file' '{tmp_path}/a file.old'"


@pytest.mark.parametrize(("user", "sudo"), [(1000, "sudo "), (0, "")], ids=["a person", "root"])
def test_what_only_root_may_do_is_done_by_root(
    user: int, sudo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    mounted = next(path for path in (tmp_path, *tmp_path.parents) if path.is_mount())
    denied, read_only = PermissionError(errno.EACCES, "no"), OSError(errno.EROFS, "no")
    assert way_out(denied, tmp_path / "new") == f'{sudo}chown -R "$(id -un)" {tmp_path}'
    assert way_out(read_only, tmp_path) == f"{sudo}mount -o remount,rw {mounted}"


def test_a_full_disk_is_told_elsewhere(tmp_path: Path) -> None:
    assert way_out(OSError(errno.ENOSPC, "full"), tmp_path) is None
