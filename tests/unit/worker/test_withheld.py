"""Files in which a credential stands are not sent, and the next walk tells of them again."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from codeswarm.git.changes import BrokenChanges, read_changes
from codeswarm.redaction import Secrets
from codeswarm.worker.withheld import REASON, withhold

TOKEN = "token-Zq8vK2mB4x"


def spooled(folder: Path, files: dict[str, bytes], *, whole: bool = True) -> Path:
    spool = folder / "changes"
    puts = [
        json.dumps({"op": "put", "path": path, "mode": "100644", "size": len(content), "ignored": False}).encode()
        + b"\n"
        + content
        for path, content in files.items()
    ]
    end = [json.dumps({"op": "end", "files": len(files)}).encode() + b"\n"] if whole else []
    spool.write_bytes(b"".join([json.dumps({"op": "delete", "path": "gone"}).encode() + b"\n", *puts, *end]))
    return spool


@pytest.mark.parametrize(
    "told",
    [TOKEN.encode(), b"\xff\x00" + TOKEN.encode() + b"\n", base64.b64encode(b"xy" + TOKEN.encode())],
    ids=["as it is", "among bytes", "as base64"],
)
def test_a_file_in_which_it_stands_is_left_out_and_all_others_go(told: bytes, tmp_path: Path) -> None:
    spool = spooled(tmp_path, {"a": b"1\n", "d/\udcff": told, "z": b"{\n2"})
    assert withhold(spool, Secrets([TOKEN])) == {b"d/\xff"}
    with spool.open("rb") as file:
        changes = read_changes(file)
        assert [(put.path, changes.content(put)) for put in changes.puts] == [(b"a", b"1\n"), (b"z", b"{\n2")]
    assert changes.deletes == [b"gone"]
    assert [(item.reason, item.size) for item in changes.left_out] == [(REASON, len(told))]


def test_without_one_the_stream_stays_as_it_is(tmp_path: Path) -> None:
    spool = spooled(tmp_path, {"a": b"1", "b": TOKEN.encode()})
    before = spool.read_bytes()
    assert withhold(spool, Secrets()) == withhold(spool, Secrets(["another-1234"])) == frozenset()
    assert spool.read_bytes() == before


def test_a_key_that_looks_like_a_word_holds_no_file_back(tmp_path: Path) -> None:
    secrets = Secrets(["not-needed", "lm-studio"])
    assert secrets.text("api_key=not-needed") != "api_key=not-needed"
    assert withhold(spooled(tmp_path, {"a": b"the key is not-needed by lm-studio"}), secrets) == frozenset()


def test_a_stream_that_was_cut_off_is_none(tmp_path: Path) -> None:
    with pytest.raises(BrokenChanges):
        withhold(spooled(tmp_path, {"a": TOKEN.encode()}, whole=False), Secrets([TOKEN]))
