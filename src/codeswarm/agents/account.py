"""Which account an agent answers by: a digest of what it logs in with, the same on every worker that has the same.

The ledger names accounts, so that a spent quota is one account's and not another's. No secret is in it: a digest this
short is shared by very many keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from codeswarm.agents.login_file import login_file
from codeswarm.environment import KEYS, Login
from codeswarm.vendors import VENDORS

BYTES = 6
_VARIABLES = {**{kind: vendor.variables for kind, vendor in VENDORS.items()}, "api": KEYS}
"""Kind of agent → the variables that it logs in with. `acp:` is whatever its command is."""


def accounts(login: Login) -> dict[str, str]:
    """Kind of agent → a digest of its credentials, the endpoint that they are for among them. Kinds without any are
    left out. Of a CLI's own file it is the account, which stays the same when its tokens are renewed.
    """
    keys = {**login.keys, **login.claude}
    found = {kind: {name: keys[name] for name in names if name in keys} for kind, names in _VARIABLES.items()}
    for kind in login.files:
        if (file := login_file(login, kind)) is not None and not file.problem:
            found[kind] |= {"file": file.key or file.name}
    return {kind: _digest(what) for kind, what in found.items() if what}


def _digest(credentials: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(credentials.items()))
    return blake2b(text.encode(errors="surrogateescape"), digest_size=BYTES, person=b"codeswarm").hexdigest()
