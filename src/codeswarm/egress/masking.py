"""Hides a secret in bytes that come in pieces, without changing how many there are."""

from __future__ import annotations

FILLER = b"*"


class Mask:
    """Every occurrence becomes as many stars; also one that is spread over pieces. Memory: the length of the secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._stars = FILLER * len(secret)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown by now: an end that may be the beginning of the secret waits for the next piece."""
        if not self._secret:
            return data
        whole = (self._held + data).replace(self._secret, self._stars)
        held = self._beginning(whole)
        self._held = whole[len(whole) - held :]
        return whole[: len(whole) - held]

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _beginning(self, data: bytes) -> int:
        """How long the longest end of `data` is that begins the secret."""
        longest = min(len(self._secret) - 1, len(data))
        return next((size for size in range(longest, 0, -1) if data.endswith(self._secret[:size])), 0)
