from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from codeswarm.ledger.memory import MemoryLedger
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.testing.ledger_contract import LedgerContract


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Iterator[MemoryLedger]:
        ledger = MemoryLedger()
        yield ledger
        ledger.close()


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[SqliteLedger]:
        ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
        yield ledger
        ledger.close()


class TestSqliteLedgerReadInSmallPages(TestSqliteLedger):
    @pytest.fixture(autouse=True)
    def _pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("codeswarm.ledger.sqlite.PAGE", 2)
