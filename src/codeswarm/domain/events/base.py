"""What every event is: a fact, named in the past, complete, never changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ClassVar

from codeswarm.domain.model import Frozen


class Event(Frozen):
    """A fact of one session's stream."""

    registry: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Event.registry[cls.__name__] = cls

    @property
    def kind(self) -> str:
        return type(self).__name__

    def written(self) -> str:
        """Its body as the ledger holds it: what `model_dump_json` gives, in half the time."""
        return self.__pydantic_serializer__.to_json(self).decode()


def parse_event(kind: str, body: str | bytes) -> Event:
    """Read an event back. Raises: KeyError for an unknown kind, pydantic.ValidationError for a damaged body."""
    return _reader_of(kind)(body)


@cache
def _reader_of(kind: str) -> Callable[[str | bytes], Event]:
    return Event.registry[kind].__pydantic_validator__.validate_json
