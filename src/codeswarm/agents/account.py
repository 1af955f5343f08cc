"""Which account an agent answers by: a digest of what it logs in with, the same on every worker that has the same.

The ledger names accounts, so that a spent quota is one account's and not another's. No secret is in it: a digest this
short is shared by very many keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from hashlib import blake2b

from codeswarm.environment import Login

BYTES = 6


def accounts(login: Login) -> dict[str, str]:
    """Kind of agent → a digest of its credentials, the endpoint that they are for among them. Kinds without any are
    left out.
    """
    found = {field.name: getattr(login, field.name) for field in fields(login)}
    return {kind: _digest(what) for kind, what in found.items() if isinstance(what, Mapping) and what}


def _digest(credentials: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(credentials.items()))
    return blake2b(text.encode(errors="surrogateescape"), digest_size=BYTES, person=b"codeswarm").hexdigest()
