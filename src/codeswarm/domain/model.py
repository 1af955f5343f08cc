"""The base of every typed value in the domain."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value whose JSON form has exactly its declared keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
