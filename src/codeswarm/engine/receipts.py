"""Receipts: the router's signed word that a gate command had an outcome on a tree.

The signature is an HMAC-SHA-256 with a key that only this data directory holds. It lets recovery and `ledger verify`
tell our own receipts from others'; it is not meant to convince outsiders.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.outcome import passes
from codeswarm.domain.results import GateOutcome, GateRun, Receipt
from codeswarm.domain.session import Session


class Signer:
    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> Signer:
        """The key of this data directory, made on first use. Raises: OSError."""
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        return cls(path.read_bytes())

    def sign(self, receipt: Receipt) -> Receipt:
        return receipt.model_copy(update={"signature": self._signature(receipt)})

    def genuine(self, receipt: Receipt) -> bool:
        return hmac.compare_digest(receipt.signature, self._signature(receipt))

    def _signature(self, receipt: Receipt) -> str:
        return hmac.new(self._key, receipt.signed_text().encode(), hashlib.sha256).hexdigest()

    # ── making them ──

    def for_runs(
        self, session: Session, runs: Iterable[GateRun], tree: Tree, worker: str, base: Callable[[GateRun], Commit]
    ) -> tuple[Receipt, ...]:
        """A receipt for each run that had an outcome. `base`: what it was told that the tree changes."""
        had = [run for run in runs if run.outcome is not GateOutcome.UNAVAILABLE]
        return tuple(self._for_run(session, run, tree, worker, base(run)) for run in had)

    def _for_run(self, session: Session, run: GateRun, tree: Tree, worker: str, base: Commit) -> Receipt:
        forgiven = run.outcome is GateOutcome.RED and passes(session, run)
        return self.sign(
            Receipt(
                id=_id(session.id, tree, base, run.command, run.log, run.duration_s, worker),
                tree=tree,
                command=run.command,
                name=run.name,
                outcome=GateOutcome.WAIVED if forgiven else run.outcome,
                exit_code=run.exit_code,
                log=run.log,
                environment=run.environment,
                worker=worker,
                base=base,
                by=(session.settings.gates.allow_red_base_by or "") if forgiven else "",
                known_failing=run.failing if forgiven else (),
            )
        )

    def waiver(self, session: Session, tree: Tree, name: str, by: str) -> Receipt:
        """What stands in for a gate that a person has waived, by name."""
        return self.sign(
            Receipt(
                id=_id(session.id, tree, name, by),
                tree=tree,
                command="",
                name=name,
                outcome=GateOutcome.WAIVED,
                exit_code=None,
                log="",
                environment="",
                worker="",
                by=by,
            )
        )


def _id(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]
