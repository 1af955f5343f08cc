"""A worker's line to the router: requests that outlast a router's restart, up to a bound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from codeswarm.clock import Clock
from codeswarm.domain.ids import lease_id
from codeswarm.errors import DiskFull, LedgerFull, RouterUnreachable
from codeswarm.protocol import (
    AnswerOut,
    AskRequest,
    ClaimRequest,
    CompleteRequest,
    ConversationRequest,
    DeliveredRequest,
    DeniedRequest,
    GatingRequest,
    Heartbeat,
    Offer,
    Offers,
    Preparation,
    PrepareRequest,
    PulseOut,
    ReleaseRequest,
    RestartRequest,
    SnapshotAnswer,
    StartRequest,
    VisitRequest,
    WorkAnswer,
    WorkerHello,
)
from codeswarm.redaction import Secrets
from codeswarm.router_client import RouterClient, RouterRefused

T = TypeVar("T")
GRACE_S = 30.0
"""How long a worker goes on without its router before it ends its agents. Their work stays in their workspaces."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
BUSY = 503
NO_ROOM = frozenset(f"codeswarm:{kind.__name__}" for kind in (DiskFull, LedgerFull))
"""How a problem is called that only means: as soon as there is room on the disk."""


class Line:
    def __init__(
        self, client: RouterClient, clock: Clock, grace_s: float = GRACE_S, secrets: Secrets | None = None
    ) -> None:
        """`secrets`: what no gate's output may hold when it leaves the worker."""
        self._client = client
        self._secrets = Secrets() if secrets is None else secrets
        self._clock = clock
        self._grace_s = grace_s

    async def _patiently(self, ask: Callable[[], Awaitable[T]], grace_s: float | None = None) -> T:
        """Ask again while the router is away or says that it can't write just now. Raises: the last failure.

        A router whose disk is full is there and says so: it is waited for without end, since giving up what is done
        would gain nothing.
        """
        pause = FIRST_PAUSE_S
        deadline = self._clock.monotonic() + (self._grace_s if grace_s is None else grace_s)
        while True:
            try:
                return await ask()
            except (RouterUnreachable, RouterRefused) as error:
                passing = isinstance(error, RouterUnreachable) or error.problem.status == BUSY
                too_late = self._clock.monotonic() + pause > deadline and not _has_no_room(error)
                if not passing or too_late:
                    raise
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def hello(self, hello: WorkerHello) -> None:
        await self._patiently(lambda: self._client.post("/workers", hello))

    async def claim(self, request: ClaimRequest) -> Offer | None:
        """One lease, or None where there is no work. Not patient: a claim that got lost is not blindly made twice."""
        try:
            answer = await self._client.post("/leases", request, timeout_s=request.wait_s + 30)
        except RouterRefused as refused:
            if refused.problem.status != BUSY:
                raise
            await self._clock.sleep(LONGEST_PAUSE_S)
            return None
        return Offers.model_validate(answer).leases[0] if answer else None

    async def heartbeat(self, lease: str, body: Heartbeat) -> PulseOut:
        answer = await self._patiently(
            lambda: self._client.post(f"/leases/{lease}/heartbeat", body, timeout_s=body.wait_s + 30)
        )
        return PulseOut.model_validate(answer)

    async def prepare(self, lease: str, body: PrepareRequest) -> Preparation:
        answer = await self._patiently(lambda: self._client.post(f"/leases/{lease}/prepare", body, timeout_s=300))
        return Preparation.model_validate(answer)

    async def start(self, lease: str, body: StartRequest) -> None:
        await self._patiently(lambda: self._client.post(f"/leases/{lease}/start", body))

    async def conversation(self, lease: str, body: ConversationRequest) -> None:
        await self._patiently(lambda: self._client.post(f"/leases/{lease}/conversation", body))

    async def gating(self, lease: str, body: GatingRequest) -> None:
        await self._patiently(lambda: self._client.post(f"/leases/{lease}/gating", body))

    async def delivered(self, lease: str, body: DeliveredRequest) -> None:
        await self._patiently(lambda: self._client.post(f"/leases/{lease}/delivered", body))

    async def denied(self, lease: str, body: DeniedRequest) -> None:
        await self._patiently(lambda: self._client.post(f"/leases/{lease}/denied", body))

    async def ask(self, lease: str, body: AskRequest) -> AnswerOut:
        """Whether an agent may run something; not answered yet where nobody has within `wait_s`."""
        answer = await self._patiently(
            lambda: self._client.post(f"/leases/{lease}/ask", body, timeout_s=body.wait_s + 30)
        )
        return AnswerOut.model_validate(answer)

    async def visit(self, lease: str, body: VisitRequest) -> None:
        await self._patiently(lambda: self._client.post(f"/leases/{lease}/visit", body))

    async def restarted(self, body: RestartRequest) -> None:
        await self._patiently(lambda: self._client.post("/workers/restarts", body))

    async def snapshot(self, lease: str, epoch: int, spool: Path) -> SnapshotAnswer:
        answer = await self._upload(f"/leases/{lease}/snapshot", spool, epoch=epoch)
        return SnapshotAnswer.model_validate(answer)

    async def work(self, lease: str, epoch: int, spool: Path) -> WorkAnswer:
        """The last snapshot of an attempt, which becomes its work commit."""
        return WorkAnswer.model_validate(await self._upload(f"/leases/{lease}/work", spool, epoch=epoch))

    async def salvage(self, session: str, ticket: str, epoch: int, spool: Path) -> SnapshotAnswer:
        answer = await self._upload(f"/attempts/{lease_id(session, ticket, epoch)}/salvage", spool)
        return SnapshotAnswer.model_validate(answer)

    async def commits(self, session: str, ticket: str, epoch: int, bundle: Path) -> None:
        """An agent's own commits, as a bundle."""
        await self._upload(f"/attempts/{lease_id(session, ticket, epoch)}/commits", bundle)

    async def log(self, data: bytes) -> str:
        """Keep a gate's output; its digest."""
        data = self._secrets.data(data)
        answer = await self._patiently(lambda: self._client.upload("/artifacts", data))
        return str(answer["digest"])

    async def transcript(self, lease: str, offset: int, data: bytes) -> int:
        """Add to a transcript; how much of it the router has.

        Patient only with a full disk: whatever else is wrong, it is tried again with the next lines.
        """
        path = f"/attempts/{lease}/transcript"
        upload = self._client.upload
        answer = await self._patiently(lambda: upload(path, data, params={"offset": offset}), grace_s=0)
        return int(answer["size"])

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """A letter of the outbox."""
        return await self._patiently(lambda: self._client.post(path, body, timeout_s=120))

    async def saw(self, session: str, kind: str, match: Mapping[str, Any]) -> None:
        """Wait until a session's timeline holds an event of a kind whose data agrees with `match`."""
        async with self._client.events(session, 0) as events:
            async for record in events:
                if record["kind"] == kind and match.items() <= record["data"].items():
                    return

    async def _upload(self, path: str, spool: Path, **params: Any) -> Any:
        return await self._patiently(lambda: self._client.upload(path, _chunks(spool), params=params))


def _has_no_room(error: RouterUnreachable | RouterRefused) -> bool:
    return isinstance(error, RouterRefused) and error.problem.type in NO_ROOM


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def complete_letter(lease: str, body: CompleteRequest) -> tuple[str, dict[str, Any]]:
    return f"/leases/{lease}/complete", body.model_dump(mode="json")


def release_letter(lease: str, body: ReleaseRequest) -> tuple[str, dict[str, Any]]:
    return f"/leases/{lease}/release", body.model_dump(mode="json")
