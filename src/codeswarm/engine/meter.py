"""What live attempts have used by their own account: kept in memory, never in the ledger.

Nothing is decided here but when to ask: the domain says whose cap leaves nothing any more, and only that is a fact.
After a restart the next heartbeats tell it all anew, since the figures are cumulative.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId, Subject, TicketId
from codeswarm.domain.metering import meter, overdrawn, own_share
from codeswarm.domain.prices import Prices
from codeswarm.domain.results import Usage, UsageWindow
from codeswarm.engine.kernel import Kernel
from codeswarm.errors import Refused

Key = tuple[SessionId, Subject, int]
UNKNOWN = Usage()


class Meter:
    def __init__(self, kernel: Kernel, prices: Prices) -> None:
        self._kernel = kernel
        self._prices = prices
        self._told: dict[SessionId, dict[tuple[Subject, int], cmd.Told]] = {}

    def tell(self, key: Key, usage: Usage) -> None:
        """Take the newest figures of a live attempt; where a cap leaves nothing any more, that becomes a fact."""
        session_id, subject, epoch = key
        session = self._kernel.session(session_id)
        attempt = session.tickets[TicketId(subject)].attempts[epoch]
        told = cmd.Told(ticket=TicketId(subject), epoch=epoch, usage=self._prices.priced(usage, attempt.agent))
        of_session = self._told.setdefault(session_id, {})
        if of_session.get((subject, epoch)) == told:
            return
        of_session[subject, epoch] = told
        budget = session.settings.budget
        if not budget.in_usd and not budget.in_tokens:
            return
        command = cmd.MeterUsage(told=tuple(of_session.values()))
        if meter(session, command, 0):
            with suppress(Refused):  # the session is over
                self._kernel.submit(session_id, command)

    def tell_windows(self, key: Key, windows: tuple[UsageWindow, ...]) -> None:
        """How much of its subscription is used: beyond what is left to the person its agent is parked."""
        session_id, subject, epoch = key
        if not self._kernel.session(session_id).settings.budget.quota_reserve:
            return
        command = cmd.KeepQuota(ticket=TicketId(subject), epoch=epoch, windows=windows)
        with suppress(Refused):
            self._kernel.submit(session_id, command)

    def usage(self, key: Key) -> Usage:
        """What an attempt has told of so far."""
        told = self._told.get(key[0], {}).get(key[1:])
        return UNKNOWN if told is None else told.usage

    def own(self, key: Key) -> dict[str, Any]:
        """What a live attempt has used: `usage` of its conversation, its own `usd` and `tokens`; nothing if untold."""
        told = self._told.get(key[0], {}).get(key[1:])
        if told is None:
            return {}
        ticket = self._kernel.session(key[0]).tickets[told.ticket]
        usd, tokens = own_share(ticket, ticket.attempts[told.epoch], told.usage)
        return {"usage": told.usage, "usd": usd, "tokens": tokens}

    def of_session(self, session: SessionId) -> tuple[cmd.Told, ...]:
        return tuple(self._told.get(session, {}).values())

    def overdrawn(self, session: SessionId) -> tuple[cmd.Overdrawn, ...]:
        """What its live attempts have used beyond what they had set aside."""
        told = self._told.get(session)
        return tuple(overdrawn(self._kernel.session(session), told.values())) if told else ()

    def forget(self, key: Key) -> None:
        of_session = self._told.get(key[0])
        if of_session is not None and of_session.pop(key[1:], None) is not None and not of_session:
            del self._told[key[0]]
