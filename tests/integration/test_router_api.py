"""The router's HTTP face on a real socket, with a real ledger, a real store and a real repository; without workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from codeswarm.clock import SystemClock
from codeswarm.engine.data import Data
from codeswarm.engine.engine import Engine
from codeswarm.engine.project import Project
from codeswarm.engine.sessions import Sessions
from codeswarm.environment import Environment
from codeswarm.errors import LedgerUnavailable
from codeswarm.git.store import Store
from codeswarm.glance import API, MAX_SOCKET_PATH, socket_address
from codeswarm.home import RouterLive, router_lock
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.protocol import ClaimRequest, CompleteRequest
from codeswarm.router.app import create_app
from codeswarm.router.routes import uploads
from codeswarm.router.server import bind, serving
from codeswarm.router_client import RouterClient, RouterRefused
from codeswarm.testing.clock import VirtualClock
from codeswarm.worker.line import Line
from codeswarm.worker.outbox import Outbox
from codeswarm.worker.worker import empty_outbox
from tests.support.finished_session import make_repository
from tests.support.kernels import locked
from tests.support.repositories import git

NEVER = 20.0
"""Seconds until a test gives up on what must happen."""


class Face:
    """A router without workers, and someone who talks to it."""

    def __init__(self, root: Path) -> None:
        self.repository = make_repository(root / "repository")
        self.data = Data(root / "data")
        self.data.root.mkdir()
        self.ledger = SqliteLedger(self.data.ledger)
        self.clock = VirtualClock()
        store, project = Store.open(self.data.store), Project.find(self.repository)
        self.engine = Engine(self.data, self.ledger, store, project, self.clock, lambda worker, slots: {})
        environment = Environment({"PATH": os.environ["PATH"], "HOME": str(root / "home")})
        ids = iter(f"s{number}" for number in range(100))
        self.sessions = Sessions(self.engine, environment, root, lambda: next(ids))
        self.logged: list[str] = []
        self.app: FastAPI = create_app(self.engine, self.sessions, self.logged.append)
        self.http: httpx2.AsyncClient
        self.client: RouterClient

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Face]:
        listener = bind(self.data.socket)
        async with serving(self.app, listener), self.engine.running(0):
            with socket_address(self.data.socket) as address:
                transport = httpx2.AsyncHTTPTransport(uds=address)
                async with (
                    httpx2.AsyncClient(transport=transport, base_url=f"http://router{API}", timeout=NEVER) as self.http,
                    RouterClient.open(self.data.socket) as self.client,
                ):
                    yield self
        self.ledger.close()

    @staticmethod
    def request(*tickets: str, **more: Any) -> dict[str, Any]:
        return {
            "by": "ada",
            "plan": {"tickets": [{"id": id_, "title": f"do {id_}"} for id_ in tickets or ("a",)]},
            "flags": {"roles": {"*": ["command:true"]}, "pipeline": {"default": "single"}, "sandbox": {"kind": "none"}},
            "no_gate": True,
            **more,
        }

    async def begin(self, *tickets: str, **more: Any) -> str:
        return str((await self.client.post("/sessions", self.request(*tickets, **more)))["session"])

    async def claim(self, **more: Any) -> dict[str, Any]:
        (offer,) = (await self.client.post("/leases", {"worker": "w1", **more}))["leases"]
        return dict(offer)

    def kinds(self) -> list[str]:
        return [record.event.kind for record in self.ledger.after(0, 10_000)]


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with Face(tmp_path).open() as face:
        yield face


async def problem(face: Face, method: str, path: str, **rest: Any) -> dict[str, Any]:
    """The answer, which must be a whole problem document."""
    answer = await face.http.request(method, path, **rest)
    assert answer.headers["content-type"] == "application/problem+json", (answer.status_code, answer.text)
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["title"]
    assert told["hint"], told
    assert {"type", "title", "status", "detail", "hint"} <= set(told)
    assert face.logged == [], "a fault of the router itself"
    return dict(told)


def routes(face: Face, method: str) -> list[str]:
    return [path.removeprefix(API) for path, verbs in face.app.openapi()["paths"].items() if method.lower() in verbs]


def filled(path: str, **names: str) -> str:
    known = {"session": "ghost", "ticket": "a", "approval": "a1", "lease": "ghost:a:1", "attempt": "ghost:a:1", **names}
    return path.format(**known)


# ── every route ──


async def test_every_route_that_takes_a_body_refuses_one_that_makes_no_sense(face: Face) -> None:
    uploads = ("/snapshot", "/work", "/salvage", "/commits", "/transcript", "/artifacts")
    taking = [path for path in routes(face, "POST") if not path.endswith(uploads)]
    assert len(taking) >= 12
    for path in taking:
        for body in (b"", b"{", b"[]", b'{"nothing": "known"}', b'"\\ud800"', b"\xff\xfe"):
            answer = await problem(
                face, "POST", filled(path), content=body, headers={"Content-Type": "application/json"}
            )
            assert (path, answer["status"]) == (path, 422)
    assert face.kinds() == []


async def test_every_route_that_names_a_session_says_that_there_is_no_such_one(face: Face) -> None:
    await face.begin()
    bodies = {
        "/commands": {"command": "pause", "by": "ada"},
        "/tickets/{ticket}/commands": {"command": "hold", "by": "ada"},
        "/approvals/{approval}": {"answer": "approve", "by": "ada"},
    }
    for path in routes(face, "GET"):
        if "{session}" in path:
            assert (await problem(face, "GET", filled(path)))["title"] == "there is no session 'ghost'"
    for path, body in bodies.items():
        answer = await problem(face, "POST", filled("/sessions/{session}" + path), json=body)
        assert (answer["status"], answer["type"]) == (404, "codeswarm:Refused")


LEASE_BODIES: dict[str, dict[str, Any]] = {
    "heartbeat": {"epoch": 1},
    "prepare": {"epoch": 1},
    "start": {"epoch": 1, "sandbox": "none"},
    "conversation": {"epoch": 1, "conversation": "c-1"},
    "gating": {"epoch": 1, "commit": "1" * 40},
    "denied": {"epoch": 1, "host": "evil.example:443", "why": "it is not listed"},
    "ask": {"epoch": 1, "call": "c-1", "command": "make"},
    "visit": {"epoch": 1, "to": "shell"},
    "delivered": {"epoch": 1, "message": 1, "how": "prompt"},
    "complete": {"epoch": 1, "report": {"failure": {"failure_class": "crashed", "message": "x"}}},
    "fail": {"epoch": 1, "reason": "x"},
    "release": {"epoch": 1, "reason": "x"},
}


async def test_every_word_about_a_lease_has_a_body_here(face: Face) -> None:
    words = {path.rpartition("/")[2] for path in routes(face, "POST") if path.startswith("/leases/")}
    assert words - {"snapshot", "work"} == set(LEASE_BODIES)


async def test_a_word_with_an_old_epoch_changes_nothing_and_one_about_nothing_is_told_so(face: Face) -> None:
    session = await face.begin()
    first = await face.claim()
    assert first["id"] == f"{session}:a:1"
    await face.client.post(f"/leases/{first['id']}/release", {"epoch": 1, "reason": "stop"})
    assert (await face.claim())["epoch"] == 2
    before = face.engine.desk.live()
    for word in (*LEASE_BODIES, "snapshot?epoch=1", "work?epoch=1"):
        rest = {"json": LEASE_BODIES[word]} if word in LEASE_BODIES else {"content": b'{"op": "end"}\n'}
        paths = [f"/leases/{lease}/{word}" for lease in (first["id"], "ghost:a:1", "nonsense")]
        statuses = [(await problem(face, "POST", path, **rest))["status"] for path in paths]
        assert (word, statuses) == (word, [409, 409 if word == "heartbeat" else 404, 404])
    assert face.engine.desk.live() == before


async def test_a_lease_and_a_body_of_different_epochs_contradict_each_other(face: Face) -> None:
    await face.begin()
    lease = (await face.claim())["id"]
    for word, body in LEASE_BODIES.items():
        answer = await problem(face, "POST", f"/leases/{lease}/{word}", json={**body, "epoch": 7})
        assert (word, answer["status"], "epoch 1" in answer["title"]) == (word, 422, True)


HUGE = 10**30


NO_NUMBERS = (
    "/sessions/s0/timeline?after=-1",
    f"/sessions/s0/timeline?after={HUGE}",
    "/sessions/s0/timeline?limit=0",
    f"/sessions/s0/timeline?limit={HUGE}",
    "/sessions/s0/timeline?after=one",
    f"/attempts/s0:a:1/transcript?offset={HUGE}",
    "/attempts/s0:a:1/transcript?offset=-1",
)


async def test_a_number_that_can_not_be_is_refused(face: Face) -> None:
    await face.begin()
    await face.claim()
    for path in NO_NUMBERS:
        assert (path, (await problem(face, "GET", path))["status"]) == (path, 422)


async def test_there_is_no_transcript_of_an_attempt_that_never_was(face: Face) -> None:
    await face.begin()
    await face.claim()
    for attempt in ("s0:a:2", "s0:a:²", f"s0:a:{HUGE}", "s0:ghost:1", "s0:a", "x", "s0:../../x:1", "a:b:c:1"):
        answer = await problem(face, "GET", f"/attempts/{attempt}/transcript")
        assert (attempt, answer["status"]) == (attempt, 404)


async def test_a_command_that_could_not_be_written_down_is_refused_before_it_is_tried(face: Face) -> None:
    path = f"/sessions/{await face.begin()}/commands"
    for key, value in (("usd", "Infinity"), ("usd", "NaN"), ("usd", -1), ("tokens", HUGE), ("tokens", 0)):
        body = {"command": "resume", "by": "ada", f"budget_{key}": value}
        assert (value, (await problem(face, "POST", path, json=body))["status"]) == (value, 422)


async def test_text_that_is_no_text_is_refused_and_harms_nobody_else(face: Face) -> None:
    path, headers = f"/sessions/{await face.begin()}/commands", {"Content-Type": "application/json"}
    for half in (b"text", b"by", b"reason"):
        body = b'{"command": "message", "by": "ada", "text": "hello", "%s": "half \\ud83d"}' % half
        assert (half, (await problem(face, "POST", path, content=body, headers=headers))["status"]) == (half, 422)
    assert await face.client.post(path, {"command": "message", "by": "ada", "text": "whole 🐝"})


async def test_a_route_or_a_method_that_is_not_there_says_where_all_are_told(face: Face) -> None:
    assert (await problem(face, "GET", "/nowhere"))["status"] == 404
    assert (await problem(face, "DELETE", "/sessions"))["status"] == 405


async def test_a_fault_of_the_router_itself_is_told_as_one_and_logged(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: object, **more: object) -> None:
        raise ZeroDivisionError("a fault")

    session = await face.begin()
    monkeypatch.setattr(face.engine.store, "patch", breaks)
    with contextlib.suppress(ZeroDivisionError):
        answer = await face.http.get(f"/sessions/{session}/diff")
    assert (answer.status_code, answer.json()["title"]) == (500, "the router failed: ZeroDivisionError")
    assert "ZeroDivisionError: a fault" in face.logged[0]


# ── the ordinary way ──


async def test_a_session_can_be_started_looked_at_and_steered(face: Face) -> None:
    session = await face.begin("a", "b", name="lamps")
    assert [row["id"] for row in await face.client.get("/sessions")] == [session]
    shown = await face.client.get("/sessions/lamps")
    assert (shown["session"]["id"], shown["counts"]) == (session, {"ready": 2})
    assert [row["id"] for row in await face.client.get(f"/sessions/{session}/tickets")] == ["a", "b"]
    await face.client.post(f"/sessions/{session}/tickets/a/commands", {"command": "hold", "by": "ada"})
    assert (await face.client.get(f"/sessions/{session}/tickets/a"))["status"] == "on_hold"
    answer = await face.client.post(f"/sessions/{session}/commands", {"command": "pause", "by": "ada"})
    assert [event["kind"] for event in answer["events"]] == ["SessionSuspended"]
    timeline = await face.client.get(f"/sessions/{session}/timeline", after=1)
    assert [event["seq"] for event in timeline["events"]] == list(range(2, timeline["next"] + 1))
    assert timeline["events"][-1]["kind"] == "SessionSuspended"
    assert await face.client.get("/approvals") == await face.client.get(f"/sessions/{session}/checkpoints") == []
    assert (await face.client.get(f"/sessions/{session}/diff"))["diff"] == ""
    refused = await problem(
        face, "POST", f"/sessions/{session}/tickets/ghost/commands", json={"command": "hold", "by": "ada"}
    )
    assert refused["status"] == 404
    assert face.kinds()[-1] == "CommandRejected", "what a person asks for does not vanish"


async def test_an_attempt_goes_from_its_claim_to_its_end(face: Face) -> None:
    session = await face.begin()
    lease = (await face.claim())["id"]
    told = await face.client.post(f"/leases/{lease}/prepare", {"epoch": 1})
    assert told["prompt"]
    await face.client.post(f"/leases/{lease}/start", {"epoch": 1, "sandbox": "none"})
    await face.client.upload(f"/attempts/{lease}/transcript", b'{"text": "hello"}\n', params={"offset": 0})
    text = await face.client.get(f"/attempts/{lease}/transcript", offset=2)
    assert (text["text"], text["next"]) == ('text": "hello"}\n', 18)
    pulse = await face.client.post(f"/leases/{lease}/heartbeat", {"epoch": 1})
    assert pulse == {"cancel": None, "messages": [], "hand_back": None, "attach": ""}
    report = CompleteRequest.model_validate(LEASE_BODIES["complete"])
    assert await face.client.post(f"/leases/{lease}/complete", report) is None
    assert await face.client.post(f"/leases/{lease}/complete", report) is None, "said twice, it counts once"
    shown = await face.client.get(f"/sessions/{session}/tickets/a")
    assert [attempt["status"] for attempt in shown["attempts"]] == ["failed"]
    assert face.kinds().count("AttemptFailed") == 1


async def test_nothing_to_claim_is_an_answer_without_content(face: Face) -> None:
    answer = await face.http.post("/leases", json={"worker": "w1"})
    assert (answer.status_code, answer.content) == (204, b"")


# ── asking again ──


async def test_a_start_that_is_sent_again_with_its_key_is_answered_with_the_same_session(face: Face) -> None:
    first, again = [await face.client.post("/sessions", face.request(), key="k1") for _ in range(2)]
    other = await face.client.post("/sessions", face.request(), key="k2")
    assert (again["session"], again["base"]) == (first["session"], first["base"])
    assert other["session"] != first["session"]
    assert face.kinds().count("SessionStarted") == 2


async def test_a_start_that_is_sent_again_while_the_first_is_still_at_work_starts_nothing_more(face: Face) -> None:
    with locked(face.data.ledger):
        asking = [asyncio.create_task(face.client.post("/sessions", face.request(), key="k1")) for _ in range(3)]
        await asyncio.wait(asking, timeout=0.3)
    answers = await asyncio.gather(*asking)
    assert len({answer["session"] for answer in answers}) == 1
    assert face.kinds().count("SessionStarted") == 1


# ── those who go away ──


async def until(face: Face, what: Any) -> None:
    """Wait for something that the router does by itself."""
    async with asyncio.timeout(NEVER):
        while not what():
            await asyncio.sleep(0.001)


async def test_a_claim_whose_client_hangs_up_gives_its_lease_to_nobody(face: Face) -> None:
    body = ClaimRequest(worker="leaving", wait_s=60).model_dump_json().encode()
    with socket_address(face.data.socket) as address:
        _, writer = await asyncio.open_unix_connection(address)
    writer.write(
        b"POST /api/v1/leases HTTP/1.1\r\nHost: router\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    await until(face, lambda: face.engine.desk._waiters)
    writer.close()
    await until(face, lambda: not face.engine.desk._waiters)
    await face.begin()
    assert face.engine.desk.live() == []
    assert (await face.claim())["epoch"] == 1


async def test_a_lease_that_can_not_be_made_into_an_offer_is_given_back(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await face.begin()
    offer = face.engine.offers.offer

    def breaks(*args: object) -> None:
        raise ValueError("the store can't be read")

    monkeypatch.setattr(face.engine.offers, "offer", breaks)
    with pytest.raises(RouterRefused):
        await face.claim()
    monkeypatch.setattr(face.engine.offers, "offer", offer)
    await until(face, lambda: not face.engine.desk.live())
    assert (await face.claim())["id"] == f"{session}:a:2"


# ── live events ──


async def test_live_events_begin_after_a_number_and_go_on(face: Face) -> None:
    session = await face.begin("a", "b")
    other = await face.begin()
    async with face.client.events(session, 1) as events, face.client.events(None, 0) as all_events:
        past = [await anext(events) for _ in range(face.engine.kernel.session(session).version - 1)]  # type: ignore[arg-type]
        assert [event["version"] for event in past] == list(range(2, len(past) + 2))
        for id_ in (other, session):
            await face.client.post(f"/sessions/{id_}/commands", {"command": "pause", "by": "ada"})
        news = await anext(events)
        assert (news["kind"], news["session"]) == ("SessionSuspended", session)
        head = face.ledger.head()[0]
        assert [(await anext(all_events))["seq"] for _ in range(head)] == list(range(1, head + 1))


async def test_live_events_of_an_unknown_session_end_at_once(face: Face) -> None:
    async with face.client.events("ghost", 0) as events:
        assert [event async for event in events] == []


async def test_a_listener_that_goes_away_is_forgotten(face: Face) -> None:
    session = await face.begin()
    async with face.client.events(session, 0) as events:
        await anext(events)
        assert len(face.engine.kernel._subscribers) == 1
    await until(face, lambda: not face.engine.kernel._subscribers)


# ── the socket ──


async def test_the_socket_and_its_folder_are_for_nobody_else(tmp_path: Path) -> None:
    data = Data(tmp_path / "data")
    with router_lock(data), contextlib.closing(bind(data.socket)):
        assert stat.S_IMODE(data.root.stat().st_mode) == 0o700
        assert stat.S_IMODE(data.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(data.lock.stat().st_mode) == 0o600


async def test_the_socket_may_stand_deeper_than_an_address_can_tell(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep-down"] * 20)
    deep.mkdir(parents=True)
    async with Face(deep).open() as face:
        assert len(os.fsencode(face.data.socket)) > 2 * MAX_SOCKET_PATH
        assert await face.client.get("/sessions") == []


async def test_a_socket_that_a_dead_router_left_is_replaced(tmp_path: Path) -> None:
    data = Data(tmp_path / "data")
    with router_lock(data):
        bind(data.socket).close()
        with contextlib.closing(bind(data.socket)), contextlib.closing(socket.socket(socket.AF_UNIX)) as caller:
            assert caller.connect_ex(str(data.socket)) == 0


async def test_the_socket_of_a_live_router_is_left_alone(tmp_path: Path) -> None:
    data = Data(tmp_path / "data")
    with router_lock(data), contextlib.closing(bind(data.socket)):
        with pytest.raises(RouterLive, match="live here already") as refused, router_lock(data):
            bind(data.socket)
        assert str(os.getpid()) in refused.value.why
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as caller:
            caller.connect(str(data.socket))


async def test_a_branch_whose_name_becomes_a_folder_and_back_stops_no_session(face: Face) -> None:
    git(face.repository, "branch", "-m", "main", "fix")
    old = git(face.repository, "rev-parse", "HEAD").decode().strip()
    face.engine.store.fetch(face.engine.project.git_dir, "+refs/heads/fix:refs/codeswarm/theirs/fix")
    first = await face.begin("a")
    git(face.repository, "branch", "-m", "fix", "fix/parser")
    second = await face.begin("a")
    git(face.repository, "branch", "-m", "fix/parser", "fix")
    third = await face.begin("a")
    refs = face.engine.store.refs("refs/codeswarm/branch")
    assert refs == {f"refs/codeswarm/branch/{session}": old for session in (first, second, third)}


# ── uploads ──


async def test_uploads_are_spooled_in_the_data_directory_which_is_watched_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = Face(tmp_path)
    left = face.data.tmp / "left-by-a-killed-router"
    left.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    async with face.open():
        assert list(face.data.tmp.iterdir()) == []
        assert stat.S_IMODE(face.data.tmp.stat().st_mode) == 0o700
        await face.begin("a")
        offer = await face.claim()
        await face.client.post(f"/leases/{offer['id']}/prepare", {"epoch": 1})
        size = 2 * uploads.SPOOL_IN_MEMORY
        put = b'{"op": "put", "path": "big", "mode": "100644", "size": %d}\n' % size
        body = put + bytes(size) + b'{"op": "end"}\n'
        answer = await face.client.upload(f"/leases/{offer['id']}/snapshot", body, params={"epoch": 1})
        assert answer["changed"]
        bundle = tmp_path / "agent.bundle"
        git(face.repository, "bundle", "create", "--quiet", str(bundle), "HEAD")
        kept = await face.client.upload(f"/attempts/{offer['id']}/commits", bundle.read_bytes())
        assert len(kept["refs"]) == 1
        assert list(face.data.tmp.iterdir()) == []


@pytest.mark.parametrize("route", ["snapshot", "work", "salvage", "commits", "transcript", "artifacts"])
async def test_an_upload_beyond_all_bounds_is_refused_and_leaves_nothing(
    route: str, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOAD", 1000)
    monkeypatch.setattr(uploads, "MAX_PIECE", 1000)
    await face.begin("a")
    lease = (await face.claim())["id"]
    what = "leases" if route in ("snapshot", "work") else "attempts"
    path = "/artifacts" if route == "artifacts" else f"/{what}/{lease}/{route}"
    told = await problem(face, "POST", path, content=bytes(1001), params={"epoch": 1, "offset": 0})
    assert (told["status"], "more than 1000 bytes" in told["title"]) == (422, True)
    assert list(face.data.tmp.iterdir()) == []
    assert not list(face.data.artifacts.rglob("*"))


# ── the outbox of a worker that died ──


async def test_only_what_arrived_or_is_stale_leaves_the_outbox(face: Face, tmp_path: Path) -> None:
    @face.app.post(f"{API}/fault")
    async def fault() -> None:
        raise RuntimeError("a bug")

    @face.app.post(f"{API}/busy")
    async def busy() -> None:
        raise LedgerUnavailable("not just now", "a test has it so", "codeswarm resume")

    session = await face.begin("a", "b")
    lease = (await face.claim())["id"]
    outbox, said = Outbox(tmp_path / "outbox"), list[str]()
    for name, path, body in [
        ("fault", "/fault", {}),
        ("busy", "/busy", {}),
        ("nonsense", f"/leases/{lease}/release", {"no": "epoch"}),
        ("stale", f"/leases/{session}:a:7/release", {"epoch": 7, "reason": "x"}),
        ("unknown", "/leases/ghost:a:1/release", {"epoch": 1, "reason": "x"}),
        ("good", f"/leases/{lease}/release", {"epoch": 1, "reason": "it was cut off"}),
    ]:
        outbox.put(name, path, body)
    await empty_outbox(outbox, Line(face.client, SystemClock(), grace_s=0), said.append)
    assert sorted(letter.file.stem for letter in outbox.letters()) == ["busy", "fault"]
    left = {file.name for file in (tmp_path / "outbox").iterdir()}
    assert left == {"busy.json", "fault.json", "nonsense.refused", "nonsense.why"}
    assert len(said) == 5
    assert face.kinds()[-1] == "AttemptCancelled"
