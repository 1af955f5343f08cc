"""What holds for every test."""

from __future__ import annotations

import os
import signal
from asyncio.base_subprocess import BaseSubprocessTransport
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")  # machines may be slow

_begun: WeakKeyDictionary[BaseSubprocessTransport, object] = WeakKeyDictionary()
"""Subprocesses that a loop looks after, and what they run."""


def pytest_configure() -> None:
    """Processes that tests start take signals as they do on a terminal, also where the tests run in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begin = BaseSubprocessTransport.__init__

    def noted(self: Any, loop: Any, protocol: Any, args: Any, *rest: Any, **more: Any) -> None:
        _begun[self] = args
        begin(self, loop, protocol, args, *rest, **more)

    BaseSubprocessTransport.__init__ = noted  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """A subprocess that outlives its loop is told of where it was begun, and not in whatever test comes next."""
    yield
    left = {transport: args for transport, args in _begun.items() if not transport._closed}  # type: ignore[attr-defined]
    for transport in left:
        transport._closed = True  # type: ignore[attr-defined]
    assert not left, f"{item.name} ended before these did: {list(left.values())}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: most tests wait for processes that they have begun, for half of their time."""
    return len(os.sched_getaffinity(0)) * 3 // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take minutes come first: whatever is shared out after them evens the load of the processes out."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
