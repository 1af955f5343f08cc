"""Whether everything that the ledger says is so: the ledger itself, its receipts and files, and the store.

Reads only. A live router is no hindrance, and neither is damage: a part that can't be read is a problem like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from codeswarm.engine.data import Data
from codeswarm.engine.receipts import Signer
from codeswarm.engine.store_check import store_problems
from codeswarm.git.store import Store
from codeswarm.ledger.artifacts import Artifacts
from codeswarm.ledger.care import Code, Problem, checked
from codeswarm.ledger.evidence import KEY_BACK, artifact_problems, receipt_problems
from codeswarm.ledger.verify import Inspection, inspect


def verify_all(data: Data, *, live: bool = False, deep: bool = True) -> list[Problem]:
    """Everything that is wrong with a data directory; empty where all is well. Changes nothing, raises nothing.

    Args:
        live: a router may be at work meanwhile. What it is just about to do can look wrong for a moment, so only what
            is wrong at a second look, too, is told.
        deep: also read every object of the store. Without it, missing objects are found, but not all damaged ones.
    """
    problems = _look(data, live=live, deep=deep)
    if live and problems:
        again = set(_look(data, live=live, deep=deep))
        problems = [problem for problem in problems if problem in again]
    return problems


def _look(data: Data, *, live: bool, deep: bool) -> list[Problem]:
    seen = inspect(data.ledger)
    artifacts = Artifacts(data.artifacts)
    return [
        *seen.problems,
        *checked("the receipts", partial(_receipts, data.key, seen)),
        *checked("the artifacts", partial(artifact_problems, seen.records, artifacts)),
        *checked("the store", partial(store_problems, Store(data.store), seen, live=live, deep=deep)),
    ]


def _receipts(key: Path, seen: Inspection) -> Iterator[Problem]:
    signer = Signer(key.read_bytes()) if key.is_file() else None
    if signer is None and seen.records:
        yield Problem(Code.KEY, "key", f"{key} is missing: receipts can't be told from forged ones", KEY_BACK)
    yield from receipt_problems(seen.records, signer.genuine if signer else None)
