"""Everything that can go wrong between a CLI and its model, on demand.

Statuses and bodies are those of the wire that the request came by; what each looks like is in that wire's module.
"""

from __future__ import annotations

from dataclasses import dataclass

from codeswarm.testing.model_server.reply import Part, Say, Turn

# ── refused with a status ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429: too many requests at a time. For a burst: `sequence([RateLimited(), RateLimited(), Say("…")])`."""

    retry_after_s: float | None = 1


@dataclass(frozen=True, slots=True)
class QuotaExhausted:
    """429: nothing more until `resets_at_s` (seconds since 1970; None: the body does not say)."""

    resets_at_s: int | None = None


@dataclass(frozen=True, slots=True)
class OutOfCredit:
    """Nothing more until somebody pays: 400 (Anthropic), 429 (OpenAI), 403 (Gemini)."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """500 or 503."""

    status: int = 500


@dataclass(frozen=True, slots=True)
class Overloaded:
    """529 (Anthropic), 503 with a wording of its own (OpenAI, Gemini)."""


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """401."""


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """404."""


@dataclass(frozen=True, slots=True)
class ContextOverflow:
    """400: the prompt is too long. OpenAI says so within the stream, by `response.failed`."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Whatever an HTTP server, or what stands before it, may say: a status, headers, a body in pieces as they are.

    With `cut` the connection is closed behind them, in the midst of the body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    cut: bool = False


# ── broken on the way ────────────────────────────────────────────────────────────────────────────────────────

_NEVER_ENDING = Turn(Say("This answer is broken off before it says what it was going to say, as it was told to be."))


@dataclass(frozen=True, slots=True)
class HangBeforeHeaders:
    """Nothing at all until the server is told to `release()`; then `turn`."""

    turn: Turn | Part = Say("It took a while.")


@dataclass(frozen=True, slots=True)
class HangInStream:
    """`after_events` events of `turn`, then nothing until the server is told to `release()`; then the rest.

    Here and below: at most all events but the last are sent before the fault, so that it is always within the
    answer; a request that asked for no stream gets its headers and then the fault.
    """

    after_events: int = 3
    turn: Turn | Part = _NEVER_ENDING


@dataclass(frozen=True, slots=True)
class ErrorInStream:
    """`after_events` events of `turn`, then the wire's own error event, and the stream ends in good order.

    A request that asked for no stream gets a 500.
    """

    after_events: int = 3
    turn: Turn | Part = _NEVER_ENDING


@dataclass(frozen=True, slots=True)
class GarbageInStream:
    """`after_events` events of `turn`, then events that are no JSON and bytes that are no text; then it ends."""

    after_events: int = 3
    turn: Turn | Part = _NEVER_ENDING


@dataclass(frozen=True, slots=True)
class DropBeforeHeaders:
    """The connection is closed without an answer."""


@dataclass(frozen=True, slots=True)
class DropInStream:
    """`after_events` events of `turn`, then the connection is closed."""

    after_events: int = 3
    turn: Turn | Part = _NEVER_ENDING


@dataclass(frozen=True, slots=True)
class SlowStream:
    """`turn`, with the server's `sleep(delay_s)` before every event."""

    delay_s: float
    turn: Turn | Part = Say("Slow and steady.")


Refusal = (
    RateLimited
    | QuotaExhausted
    | OutOfCredit
    | ServerError
    | Overloaded
    | Unauthorized
    | UnknownModel
    | ContextOverflow
)
Break = (
    Raw
    | HangBeforeHeaders
    | HangInStream
    | ErrorInStream
    | GarbageInStream
    | DropBeforeHeaders
    | DropInStream
    | SlowStream
)
Fault = Refusal | Break
