"""Claude Code on a terminal of its own HOME, without the questions that it asks whoever starts it for the first time.

Facts (seen with 2.1): themes, trust in the folder and the use of a key from the environment are asked for unless
`.claude.json` in the HOME says that they were; a key is known there by its last twenty characters.
"""

from __future__ import annotations

import json

KNOWN_BY = 20
_WRITE = 'printf %s "$1" > "$HOME/.claude.json"; shift; exec "$@"'


def ready_for_a_person(folder: str, key: str) -> tuple[str, ...]:
    """What its command is put behind. It is done behind the walls: the HOME there is the agent's."""
    answered = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "bypassPermissionsModeAccepted": True,
        "projects": {folder: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
        "customApiKeyResponses": {"approved": [key[-KNOWN_BY:]] if key else [], "rejected": []},
    }
    return ("/bin/sh", "-c", _WRITE, "sh", json.dumps(answered))
