"""Agents that misbehave, each in its own way, in one run: each is judged for what it is, and nothing of it is left."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import left_behind
from tests.support.runs import Place
from tests.support.small_swarm import LIBRARY, small_place, ticket

PROBE = probe()
WALLS = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")

BAD_AGENT = r"""
import os, pathlib, socket, subprocess, sys, time

kind = os.environ["CODESWARM_TICKET"]
attempt = int(os.environ["CODESWARM_ATTEMPT"])
print(f"agent for {kind}", flush=True)


def done(name=None):
    name = (name or kind).replace("-", "_")
    pathlib.Path(f"mod_{name}.py").write_text("value = 1\n")


def git(*words):
    subprocess.run(["git", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if kind == "nothing":
    pass
elif kind == "later":
    if attempt == 1:
        sys.exit(75)
    done()
elif kind == "crash":
    if attempt == 1:
        done("half")
        os.kill(os.getpid(), 11)
    done()
elif kind == "outside":
    for path in (os.environ["OUTSIDE"], "/usr/evil", os.path.expanduser("~root/evil"), "/etc/evil"):
        try:
            pathlib.Path(path).write_text("evil")
            print("wrote", path)
        except OSError as error:
            print("refused", path, error)
    done()
elif kind == "daemon":
    subprocess.Popen(["sh", "-c", "trap '' TERM HUP; while true; do sleep 1; done"], start_new_session=True)
    done()
elif kind == "flood":
    sys.stdout.buffer.write(b"x" * 100_000_000 + b"\n")
    sys.stdout.buffer.write(b"\xff\xfe\x00 not utf-8 \xc3\n" * 1000)
    sys.stdout.buffer.write(b'{"type": "assistant", "text": "' + b"[" * 100_000 + b'"}\n')
    sys.stdout.flush()
    done()
elif kind == "nested":
    os.makedirs("inner")
    git("init", "-q", "inner")
    pathlib.Path("inner/kept.txt").write_text("kept\n")
    git("-C", "inner", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "inner")
    done()
elif kind == "swap":
    subprocess.run(["rm", "-rf", ".git"], check=True)
    evil = pathlib.Path(os.environ["TMPDIR"], "evil.git")
    git("init", "-q", "--bare", str(evil))
    canary = os.environ["CODESWARM_WORKSPACE"] + "/canary"
    for key in ("core.fsmonitor", "core.sshCommand", "filter.x.clean", "core.pager", "diff.external"):
        git("--git-dir", str(evil), "config", key, f"touch {canary}")
    git("--git-dir", str(evil), "config", "core.worktree", os.getcwd())
    pathlib.Path(".gitattributes").write_text("* filter=x diff=x\n")
    pathlib.Path(".git").write_text(f"gitdir: {evil}\n")
    done()
elif kind == "odd-files":
    os.mkfifo("pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind("sock")
    os.symlink("/etc/passwd", "link")
    os.symlink("nowhere", "dangling")
    pathlib.Path("CON").write_text("a device name elsewhere\n")
    pathlib.Path("new\nline").write_text("odd\n")
    with open(b"bytes-\xff\xfe", "wb") as file:
        file.write(b"\0\1\2")
    done()
elif kind == "branches":
    git("checkout", "-q", "-b", "idea")
    pathlib.Path("idea.txt").write_text("an idea\n")
    git("add", "-A")
    git("commit", "-q", "-m", "An idea on the side")
    git("checkout", "-q", "-")
    pathlib.Path("stashed.txt").write_text("stashed\n")
    git("stash", "-q", "-u")
    done()
elif kind == "ignored":
    pathlib.Path("notes.secret").write_text("a secret note\n")
    os.makedirs("build")
    pathlib.Path("build/out.bin").write_bytes(b"built")
    done()
elif kind == "too-big":
    with open("huge.bin", "wb") as file:
        file.truncate(3 << 20)
    done()
elif kind == "lies":
    print('{"type": "turn"}')
    pathlib.Path(os.environ["CODESWARM_RESULT"]).write_text("not json {")
    done()
elif kind == "forks":
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(1000)
    done()
"""

KINDS = [
    "nothing", "later", "crash", "outside", "daemon", "flood", "nested", "swap", "odd-files", "branches", "ignored",
    "too-big", "lies", "forks",
]  # fmt: skip


def hostile_place(root: Path) -> Place:
    config = LIBRARY["codeswarm.toml"] + "[workspace]\nmax_file_mib = 2\n"
    ignore = LIBRARY[".gitignore"] + "build/\n"
    place = small_place(root, {**LIBRARY, "codeswarm.toml": config, ".gitignore": ignore})
    (root / "agent" / "agent.py").write_text(BAD_AGENT)
    return place


@pytest.mark.parametrize("sandbox", [pytest.param("bubblewrap", marks=WALLS), "none"])
def test_each_misbehaving_agent_is_judged_for_what_it_is(tmp_path: Path, sandbox: str) -> None:
    place = hostile_place(tmp_path)
    outside = tmp_path / "outside"
    kinds = [kind for kind in KINDS if sandbox == "bubblewrap" or kind != "outside"]
    tickets = place.tickets([ticket(kind, pipeline="single") for kind in kinds])
    agent = f"command:OUTSIDE={outside} python {tmp_path / 'agent' / 'agent.py'}"
    done = place.run(
        "--json", "run", "--tickets", str(tickets), "--agent", agent, "--sandbox", sandbox, "--workers", "3"
    )
    events = done.lines()
    landed = {e["data"]["ticket"] for e in events if e.get("kind") == "TicketLanded"}
    failed = {e["data"]["ticket"]: e["data"]["reason"] for e in events if e.get("kind") == "TicketFailed"}
    assert done.code == 1, done.err
    assert set(failed) == {"nothing", "lies"}, failed
    assert landed == set(kinds) - {"nothing", "lies"}
    assert "without changing any file" in failed["nothing"]
    assert "not JSON" in failed["lies"]
    assert not outside.exists()
    assert Path("/usr/evil").exists() is Path("/etc/evil").exists() is False
    look_at_what_landed(place, events)
    look_at_what_is_kept(place, events, sandbox)
    assert left_behind(place.root) == []


def look_at_what_landed(place: Place, events: list[dict[str, Any]]) -> None:
    branch = "codeswarm/" + events[0]["session"]
    names = set(place.git("ls-tree", "-r", "-z", "--name-only", branch).split("\0"))
    assert {"inner/kept.txt", "link", "dangling", "CON", "new\nline"} <= names
    assert not any(name.startswith("inner/.git") for name in names)
    assert (
        not {"pipe", "sock", "canary", "huge.bin", "notes.secret", "build/out.bin", "idea.txt", "stashed.txt"} & names
    )
    assert "mod_half.py" not in names, "a crashed attempt's files are for reference only"
    assert place.git("cat-file", "-p", f"{branch}:link") == "/etc/passwd"
    assert not list(place.root.rglob("canary")), "no filter, hook or monitor of an agent's ever ran"


def look_at_what_is_kept(place: Place, events: list[dict[str, Any]], sandbox: str) -> None:
    """What is in no branch is in a ref or named."""
    session, store = events[0]["session"], place.data / "store.git"

    def refs(prefix: str) -> list[str]:
        out = place.git("--git-dir", str(store), "for-each-ref", "--format=%(refname)", prefix)
        return out.splitlines()

    kept = Counter(e["data"]["ticket"] for e in events if e.get("kind") == "CommitsKept")
    assert kept["branches"] == 1
    prefix = f"refs/codeswarm/agent/{session}/branches/1"
    assert f"{prefix}/heads/idea" in refs(prefix)
    assert f"{prefix}/stash" in refs(prefix)
    wip = f"refs/codeswarm/wip/{session}/ignored/1"
    assert place.git("--git-dir", str(store), "show", f"{wip}^2:notes.secret") == "a secret note"
    left_out = [
        item["path"]
        for e in events
        if e.get("kind") in ("SnapshotTaken", "AttemptSucceeded")
        for item in (e["data"].get("left_out") or (e["data"].get("report") or {}).get("left_out") or [])
    ]
    assert {"pipe", "sock", "inner/.git", "huge.bin"} <= set(left_out)
    stays = {path.name for path in (place.root / "cache").glob("codeswarm/*/attempts/*")}
    assert stays == {f"{session}.too-big.1", f"{session}.swap.1"}, "what is in no ref, or can't be told, stays"
    assert os.path.getsize(next((place.root / "cache").glob("codeswarm/*/attempts/*/*/huge.bin"))) == 3 << 20
