"""What is kept of every attempt: shown by `work`, and played again as a recording of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.support.runs import Place

AGENT = """#!/bin/sh
echo '{"type": "assistant", "text": "I begin."}'
echo '{"type": "usage", "input_tokens": 70, "output_tokens": 7, "cost_usd": 0.25}'
case $CODESWARM_ROLE in
  reviewer) echo '{"verdict": "approve"}' > "$CODESWARM_RESULT" ;;
  *)
    if [ "$CODESWARM_ATTEMPT" = 1 ]; then echo first > half.txt; exit 3; fi
    git rm --quiet old.txt; printf '\\377\\000' > binary; echo new > new.txt; chmod +x new.txt; ln -s new.txt link
    rm -f half.txt ;;
esac
"""


def test_what_ran_is_shown_whole_and_plays_again_to_the_same_files(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.begin({"old.txt": "old\n", "codeswarm.toml": '[gates]\nfast = "true"\n'})
    agent = tmp_path / "agent"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    tickets = str(place.tickets([{"id": "a", "title": "Do it", "pipeline": "single"}]))
    walls = ("--sandbox", "none")
    done = place.run("run", "--tickets", tickets, "--agent", f"command:{agent}", *walls, "--name", "real")
    assert done.code == 0, done.err

    shown = place.run("work", "a").out
    assert "tokens: 77; cost: 0.25 USD" in shown
    recordings = tmp_path / "recordings"
    kept = place.run("--json", "work", "real", "a", "--record", str(recordings)).json
    assert [attempt["status"] for attempt in kept["attempts"]] == ["failed", "succeeded"]
    for attempt in kept["attempts"]:
        told = json.loads(gzip.decompress(Path(attempt["told_path"]).read_bytes()))
        assert "# Ticket a: Do it" in told["prompt"]
        assert told["bundle"]["attempt"] == attempt["number"]
        said = gzip.decompress(Path(attempt["transcript_path"]).read_bytes())
        assert len(said) == attempt["transcript_size"]
        assert b"I begin." in said
    assert sorted(path.name for path in (recordings / "a").iterdir()) == [
        "implementation.1.jsonl",
        "implementation.2.jsonl",
    ]
    assert "I begin." in place.run("logs", "a").out
    assert place.run("ledger", "verify").code == 0

    done = place.run("run", "--tickets", tickets, "--agent", f"replay:{recordings}", *walls, "--name", "again")
    assert done.code == 0, done.err
    first, second = (place.run("--json", "status", name).json["session"]["id"] for name in ("real", "again"))
    assert place.git("rev-parse", f"codeswarm/{first}^{{tree}}") == place.git(
        "rev-parse", f"codeswarm/{second}^{{tree}}"
    )
    again = place.run("--json", "work", "again", "a").json["attempts"]
    assert [attempt["status"] for attempt in again] == ["failed", "succeeded"]
    assert (again[1]["input_tokens"], again[1]["cost_usd"]) == (70, 0.25)


def test_transcripts_go_when_they_are_old_enough_and_the_session_is_over_and_are_not_missed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.begin({"codeswarm.toml": '[gates]\nfast = "true"\n'})
    agent = tmp_path / "agent"
    agent.write_text("#!/bin/sh\necho said; echo new > new.txt\n")
    agent.chmod(0o755)
    tickets = str(place.tickets([{"id": "a", "title": "Do it", "pipeline": "single"}]))
    run = ("run", "--tickets", tickets, "--agent", f"command:{agent}", "--sandbox", "none", "--name")
    assert place.run(*run, "open").code == 0
    assert place.run(*run, "saved", "--save").code == 0
    keep, at_once = {}, {"CODESWARM_RETENTION_TRANSCRIPTS_DAYS": "0"}
    days = {"CODESWARM_RETENTION_TRANSCRIPTS_DAYS": "30"}
    for settings in (keep, days):
        assert not forgets(place.run("--json", "gc", "--dry-run", env=settings).json)
    saved, open_ = (place.run("--json", "status", name).json["session"]["id"] for name in ("saved", "open"))
    assert forgets(place.run("--json", "gc", "--dry-run", env=at_once).json) == [saved]
    assert place.run("gc", env=at_once).code == 0
    assert place.run("logs", "saved/a").out == ""
    assert "said" in place.run("logs", "open/a").out
    assert place.run("ledger", "verify").code == 0, "what was thrown away on purpose is not missed"
    assert "was thrown away by" in place.run("timeline", "saved").out
    assert not forgets(place.run("--json", "gc", env=at_once).json)
    assert open_ != saved


def forgets(told: dict[str, Any]) -> list[str]:
    """Sessions whose transcripts go."""
    return [Path(item["path"]).name for item in told["found"] if item["action"] == "forget"]
