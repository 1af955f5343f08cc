"""What holds for every test."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Processes that tests start take signals as they do on a terminal, also where the tests run in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take minutes come first: whatever is shared out after them evens the load of the processes out."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
