"""The FastAPI application of the router."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Depends, FastAPI, Request
from pydantic_core import from_json

from codeswarm.domain.rejection import invalid
from codeswarm.engine.engine import Engine
from codeswarm.engine.sessions import Sessions
from codeswarm.errors import Refused
from codeswarm.glance import API
from codeswarm.router import problems
from codeswarm.router.routes.leases import lease_routes
from codeswarm.router.routes.questions import question_routes
from codeswarm.router.routes.reports import report_routes
from codeswarm.router.routes.sessions import command_routes, view_routes
from codeswarm.router.routes.uploads import upload_routes
from codeswarm.router.stream import stream_routes
from codeswarm.version import VERSION

UNWRITTEN = "/heartbeat"
"""The one thing that workers ask for which writes nothing."""


def create_app(engine: Engine, sessions: Sessions, log: Callable[[str], None]) -> FastAPI:
    app = FastAPI(title="Codeswarm", version=VERSION, docs_url=None, redoc_url=None)
    problems.install(app, log, engine.room)

    def only_with_room(request: Request) -> None:
        """While nothing can be written, nothing is tried: every attempt would leave something half-made behind."""
        if engine.room.problem is not None and request.method == "POST" and not request.url.path.endswith(UNWRITTEN):
            raise engine.room.problem

    async def only_text(request: Request) -> None:
        """Half a character (a lone surrogate) is valid JSON, but can't be written down, and would fail all with it."""
        if request.headers.get("content-type", "").startswith("application/json"):
            try:
                from_json(await request.body())
            except ValueError as error:
                why = "what is recorded must be readable again"
                raise Refused(invalid(f"the body is no text: {error}", problems.ROUTES, why)) from error

    reading = (view_routes(engine), report_routes(engine))
    working = (lease_routes(engine), question_routes(engine), upload_routes(engine))
    routers = (*working, command_routes(engine, sessions), *reading)
    for router in routers:
        app.include_router(router, prefix=API, dependencies=[Depends(only_with_room), Depends(only_text)])
    app.include_router(stream_routes(engine), prefix=API)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "version": VERSION}

    @app.get("/readyz")
    async def readyz() -> dict[str, object]:
        seq, _ = engine.kernel.ledger.head()
        return {"status": "ready", "seq": seq, "workers": len(engine.workers.live)}

    return app
