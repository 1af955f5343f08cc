"""How the router answers errors."""

from __future__ import annotations

from pathlib import Path

import httpx2
from fastapi import FastAPI

from codeswarm.clock import SystemClock
from codeswarm.engine.room import Room
from codeswarm.errors import CodeswarmError, GitError
from codeswarm.router.problems import install


async def answer(error: Exception, room: Room) -> httpx2.Response:
    app = FastAPI()
    install(app, lambda line: None, room)

    @app.post("/")
    async def write() -> None:
        raise error

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://router") as client:
        return await client.post("/")


def room_of(folder: Path, told: list[CodeswarmError | None]) -> Room:
    return Room((folder,), SystemClock(), told.append, lambda: None)


UNSAID = GitError("update-ref", 128, "fatal: unable to write")
"""As git says it on a full disk now and then: without the reason."""


async def test_what_git_could_not_write_for_want_of_room_is_answered_so_whatever_git_says(tmp_path: Path) -> None:
    told: list[CodeswarmError | None] = []
    room = room_of(tmp_path / "where nothing can be written", told)
    answered = await answer(UNSAID, room)
    assert answered.status_code == 503, "a worker waits then, and tells it again"
    assert answered.json()["type"] == "codeswarm:DiskFull"
    assert told == [room.problem]


async def test_what_git_could_not_write_for_another_reason_is_its_own_matter(tmp_path: Path) -> None:
    told: list[CodeswarmError | None] = []
    answered = await answer(UNSAID, room_of(tmp_path, told))
    assert answered.json()["type"] == "codeswarm:GitError"
    assert (answered.status_code, told) == (UNSAID.http_status, [])
