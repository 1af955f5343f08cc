from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain.ids import is_gate, is_object_id, lease_id, name_problem, parse_lease_id

GOOD = ("a", "0", "a.b", "a_b-c", "a.lock.b", "x" * 64, "0.1", "a-")
BAD = {
    "": "1 to 64",
    "x" * 65: "1 to 64",
    "-a": "1 to 64",
    ".a": "1 to 64",
    "_a": "1 to 64",
    "A": "1 to 64",
    "a b": "1 to 64",
    "a/b": "1 to 64",
    "a\n": "1 to 64",
    "ä": "1 to 64",
    "@a": "1 to 64",
    "a..b": "'..'",
    "a.": "'.'",
    "a.lock": "'.lock'",
}


@pytest.mark.parametrize("name", GOOD)
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_would_break_a_ref_or_a_url_is_refused_with_the_reason(name: str) -> None:
    assert BAD[name] in (name_problem(name) or "")


def test_git_itself_takes_every_name_that_is_taken_here() -> None:
    """Every string of up to three of the interesting characters, asked of the real `git check-ref-format`."""
    letters = ("a", "0", ".", "-", "_", "a.lock", "@")
    names = {a + b + c for a in letters for b in ("", *letters) for c in ("", *letters)}
    for name in sorted(name for name in names if name_problem(name) is None):
        for ref in (f"refs/heads/session/s1/task/{name}", f"refs/codeswarm/wip/{name}/t/1"):
            done = subprocess.run(["git", "check-ref-format", ref], check=False)
            assert done.returncode == 0, ref


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True))
def test_every_name_of_the_grammar_is_taken_but_for_what_git_refuses(name: str) -> None:
    refused = ".." in name or name.endswith((".", ".lock"))
    assert (name_problem(name) is not None) == refused


def test_object_ids_are_whole_sha1_or_sha256() -> None:
    assert is_object_id("0" * 40)
    assert is_object_id("f" * 64)
    for text in ("", "0" * 39, "0" * 41, "0" * 63, "F" * 40, "g" * 40, "0" * 40 + "\n"):
        assert not is_object_id(text)


@given(
    st.sampled_from(("s1", "a.b-c")), st.sampled_from(("t1", "x_y", "@landing-1", "@full-12")), st.integers(0, 10**12)
)
def test_a_lease_id_is_read_back_as_it_was_written(session: str, subject: str, epoch: int) -> None:
    assert parse_lease_id(lease_id(session, subject, epoch)) == (session, subject, epoch)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "s:t",
        "s:t:",
        "s:t:x",
        "s:t:-1",
        "s:t:1:2",
        "S:t:1",
        "s:T:1",
        "s:..:1",
        ":t:1",
        "s::1",
        "s:t:²",
        "s:t:٣",
        "s:t: 1",
        "s:t:1\n",
        "s:t:" + "9" * 5000,
        "s:@:1",
        "s:@../../etc/passwd:1",
        "s:@landing-1/..:1",
    ],
)
def test_what_is_no_lease_id_is_none_and_never_an_error(text: str) -> None:
    assert parse_lease_id(text) is None


@given(st.text(alphabet="st:@1-²./a\n", max_size=20))
def test_no_text_whatever_makes_reading_a_lease_id_fail(text: str) -> None:
    found = parse_lease_id(text)
    assert found is None or lease_id(*found).partition(":")[0] == found[0]


def test_a_gate_is_never_mistaken_for_a_ticket() -> None:
    assert is_gate("@landing-1")
    assert not is_gate("landing-1")
    assert name_problem("@landing-1") is not None
