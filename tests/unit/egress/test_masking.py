"""A secret in a stream is masked wherever the stream is cut."""

from __future__ import annotations

import random

from codeswarm.egress.masking import Mask

SECRET = b"abcabd"


def masked(data: bytes, cuts: list[int]) -> bytes:
    mask, last, out = Mask(SECRET), 0, b""
    for cut in [*sorted(cuts), len(data)]:
        out += mask.feed(data[last:cut])
        last = cut
    return out + mask.rest()


def test_a_secret_is_masked_at_every_cut() -> None:
    data = b"x" + SECRET + b"yabcab" + SECRET
    for first in range(len(data)):
        for second in range(first, len(data)):
            assert masked(data, [first, second]) == b"x******yabcab******"


def test_what_is_masked_is_as_long_as_it_was_and_all_else_stays() -> None:
    chance = random.Random(7)
    for _ in range(300):
        data = bytes(chance.choice(b"abcd") for _ in range(40))
        cuts = [chance.randrange(40) for _ in range(5)]
        assert masked(data, cuts) == data.replace(SECRET, b"******")


def test_what_can_not_be_part_of_the_secret_is_not_held_back() -> None:
    mask = Mask(SECRET)
    assert mask.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert mask.feed(b"zabc") == b"z"
    assert mask.feed(b"x") == b"abcx"


def test_without_a_secret_nothing_is_touched() -> None:
    assert Mask(b"").feed(b"data") == b"data"
