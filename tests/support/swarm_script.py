"""What a scripted model says to the swarm's agents, of any kind, by role and ticket. It refuses incomplete prompts."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from codeswarm.testing.model_server import HangInStream, Refuse, Request, Say, Shell, Turn, WriteFile

LIBRARY = {
    "lib.py": '"""A library."""\n\n\ndef zero():\n    return "zero"\n',
    "tests/test_zero.py": "import lib\n\n\ndef test_zero():\n    assert lib.zero() == 'zero'\n",
    "conftest.py": "",
    ".gitignore": "__pycache__/\n.pytest_cache/\n",
    "codeswarm.toml": '[gates]\nfast = "python -m pytest -q -x -p no:cacheprovider"\n',
}
"""What the tickets are about."""
ROLES = {
    "You are a test writer": "test_writer",
    "You are an implementer": "implementer",
    "You are a reviewer": "reviewer",
}


def acceptance(ticket: str) -> str:
    """The sentence that every prompt about a ticket must hold."""
    return f"{ticket}() answers its own name, in lower case"


def promise(ticket: str) -> str:
    """The sentence of a ticket's contract, which every later prompt must hold."""
    return f"calling {ticket}() twice gives the same text"


@dataclass
class SwarmScript:
    """A model that builds `t1`, `t2` … in a small library. Each says what it was asked in `seen`."""

    changes_for: str = ""
    """The ticket whose first review asks for changes."""
    hang_for: str = ""
    """The ticket whose first implementation hangs in the middle of its second turn."""
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """(ticket, role, conversation) of every request."""
    refused: list[str] = field(default_factory=list)
    _reviews: Counter[str] = field(default_factory=Counter)
    went_on: bool = False
    """Whether the interrupted conversation came back with its earlier turns."""
    _hung: bool = False

    def __call__(self, request: Request) -> object:
        if request.is_side_call:
            return Say("ok")
        found = re.search(r"# Ticket ([a-z0-9]+):", request.text)
        role = next((role for words, role in ROLES.items() if words in request.text), None)
        if found is None or role is None:
            return self._refuse("the prompt names no ticket or no role")
        ticket = found[1]
        self.seen.append((ticket, role, request.headers.get("x-claude-code-session-id", "")))
        if acceptance(ticket) not in request.text:
            return self._refuse(f"the prompt of {ticket} ({role}) lacks its acceptance")
        if role != "test_writer" and promise(ticket) not in request.text:
            return self._refuse(f"the prompt of {ticket} ({role}) lacks its contract")
        return getattr(self, f"_{role}")(ticket, request)

    def _refuse(self, why: str) -> Refuse:
        self.refused.append(why)
        return Refuse(409, why)

    def _test_writer(self, ticket: str, request: Request) -> object:
        tests = f"import lib\n\n\ndef test_{ticket}():\n    assert lib.{ticket}() == lib.{ticket}() == '{ticket}'\n"
        answer = json.dumps({"contract": {"postconditions": [promise(ticket)]}})
        steps = [
            WriteFile(f"tests/test_{ticket}.py", tests),
            Shell(f"cat > \"$CODESWARM_RESULT\" <<'EOF'\n{answer}\nEOF"),
            Say("The contract stands."),
        ]
        return steps[min(request.turns, 2)]

    def _implementer(self, ticket: str, request: Request) -> object:
        add = f"grep -q 'def {ticket}' lib.py || printf '\\n\\ndef {ticket}():\\n    return \"{ticket}\"\\n' >> lib.py"
        if "You were interrupted" in request.text and request.turns:
            self.went_on = True
        clean = "sed -i '/^<<<<<<< /d;/^=======$/d;/^>>>>>>> /d' lib.py"
        if ticket == self.hang_for and request.turns == 1 and not self._hung:
            self._hung = True
            return HangInStream(turn=Turn(Shell("python3 -c 'import lib'")))
        note = f"echo '# {ticket}: documented' >> lib.py" if "A reviewer asks for changes" in request.text else "true"
        if request.turns == 0:
            return Shell(f"{clean}; {add}; {note}")
        return Shell("python3 -c 'import lib'") if request.turns == 1 else Say("Done.")

    def _reviewer(self, ticket: str, request: Request) -> object:
        if request.turns:
            return Say("That is my verdict.")
        self._reviews[ticket] += 1
        wants = ticket == self.changes_for and self._reviews[ticket] == 1
        findings = [{"file": "lib.py", "line": 1, "severity": "major", "text": "document it"}] if wants else []
        answer = json.dumps({"verdict": "changes_requested" if wants else "approve", "findings": findings})
        return Shell(f"cat > \"$CODESWARM_RESULT\" <<'EOF'\n{answer}\nEOF")
