"""Secrets are not written down: taken out of whatever agents say before it reaches a file, the ledger or a terminal.

By value, for those that we know: as they are, and as base64, hexadecimal, or escaped for an address or for JSON would
show them. By shape, for those that nobody told us of: keys and tokens of well-known makers, private keys. What is taken
out leaves a word behind, so that nobody wonders.

It is a net and no wall: whoever wants to say a secret in another way can. The wall is not to have it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "‹secret›"
MOST_LEARNT = 32
"""Of those that an agent may have made up: so many are looked for in each line without being felt."""
SHORTEST = 8
"""A value that is shorter stands in too many words that are none."""
_NAMED = re.compile(r"KEY|TOKEN|SECRET|PASSW(?:OR)?D|CREDENTIAL|COOKIE|DSN", re.IGNORECASE)
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^\s/\\]{12,}")
"""What is no path, no word and no number."""
_BASE64 = re.compile(r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+][A-Za-z0-9+/]{31,}={0,2}")
"""The one with slashes that is no path either, as AWS's keys are."""
_IN_ADDRESS = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")
"""The password of an address."""

_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("sk-",), re.compile(r"\bsk-(?=[\w-]*\d)[A-Za-z0-9_-]{20,}")),
    (("sk_live_", "rk_live_", "sk_test_"), re.compile(r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}")),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"\bgh[opusr]_[A-Za-z0-9]{36,}")),
    (("github_pat_",), re.compile(r"\bgithub_pat_\w{40,}")),
    (("glpat-",), re.compile(r"\bglpat-[\w-]{20,}")),
    (("xox",), re.compile(r"\bxox[abeoprs]-[\w-]{20,}")),
    (("AKIA", "ASIA"), re.compile(r"\bA[KS]IA[0-9A-Z]{16}\b")),
    (("AIza",), re.compile(r"\bAIza[\w-]{35}")),
    (("ya29.",), re.compile(r"\bya29\.[\w-]{30,}")),
    (("npm_",), re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    (("pypi-A",), re.compile(r"\bpypi-A[\w-]{50,}")),
    (("hf_",), re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    (("SG.",), re.compile(r"\bSG\.[\w-]{20,}\.[\w-]{20,}")),
    (("eyJ",), re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    # Up to the end of the text that it stands in: a key that is cut is a secret, too.
    (
        ("PRIVATE KEY",),
        re.compile(r'-----BEGIN [A-Z ]*PRIVATE KEY-----[^"]*?(?:-----END [A-Z ]*PRIVATE KEY-----|(?=")|\Z)'),
    ),
)
"""(what must be there for it to be worth a look, shape)."""
_LOOKED_FOR = tuple((sign, shape) for signs, shape in _SHAPES for sign in signs)


def secrets_of(variables: Mapping[str, str], credentials: Iterable[str] = ()) -> list[str]:
    """The secrets of an environment: the values of its credentials; of what is named and looks like one; and the
    passwords of addresses that look like one.
    """
    known = {*credentials}
    found = [
        value
        for name, value in variables.items()
        if len(value) >= SHORTEST and (name in known or (_NAMED.search(name) and _unlike_words(value)))
    ]
    within = (password for value in variables.values() for password in _IN_ADDRESS.findall(value))
    found += [form for password in within if _unlike_words(password) for form in (password, unquote(password))]
    return list(dict.fromkeys(found))


def _unlike_words(value: str) -> bool:
    return bool(_RANDOM.fullmatch(value) or _BASE64.fullmatch(value))


class Secrets:
    """What must not be written down. More may become known at any time."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: dict[str, None] = {}
        self._learnt: dict[str, None] = {}
        self._forms: tuple[str, ...] = ()
        self._forms_in_files: tuple[bytes, ...] = ()
        self.add(*values)

    def add(self, *values: str) -> None:
        """What is too short to be told from an ordinary word is left alone."""
        self._values |= dict.fromkeys(value for value in values if len(value) >= SHORTEST)
        self._make_forms()

    def learn(self, *values: str) -> None:
        """As `add`, from where an agent may have put anything: only the newest count."""
        for value in values:
            if len(value) >= SHORTEST:
                self._learnt.pop(value, None)
                self._learnt[value] = None
        self._learnt = dict.fromkeys([*self._learnt][-MOST_LEARNT:])
        self._make_forms()

    def _make_forms(self) -> None:
        forms = {form for value in self.values for form in forms_of(value)}
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        sure = {form for value in self.values if _unlike_words(value) for form in forms_of(value)}
        self._forms_in_files = tuple(form.encode() for form in sorted(sure) if "\n" not in form)

    @property
    def values(self) -> tuple[str, ...]:
        return tuple({**self._values, **self._learnt})

    def text(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        for sign, shape in _LOOKED_FOR:  # flat, and by plain search first: this is done to every line of every agent
            if sign in text:
                text = shape.sub(HIDDEN, text)
        return text

    def data(self, data: bytes) -> bytes:
        """Of text in bytes; what is no text stays as it is but for what is known by value."""
        try:
            return self.text(data.decode()).encode()
        except UnicodeDecodeError:
            for form in self._forms:
                data = data.replace(form.encode(), HIDDEN.encode())
            return data

    @property
    def forms(self) -> tuple[bytes, ...]:
        """How those that are known by value may stand in a file. None holds a line break.

        A key that looks like a word (`not-needed`, as a model's server at home wants one) stands in files of its own
        right: a file that can't be landed is worse than such a word in it.
        """
        return self._forms_in_files

    def stand_in(self, data: bytes) -> bool:
        """Whether one that is known by value stands in a file."""
        return any(form in data for form in self.forms)

    def within(self, value: Any) -> Any:
        """Of every text in JSON, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.within(key): self.within(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.within(inner) for inner in value]
        return value


def forms_of(value: str) -> set[str]:
    """How a value may stand in a text; in lower case, as names of hosts do."""
    data = value.encode()
    found = {value, value.lower(), quote(value, safe=""), quote_plus(value), data.hex(), data.hex().upper()}
    once = json.dumps(value)[1:-1]
    found |= {once, json.dumps(once)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    for before in range(3):
        found |= {inner for inner in _base64(data, before) if len(inner) >= SHORTEST}
    return found


def _base64(data: bytes, before: int) -> Iterator[str]:
    """What of it is the same whatever stands around it, where `before` bytes (of three) come first."""
    first, last = -(-before * 4 // 3), (before + len(data)) * 4 // 3
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(before) + data + bytes(3))[first:last].decode()


SHORTEST_BEGINNING = 4
"""A text that ends with so much of a secret has begun to say it."""


@dataclass(slots=True)
class Chunks:
    """Texts that follow each other: what they say together stands in none of them."""

    secrets: Secrets
    _tail: str = field(default="", repr=False)

    def text(self, text: str) -> tuple[str, bool]:
        """The next one, without its part of a secret that began before it or goes on in what is to come; and whether
        there was such a part.
        """
        own, whole = len(self._tail), self._tail + text
        values = self.secrets.values
        longest = max(map(len, values), default=1)
        self._tail = whole[1 - longest :] if longest > 1 else ""
        spans = [span for value in values for span in _spans(whole, value) if span[1] > own]
        for begin, end in sorted(spans, reverse=True):
            text = text[: max(begin - own, 0)] + HIDDEN + text[end - own :]
        return text, any(begin < own or end == len(whole) for begin, end in spans)


def _spans(whole: str, value: str) -> Iterator[tuple[int, int]]:
    """Where a secret stands in a text, or begins at its end."""
    at = whole.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = whole.find(value, at + len(value))
    first = value[:SHORTEST_BEGINNING]
    at = whole.find(first, max(len(whole) - len(value) + 1, 0))
    while at >= 0:
        if value.startswith(whole[at:]):
            yield at, len(whole)
            return
        at = whole.find(first, at + 1)
