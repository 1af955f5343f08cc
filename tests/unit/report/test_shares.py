from __future__ import annotations

from hypothesis import given, strategies as st

from codeswarm.report.shares import TAGS, Share, cut, cut_head, cut_lines, size

TEXT = st.text(alphabet=st.sampled_from('a<&"\x00\n é数\u202e'), max_size=400)
MOST = st.integers(0, 300)
ROOM_FOR_ELLIPSIS = 8


@given(TEXT, MOST)
def test_a_cut_text_fits_and_says_that_it_is_cut(text: str, most: int) -> None:
    kept = cut(text, most)
    assert size(kept) <= most + ROOM_FOR_ELLIPSIS
    assert kept == text if size(text) <= most else kept.endswith("…")


@given(TEXT, MOST)
def test_of_a_log_the_end_is_kept(text: str, most: int) -> None:
    kept = cut_head(text, most)
    assert size(kept) <= most + ROOM_FOR_ELLIPSIS
    assert kept == text if size(text) <= most else text.endswith(kept.removeprefix("… "))


@given(TEXT, MOST)
def test_of_a_patch_whole_lines_are_kept_with_room_for_their_tags(text: str, most: int) -> None:
    kept, whole = cut_lines(text, most)
    assert text.startswith(kept)
    assert whole == (kept == text)
    assert whole or not kept or kept.endswith("\n")
    assert size(kept) + TAGS * kept.count("\n") <= most


def test_the_more_tickets_the_smaller_the_share_of_each() -> None:
    assert Share.of(1) == Share.of(10)
    assert Share.of(1).left > Share.of(200).left > Share.of(1_000).left > 0


def test_a_share_that_is_spent_gives_no_more() -> None:
    share = Share.of(1_000)
    first = share.cut("a" * 10_000, share.left)
    assert share.left < 100
    assert len(first) > 1_000
    assert share.cut("b" * 1_000, 500) in ("…", "b" * 20 + "…") or share.left < 24
    assert share.few(["c" * 100] * 3)[-1] == "and 3 more"
