"""The tables of the ledger: their columns, their keys, and the order that people read them in. Names alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]
"""A whole row of a projection, in the order of its table's columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """A projection: its columns, how many of the first ones are its key, and the order that people read it in."""

    columns: tuple[str, ...]
    key: int
    order: str

    def key_of(self, row: Row) -> Row:
        return row[: self.key]


def _table(key: int, order: str, columns: str) -> Table:
    return Table(tuple(columns.split()), key, order)


TABLES: dict[str, Table] = {
    "sessions": _table(
        1,
        "started_ms, id",
        "id name goal status suspend_reason review_reason outcome detail started_by base_branch base tip saved_tip "
        "tickets landed cost_usd reserved_usd tokens cost_unknown started_ms ended_ms version until_ms "
        "subscription_usd",
    ),
    "tickets": _table(
        2,
        "place",
        "session id place wave title priority blocked_by status phase role reason generation epoch failures "
        "interruptions change_rounds bounces worker work landed landed_ms not_before_ms since_ms files",
    ),
    "attempts": _table(
        3,
        "leased_ms, ticket, epoch",
        "session ticket epoch phase role number worker agent status sandbox conversation base start snapshot head "
        "failure message summary gates late cost_usd input_tokens output_tokens transcript transcript_size leased_ms "
        "ended_ms",
    ),
    "gates": _table(2, "at_ms, gate", "session gate purpose ticket tree epoch worker state reason at_ms"),
    "receipts": _table(
        2, "at_ms, id", "session id tree name command outcome exit_code log worker given_by signature at_ms"
    ),
    "landings": _table(2, "landing", "session landing ticket state old new tree reason receipts at_ms"),
    "approvals": _table(
        2,
        "requested_ms, id",
        "session id subject ticket evidence why state needed given_by requested_ms expires_ms risk reasons "
        "epoch command cwd answered_by reason",
    ),
    "parkings": _table(
        3,
        "changed_ms, agent, account",
        "session agent account state why detail since_ms until_ms given_by told_by changed_ms",
    ),
    "checkpoints": _table(2, "at_ms, checkpoint", "session checkpoint branch old new state how at_ms"),
}
