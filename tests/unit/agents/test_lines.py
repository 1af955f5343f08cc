from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st

from codeswarm.agents.lines import CHUNK, MAX_LINE, read_json, read_lines, read_object
from tests.support.stages import stream_of


async def lines_of(*chunks: bytes) -> list[tuple[str, int]]:
    return [line async for line in read_lines(stream_of(*chunks))]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=12))
def test_lines_are_those_of_the_bytes_however_they_were_cut_into_pieces(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = [part.decode(errors="replace").rstrip("\r") for part in whole.split(b"\n")]
    if not whole or whole.endswith(b"\n"):
        expected.pop()
    assert asyncio.run(lines_of(*chunks)) == [(line, 0) for line in expected]


async def test_an_empty_stream_has_no_line_and_a_last_line_needs_no_end() -> None:
    assert await lines_of() == []
    assert await lines_of(b"a\r\n\nb") == [("a", 0), ("", 0), ("b", 0)]


async def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    ((line, cut),) = await lines_of(b"\xff\xfe ok \xc3\x28 \x00 \xed\xa0\x80\n")
    assert cut == 0
    assert " ok " in line
    assert line.encode(), "it can be written down again"


async def test_a_character_in_two_pieces_is_one_character() -> None:
    assert await lines_of("ü→\n".encode()[:2], "ü→\n".encode()[2:]) == [("ü→", 0)]


async def test_a_line_that_is_too_long_is_cut_and_says_how_much_is_missing() -> None:
    long = b"x" * (MAX_LINE + 5)
    (first, second) = await lines_of(long + b"\n" + b"next\n")
    assert (len(first[0]), first[1]) == (MAX_LINE, 5)
    assert second == ("next", 0)
    assert await lines_of(b"y" * MAX_LINE) == [("y" * MAX_LINE, 0)]


async def test_a_line_of_a_hundred_megabytes_does_not_fill_the_memory() -> None:
    stream = asyncio.StreamReader()
    size = 100 << 20

    async def flood() -> None:
        piece = b"z" * CHUNK
        for _ in range(size // CHUNK):
            stream.feed_data(piece)
            await asyncio.sleep(0)
        stream.feed_data(b"\nend\n")
        stream.feed_eof()

    tracemalloc.start()
    flooding = asyncio.create_task(flood())
    seen = [(len(line), cut) async for line, cut in read_lines(stream)]
    await flooding
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == [(MAX_LINE, size - MAX_LINE), (3, 0)]
    assert peak < 16 << 20


# ── JSON from outside ──


@pytest.mark.parametrize("line", ["", "x", "[1]", '"{"', "{", "{}x", '{"a":NaN}', '{"a":-Infinity}', " {}", "{'a': 1}"])
def test_what_is_no_object_is_none(line: str) -> None:
    assert read_object(line) is None


def test_objects_that_are_nested_too_deeply_or_hold_endless_numbers_are_none() -> None:
    assert read_object('{"a":' * 100_000) is None
    assert read_object('{"a":' + "[" * 100_000 + "]" * 100_000 + "}") is None
    assert read_object('{"a":' + "9" * 5000 + "}") is None


def test_halves_of_surrogate_pairs_are_replaced_and_whole_ones_kept() -> None:
    line = r'{"\ud800": ["a\uDFFFb", {"c": "\ud83d\udc1d"}], "plain": "\\ud800"}'
    assert read_object(line) == {"?": ["a?b", {"c": "🐝"}], "plain": "\\ud800"}


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='{}[]":,\\ud8f0/e1N.- a', max_size=40))
def test_no_line_whatever_fails_and_what_is_read_can_be_written(text: str) -> None:
    found = read_object("{" + text)
    if found is not None:
        json.dumps(found, ensure_ascii=False).encode()


def test_what_is_wrong_with_json_is_said() -> None:
    with pytest.raises(ValueError, match="NaN is no number"):
        read_json("[NaN]")
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json("[" * 100_000)
    assert read_json("[1, 2.5, null, true]") == [1, 2.5, None, True]


@pytest.mark.parametrize("text", ['{"a": 1e999}', "[-1e400]", "[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101])
def test_json_that_could_not_be_written_down_again_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no number|nested"):
        read_json(text)


def test_json_as_deep_as_is_allowed_is_read() -> None:
    text = "[" * 100 + "]" * 100
    assert json.dumps(read_json(text)) == text
