"""What `doctor` tells of logins that were refused while agents worked: `status` sends people here to have them mended.

A key can be tried beforehand (`check_endpoints`); a token of an account, or a CLI's own login, only its CLI can try.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from codeswarm.agents.account import accounts
from codeswarm.cli.checks import Finding
from codeswarm.cli.here import Here
from codeswarm.cli.words import agent_name
from codeswarm.domain.results import FailureClass
from codeswarm.errors import CodeswarmError
from codeswarm.plain import visible
from codeswarm.vendors import keys_of
from codeswarm.worker.cleaning import OVER

_TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"  # noqa: S105 - the name of a variable


def refused_logins(here: Here, needed: Collection[str]) -> Iterator[Finding]:
    """Of sessions that are still open, by an account that is logged in here now."""
    ours = accounts(here.environment.login)
    told: set[str] = set()
    with contextlib.suppress(CodeswarmError), here.tables() as tables:
        open_ = {row["id"] for row in tables.table("sessions") if row["status"] not in OVER}
        for row in tables.table("parkings"):
            kind = row["agent"].partition(":")[0]
            refused = row["state"] == "parked" and row["why"] == FailureClass.AUTH and row["session"] in open_
            if refused and row["account"] == ours.get(kind) and kind not in told:
                told.add(kind)
                said = " ".join(visible(row["detail"]).split())
                detail = f"the login of {agent_name(row['agent'])} was refused in session {row['session']}: {said}"
                yield Finding(f"parked {kind}", False, detail, _mended(here, kind, row["session"]), kind in needed)


def _mended(here: Here, kind: str, session: str) -> str:
    """With another key it is another account, which nobody has refused yet."""
    name = next(iter(here.environment.login.of(keys_of(kind))), "")
    if not name:
        return f"codeswarm resume {session}   # once the CLI itself is logged in anew"
    how = "a new one: claude setup-token" if name == _TOKEN else "one that is taken"
    return f"export {name}=…   # {how}; then: codeswarm resume {session}"
