"""Which gate commands apply where."""

from __future__ import annotations

from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import GateCommand
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.ticket import ContractKind

TICKET_GATE = "ticket"


def contract_commands(session: Session, ticket: Ticket) -> tuple[GateCommand, ...]:
    """What shows whether a contract holds: the contract gate, or the fast one where none is configured."""
    gates = session.settings.gates
    command = gates.named("contract") or gates.named("fast")
    return (command,) if command else ()


def expects_red(session: Session, ticket: Ticket) -> bool:
    """Whether the present phase writes tests that must not pass yet."""
    return ticket.phase.role is Role.TEST_WRITER and ticket.spec.contract is ContractKind.TESTS


def phase_commands(session: Session, ticket: Ticket) -> tuple[GateCommand, ...]:
    """The gate of the ticket's present phase, run within the attempt on exactly the work it made.

    A command with `{files}` is about the contract's files and is left out where there is no contract.
    """
    phase, gates = ticket.phase, session.settings.gates
    if phase.role is Role.TEST_WRITER:
        return contract_commands(session, ticket)
    commands: list[GateCommand] = []
    if phase.role is Role.IMPLEMENTER and ticket.contract is not None and (contract := gates.named("contract")):
        commands.append(contract)
    if command := gates.named(phase.gate):
        commands.append(command)
    if phase.role in (Role.IMPLEMENTER, Role.RESOLVER, Role.VERIFIER):
        commands += own_commands(session, ticket)
    return tuple(commands)


def own_commands(session: Session, ticket: Ticket) -> tuple[GateCommand, ...]:
    """The ticket's own gate, on top of the project's."""
    if ticket.spec.gate is None:
        return ()
    timeout_s = session.settings.gates.ticket_timeout_s
    return (GateCommand(name=TICKET_GATE, command=ticket.spec.gate, timeout_s=timeout_s),)


def landing_commands(session: Session, ticket: Ticket | None) -> tuple[GateCommand, ...]:
    """What must be green on the merged tree; `ticket` None: a catch-up with the base branch."""
    fast = session.settings.gates.named("fast")
    project = (fast,) if fast else ()
    return project + (own_commands(session, ticket) if ticket else ())


def base_commands(session: Session) -> tuple[GateCommand, ...]:
    fast = session.settings.gates.named("fast")
    return (fast,) if fast else ()


def full_commands(session: Session) -> tuple[GateCommand, ...]:
    full = session.settings.gates.named("full")
    return (full,) if full else ()


def missing(
    session: Session, tree: Tree, commands: tuple[GateCommand, ...], base: Commit | None = None
) -> tuple[GateCommand, ...]:
    """Those of `commands` that have no passing receipt on `tree` yet.

    A gate may look at what has changed since a base, so with a `base` only receipts for the same one count.
    """
    return tuple(command for command in commands if not _passed(session, tree, command, base))


def _passed(session: Session, tree: Tree, command: GateCommand, base: Commit | None) -> bool:
    receipt = session.receipts.get((tree, command.command))
    return receipt is not None and (base is None or receipt.base in (None, base))


def receipts_for(session: Session, tree: Tree, commands: tuple[GateCommand, ...]) -> tuple[str, ...]:
    """The ids of the passing receipts of `commands` on `tree`. Raises: KeyError where one is missing."""
    return tuple(session.receipts[tree, command.command].id for command in commands)
