"""The base of every typed value in the domain."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

LONGEST_TEXT = 1 << 24
"""Characters of one text. That there is a bound makes pydantic look at each text, and refuse what is no UTF-8."""
MOST = 2**53
"""The largest number that every reader of JSON holds exactly; it fits into every database's integers."""


class Frozen(BaseModel):
    """An immutable value whose JSON form has exactly its declared keys, and can be written and read back the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=LONGEST_TEXT)
