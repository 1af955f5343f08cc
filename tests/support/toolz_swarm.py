"""Twenty-four tickets for a real library, toolz, as its authors published it, and an agent that can do them.

Ten tickets add to one file, six to another, four to a third, and four make a module of their own. Each function is
built on those of the tickets that block it, so that its tests can't be green before they have landed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Place
from tests.support.small_swarm import QUICK

VERSION = "1.0.0"
SHA256 = "2c86e3d9a04798ac556793bced838816296a2f085017664e4995cb40a1047a02"


@dataclass(frozen=True)
class Function:
    """One ticket: a function of one line, where it goes, what it is built on, and what it should answer."""

    file: str
    arguments: str
    body: str
    call: str
    answer: str
    after: tuple[str, ...] = ()
    pipeline: str = "single"
    label: str = ""


RECIPES, DICTS, ITERS, STATS = "recipes", "dicttoolz", "itertoolz", "stats"
FUNCTIONS: dict[str, Function] = {
    # one file, ten tickets
    "pairs": Function(RECIPES, "seq", "list(zip(seq, seq[1:]))", "[1, 4, 2]", "[(1, 4), (4, 2)]", label="hangs-once"),
    "deltas": Function(RECIPES, "seq", "[b - a for a, b in pairs(seq)]", "[1, 4, 2]", "[3, -2]", ("pairs",)),
    "rising": Function(RECIPES, "seq", "all(a <= b for a, b in pairs(seq))", "[1, 2, 2]", "True", ("pairs",)),
    "runs": Function(
        RECIPES, "seq", "[(p[0], len(p)) for p in partitionby(lambda x: x, seq)]", "'aab'", "[('a', 2), ('b', 1)]"
    ),
    "longest_run": Function(RECIPES, "seq", "max(n for _, n in runs(seq))", "'abbb'", "3", ("runs",), "contract-first"),
    "run_values": Function(RECIPES, "seq", "[value for value, _ in runs(seq)]", "'aab'", "['a', 'b']", ("runs",)),
    "turns": Function(
        RECIPES, "seq", "sum(a * b < 0 for a, b in pairs(deltas(seq)))", "[1, 3, 2, 5]", "2", ("deltas",)
    ),
    "steepest": Function(
        RECIPES, "seq", "max(map(abs, deltas(seq)))", "[1, 3, -2]", "5", ("deltas",), "contract-first"
    ),
    "calm": Function(RECIPES, "seq", "turns(seq) == 0", "[1, 2, 3]", "True", ("turns", "rising")),
    "streaks": Function(
        RECIPES, "seq", "(longest_run(seq), turns(seq))", "[1, 1, 0, 2]", "(2, 1)", ("longest_run", "turns")
    ),
    # another, six
    "rename": Function(DICTS, "d, names", "{names.get(k, k): d[k] for k in d}", "{'a': 1}, {'a': 'b'}", "{'b': 1}"),
    "invert": Function(DICTS, "d", "{d[k]: k for k in d}", "{'a': 1}", "{1: 'a'}"),
    "without": Function(
        DICTS, "d, *keys", "{k: d[k] for k in d if k not in keys}", "{'a': 1, 'b': 2}, 'a'", "{'b': 2}"
    ),
    "only": Function(DICTS, "d, *keys", "{k: d[k] for k in d if k in keys}", "{'a': 1, 'b': 2}, 'a'", "{'a': 1}"),
    "split": Function(
        DICTS, "d, *keys", "(only(d, *keys), without(d, *keys))", "{'a': 1}, 'a'", "({'a': 1}, {})", ("only", "without")
    ),
    "relabel": Function(
        DICTS,
        "d, names",
        "rename(invert(d), names)",
        "{'a': 1}, {1: 2}",
        "{2: 'a'}",
        ("rename", "invert"),
        "contract-first",
    ),
    # a third, four
    "chunks": Function(ITERS, "seq, n", "[seq[i:i + n] for i in range(0, len(seq), n)]", "'abc', 2", "['ab', 'c']"),
    "middle": Function(ITERS, "seq", "seq[len(seq) // 2]", "[1, 2, 3]", "2"),
    "middles": Function(
        ITERS, "seq, n", "[middle(c) for c in chunks(seq, n)]", "'abcd', 2", "['b', 'd']", ("chunks", "middle")
    ),
    "halves": Function(ITERS, "seq", "chunks(seq, (len(seq) + 1) // 2)", "'abc'", "['ab', 'c']", ("chunks",)),
    # a module of their own, four
    "spread": Function(STATS, "seq", "max(seq) - min(seq)", "[1, 4]", "3"),
    "summary": Function(
        STATS,
        "seq",
        "(spread(seq), *recipes.streaks(seq))",
        "[1, 1, 0]",
        "(1, 2, 0)",
        ("spread", "streaks"),
        "contract-first",
    ),
    "digest": Function(STATS, "seq", "hash(summary(seq)) == hash((1, 2, 0))", "[1, 1, 0]", "True", ("summary",)),
    "verdict": Function(
        STATS,
        "seq",
        "'calm' if recipes.calm(seq) and digest(seq) is not None else 'wild'",
        "[1, 2]",
        "'calm'",
        ("digest", "calm"),
    ),
}

AGENT = '''\
"""An agent that adds one function to a library, from what a ticket asks; where two edits met, it keeps both."""

import json, os, pathlib, sys, time

known = json.loads((pathlib.Path(__file__).parent / "functions.json").read_text())
bundle = json.load(open(os.environ["CODESWARM_BUNDLE"]))
role, ticket = os.environ["CODESWARM_ROLE"], os.environ["CODESWARM_TICKET"]
result = pathlib.Path(os.environ["CODESWARM_RESULT"])
assert sys.stdin.read().strip(), "the prompt is on standard input"
name = ticket.replace("-", "_")
wanted = known[name]
path = pathlib.Path("toolz") / f"{wanted['file']}.py"
test = pathlib.Path("toolz/tests") / f"test_new_{name}.py"


def write_test():
    call = f"{name}({wanted['call']})"
    source = f"from toolz.{wanted['file']} import {name}\\n\\n\\n"
    test.write_text(source + f"def test_{name}():\\n    assert {call} == {wanted['answer']}\\n")


def write_function():
    head = "from toolz import recipes\\n" if wanted["file"] == "stats" else ""
    text = path.read_text() if path.exists() else head
    lines = [line for line in text.splitlines() if not line.startswith(("<<<<<<<", "|||||||", "=======", ">>>>>>>"))]
    if head:
        lines = [head.strip(), *(line for line in lines if line != head.strip())]
    if not any(line.startswith(f"def {name}(") for line in lines):
        lines += ["", "", f"def {name}({wanted['arguments']}):", f'    """ {bundle["ticket"]["title"]} """']
        lines += [f"    return {wanted['body']}"]
    path.write_text("\\n".join(lines) + "\\n")


print(json.dumps({"type": "assistant", "text": f"{role} works on {ticket}"}), flush=True)
if role == "test_writer":
    write_test()
    result.write_text(json.dumps({"contract": {"postconditions": [f"{name}({wanted['call']}) is {wanted['answer']}"]}}))
elif role == "implementer":
    if not bundle["ticket"].get("pipeline") == "contract-first":
        write_test()
    write_function()
    if wanted["label"] == "hangs-once" and os.environ["CODESWARM_ATTEMPT"] == "1":
        path.with_suffix(".half").write_text("half of it")
        print(json.dumps({"type": "assistant", "text": "thinking it over"}), flush=True)
        time.sleep(3600)
    path.with_suffix(".half").unlink(missing_ok=True)
elif role == "reviewer":
    result.write_text(json.dumps({"verdict": "approve", "findings": []}))
'''

CONFIG = '[gates]\nfast = "python -m pytest -q -x -p no:cacheprovider toolz"\n'


def toolz_place(root: Path, sdist: Path) -> Place:
    """The library in a repository, with the agent beside it."""
    place = Place(root, dict(QUICK))
    with tarfile.open(sdist) as archive:
        archive.extractall(root / "unpacked", filter="data")
    place.begin({"codeswarm.toml": CONFIG, ".gitignore": "__pycache__/\n"})
    for path in (root / "unpacked" / f"toolz-{VERSION}").iterdir():
        path.rename(place.repository / path.name)
    place.git("add", "--all")
    place.git("commit", "--quiet", "--message", f"toolz {VERSION}")
    (root / "agent").mkdir()
    (root / "agent" / "agent.py").write_text(AGENT)
    (root / "agent" / "functions.json").write_text(json.dumps({name: vars(f) for name, f in FUNCTIONS.items()}))
    return place


def toolz_tickets() -> list[dict[str, Any]]:
    return [
        {
            "id": name.replace("_", "-"),
            "title": f"Add {name} to {function.file}",
            "acceptance": [f"{name}({function.call}) is {function.answer}"],
            "blocked_by": [other.replace("_", "-") for other in function.after],
            "files": [f"toolz/{function.file}.py"],
            "pipeline": function.pipeline,
        }
        for name, function in FUNCTIONS.items()
    ]


def depth(tickets: list[dict[str, Any]]) -> int:
    """How many tickets stand on the longest chain."""
    blockers = {ticket["id"]: ticket["blocked_by"] for ticket in tickets}

    def below(id_: str) -> int:
        return 1 + max(map(below, blockers[id_]), default=0)

    return max(map(below, blockers))


def download(folder: Path) -> Path:
    """The published source of the library; skips, with the reason, where it can't be had."""
    words = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), f"toolz=={VERSION}"]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    found = folder / f"toolz-{VERSION}.tar.gz"
    if not found.is_file():
        pytest.skip(f"toolz {VERSION} can't be downloaded: {done.stderr.strip()[-300:]}")
    assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256
    return found
