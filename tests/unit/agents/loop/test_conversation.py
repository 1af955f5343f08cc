from __future__ import annotations

import json
from pathlib import Path

from codeswarm.agents.api.loop.answer import Answer
from codeswarm.agents.api.loop.conversation import Conversation, result


def with_results(file: Path, sizes: list[int], window: int = 10_000) -> Conversation:
    talk = Conversation(file, window)
    talk.add({"role": "user", "text": "Do it."})
    for place, size in enumerate(sizes):
        call = {"type": "call", "id": f"c{place}", "name": "shell", "arguments": "{}"}
        talk.take(Answer([call], "done", None, None))
        talk.add({"role": "tool", "results": [result(f"c{place}", "x" * size)]})
    return talk


def texts(talk: Conversation) -> list[int]:
    return [len(r["text"]) for message in talk.messages if message["role"] == "tool" for r in message["results"]]


def test_the_oldest_output_is_left_out_first_and_in_large_steps(tmp_path: Path) -> None:
    talk = with_results(tmp_path / "c.jsonl", [5000] * 6)
    assert talk.shorten(), "30,000 characters are more than 80 % of 10,000 tokens of 3.5"
    left = texts(talk)
    assert [size < 200 for size in left] == [True, True, False, False, False, False]
    assert not talk.shorten(), "there is room again"


def test_what_the_model_counted_is_believed(tmp_path: Path) -> None:
    talk = with_results(tmp_path / "c.jsonl", [1000] * 6)
    talk.take(Answer([{"type": "text", "text": "so"}], "done", 9000, 1))
    assert talk.shorten(), "6,000 characters were 9,000 tokens"


def test_a_window_that_is_smaller_than_thought_is_learnt(tmp_path: Path) -> None:
    talk = with_results(tmp_path / "c.jsonl", [2000] * 8, window=1_000_000)
    assert talk.shrink()
    assert talk.window < 5000
    assert sum(texts(talk)) < 8 * 2000 * 0.6
    assert not with_results(tmp_path / "d.jsonl", [100] * 8).shrink(), "there is nothing to leave out"


def test_it_is_the_same_after_it_was_read_again(tmp_path: Path) -> None:
    talk = with_results(tmp_path / "c.jsonl", [10, 20])
    talk.take(Answer([{"type": "text", "text": "Done."}], "done", 500, 20))
    again = Conversation(tmp_path / "c.jsonl", 10_000)
    again.load()
    assert [{**m, "said": ""} if m["role"] == "tool" else m for m in talk.messages] == again.messages
    assert again.usage() == {"input_tokens": 500, "output_tokens": 20}


def test_a_call_that_was_interrupted_has_a_result_when_it_is_read_again(tmp_path: Path) -> None:
    talk = Conversation(tmp_path / "c.jsonl", 10_000)
    talk.take(Answer([{"type": "call", "id": "", "name": "shell", "arguments": "{}"}], "done"))
    again = Conversation(tmp_path / "c.jsonl", 10_000)
    again.load()
    call, answer = again.messages
    assert call["parts"][0]["id"] == answer["results"][0]["id"] == "call_0_0"
    assert answer["results"][0]["failed"]


def test_a_file_that_holds_anything_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    lines = [
        b'{"role": "user", "text": "Do it."}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"role": "assistant", "parts": [{"type": "call", "id": 7}, {"type": "fly"}, 3]}',
        b'{"role": "tool", "results": [null, {"id": "x"}]}',
        b'{"role": "tool", "results": 3}',
        b'{"type": "usage", "input_tokens": -4, "output_tokens": "9"}',
        b'{"role": "user", "text": "cut o',
    ]
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(lines))
    talk = Conversation(tmp_path / "c.jsonl", 10_000)
    talk.load()
    assert [message["role"] for message in talk.messages] == ["user", "assistant", "tool"]
    assert json.dumps(talk.messages)
    assert talk.usage() == {"input_tokens": None, "output_tokens": None}
