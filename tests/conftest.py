"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Processes that tests start take a SIGHUP as they do on a terminal, also where the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
