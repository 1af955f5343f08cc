from __future__ import annotations

from typing import Any, cast

from codeswarm.protocol import DeliveredRequest, MessageOut, Offer
from codeswarm.worker.line import Line
from codeswarm.worker.words import A_FURTHER_TURN, INTO_THE_TURN, Words, prompt_of


class Ear:
    """An agent that takes words or does not, and the router that is told of those delivered."""

    def __init__(self) -> None:
        self.open = True
        self.heard: list[str] = []
        self.told: list[tuple[int, str]] = []
        offer = cast(Any, Offer.model_construct(id="s:a:1", epoch=1))
        self.words = Words(offer, cast(Line, self), self.say)

    async def say(self, text: str) -> bool:
        if self.open:
            self.heard.append(text.splitlines()[-1])
        return self.open

    async def delivered(self, lease: str, body: DeliveredRequest) -> None:
        self.told.append((body.message, body.how))

    async def hear(self, number: int) -> None:
        await self.words.hear(MessageOut(number=number, by="ada", text=f"word {number}"))


async def test_a_running_turn_takes_words_as_they_come() -> None:
    ear = Ear()
    await ear.hear(1)
    await ear.hear(2)
    assert ear.heard == ["word 1", "word 2"]
    assert ear.told == [(1, INTO_THE_TURN), (2, INTO_THE_TURN)]
    assert ear.words.take() == []


async def test_a_word_that_was_not_taken_goes_before_those_that_come_later() -> None:
    ear = Ear()
    ear.open = False
    await ear.hear(1)
    assert ear.told == []
    ear.open = True
    await ear.hear(2)
    assert ear.heard == ["word 1", "word 2"]
    assert [number for number, _ in ear.told] == [1, 2]


async def test_what_no_turn_took_is_said_in_a_further_one_and_once() -> None:
    ear = Ear()
    ear.open = False
    await ear.hear(1)
    await ear.hear(2)
    taken = ear.words.take()
    assert "word 1" in prompt_of(taken)
    assert "word 2" in prompt_of(taken)
    await ear.words.said(taken)
    assert ear.told == [(1, A_FURTHER_TURN), (2, A_FURTHER_TURN)]
    assert ear.words.take() == []
