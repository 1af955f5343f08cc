"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Processes that tests start take signals as they do on a terminal, also where the tests run in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
