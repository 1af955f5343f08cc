from __future__ import annotations

import pytest

from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap, probe
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.sandbox_contract import SandboxContract, Walled

PROBE = probe()


class TestNoSandbox(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return NoSandbox()


@pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
class TestBubblewrap(Walled):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return Bubblewrap()
