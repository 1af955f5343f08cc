"""What a history is about: a plan and settings that its seed draws, and the names of made-up objects."""

from __future__ import annotations

import hashlib
import random

from codeswarm.domain.ids import Commit, TicketId, Tree
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import GateCommand
from codeswarm.domain.settings import Bounds, BudgetSettings, Caps, Gates, Leasing, Policy, Settings, Until
from codeswarm.domain.ticket import ContractKind, TicketSpec

TTL_S = 60.0
HEARTBEAT_S = 25.0
TIMEOUT_S = 300.0
SILENCE_S = 150.0
APPROVAL_S = 600.0
UNTIL_MS = 600_000
ROLES = (
    {"*": ("command:agent",)},
    {"*": ("claude:small", "codex:other", "claude:large")},
    {"*": ("claude:small", "claude:large"), "reviewer": ("codex:other", "claude:small")},
)
"""One choice, or a cascade: two models of one account among them."""
_PIPELINES = Settings().pipelines
"""Those that are shipped: handed in, since settings that take them for themselves copy them each time."""


BUDGETS = (
    BudgetSettings(),
    BudgetSettings(usd=3.0),
    BudgetSettings(per_ticket_usd=1.2),
    BudgetSettings(roles={Role.IMPLEMENTER: Caps(usd=2.0)}),
)


def fake_id(*parts: object) -> str:
    """An object id that its parts fix."""
    return hashlib.sha1(repr(parts).encode(), usedforsecurity=False).hexdigest()


def tree_of(commit: Commit) -> Tree:
    return Tree(fake_id("tree", commit))


def make_plan(numbers: random.Random, most: int = 7) -> tuple[TicketSpec, ...]:
    count = numbers.randint(1, most)
    specs = []
    for i in range(count):
        blockers = [TicketId(f"t{j}") for j in range(i) if numbers.random() < 0.35]
        specs.append(
            TicketSpec(
                id=TicketId(f"t{i}"),
                title=f"ticket {i}",
                blocked_by=tuple(blockers),
                priority=numbers.choice((0, 2, 2, 4)),
                files=(f"src/{numbers.randint(0, 3)}.py",),
                interfaces=numbers.choice(((), (), ("rows",), ("rows", "csv"))),
                pipeline=numbers.choice((None, None, "single", "plan-code-verify")),
                contract=numbers.choice((ContractKind.TESTS, ContractKind.TESTS, ContractKind.NONE)),
                gate=numbers.choice((None, "check it")),
                hold=numbers.choice((None,) * 9 + ("not yet",)),
            )
        )
    return tuple(specs)


def make_settings(numbers: random.Random) -> Settings:
    waived = numbers.random() < 0.1
    fast = GateCommand(name="fast", command="fast")
    return Settings(
        pipelines=_PIPELINES,
        roles=numbers.choice(ROLES),
        role_caps=numbers.choice(({}, {"implementer": 1})),
        bounds=Bounds(
            max_interruptions=numbers.choice((3, 20)),
            max_restarts=numbers.choice((3, 20)),
            max_bursts=numbers.choice((1, 2)),
            park_base_s=60.0,
            park_max_s=600.0,
        ),
        gates=Gates(
            fast=fast,
            full=numbers.choice((None, GateCommand(name="full", command="full"))),
            contract=numbers.choice((None, GateCommand(name="contract", command="contract {files}"))),
            waived_by="ada" if waived else None,
            allow_red_base_by=numbers.choice((None, None, "ada")),
        ),
        policy=Policy(
            approve_plan=numbers.random() < 0.2,
            approve_landing=numbers.random() < 0.2,
            sensitive=numbers.choice(((), ("src/0.py",))),
            commands="ask",
            save_at_end=numbers.random() < 0.3,
            continuous=numbers.random() < 0.1,
            target=numbers.choice((None, None, None, 1, 2)),
            escalate=numbers.choice(((), ("*",), ("implementer",))),
        ),
        budget=numbers.choice(BUDGETS),
        seed=numbers.randint(0, 99),
    )


def with_times(settings: Settings, numbers: random.Random, now_ms: int) -> Settings:
    """Settings whose terms are short, so that a history is about what ends them; and with more hands."""
    leasing = Leasing(
        lease_ttl_s=TTL_S, heartbeat_s=HEARTBEAT_S, attempt_timeout_s=TIMEOUT_S, silence_timeout_s=SILENCE_S
    )
    until = Until(at_ms=now_ms + UNTIL_MS, said="10 min") if numbers.random() < 0.15 else None
    policy = settings.policy.model_copy(
        update={"approval_timeout_s": APPROVAL_S, "landing_approvals": numbers.choice((1, 1, 2)), "until": until}
    )
    caps = numbers.choice(({}, {"implementer": 2}))
    return settings.model_copy(update={"leasing": leasing, "policy": policy, "role_caps": caps})
