"""A beads file of any size with what real ones hold: epics, deleted issues, messages, links of every kind, and keys,
spellings and orders of keys that nobody but beads knows. Made up, and the same for the same seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

TYPES = ("task", "task", "task", "bug", "feature", "chore", "epic", "message", "agent", "merge-request")
STATUSES = ("open",) * 4 + ("closed",) * 8 + ("tombstone",) * 6 + ("in_progress", "hooked", "deferred", "blocked")
LINKS = ("blocks", "blocks", "parent-child", "related", "discovered-from", "relates-to")


def beads_file(count: int, seed: int = 1) -> bytes:
    dice = random.Random(seed)
    lines = [_spelled(dice, issue) for issue in _issues(dice, count)]
    return ("\n".join(lines) + "\n").encode()


def _issues(dice: random.Random, count: int) -> Iterator[dict[str, Any]]:
    ids = [dice.choice((f"bd-{i:x}", f"BD-{i}", f"bd-{i // 9:x}.{i}", f"Proj_x-{i}")) for i in range(count)]
    for i, id_ in enumerate(ids):
        links = [dice.choice(ids[max(0, i - 40) : i]) for _ in range(dice.choice((0, 0, 1, 2)))] if i else []
        status = dice.choice(STATUSES)
        issue = {
            "id": id_,
            "content_hash": f"{dice.getrandbits(64):x}",
            "title": f"Mend <{i}> & café — {dice.choice(('“quoted”', 'ünïcode', chr(0x1F41D)))}",
            "description": "## What\n\n- one\ttab\n- `x <y> & z`\n" * dice.randint(0, 3),
            "status": status,
            "priority": dice.randint(0, 4),
            "issue_type": dice.choice(TYPES),
            "created_at": "2025-11-21T19:51:55.747608-05:00",
            "updated_at": "2025-12-17T23:13:40.5Z",
            "dependencies": [
                {
                    "issue_id": id_,
                    "depends_on_id": other if dice.random() < 0.97 else "external:elsewhere:x",
                    "type": dice.choice(LINKS),
                    "created_at": "2025-12-18T02:02:00.470012-08:00",
                    "created_by": "daemon",
                    "thread_id": "",
                }
                for other in dict.fromkeys(links)
            ],
            **({"closed_at": "2025-12-01T00:00:00Z"} if status == "closed" else {}),
            **({"deleted_by": "batch delete", "original_type": "bug"} if status == "tombstone" else {}),
            **dice.choice(({}, {"notes": "a note"}, {"estimated_minutes": 90}, {"from_the_future": {"n": 1.50}})),
        }
        yield {key: value for key, value in issue.items() if value not in ([], "")}


def _spelled(dice: random.Random, issue: dict[str, Any]) -> str:
    """Compact as Go writes it, or in another of the ways that JSON allows."""
    if dice.random() < 0.1:
        return json.dumps(dict(sorted(issue.items(), key=lambda item: dice.random()))) + " "
    text = json.dumps(issue, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("1.5", "1.50")
