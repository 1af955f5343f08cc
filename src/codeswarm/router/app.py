"""The FastAPI application of the router."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from codeswarm.engine.engine import Engine
from codeswarm.engine.sessions import Sessions
from codeswarm.router import problems
from codeswarm.router.routes.leases import lease_routes
from codeswarm.router.routes.sessions import command_routes, view_routes
from codeswarm.router.routes.uploads import upload_routes
from codeswarm.router.stream import stream_routes
from codeswarm.router_client import API
from codeswarm.version import VERSION


def create_app(engine: Engine, sessions: Sessions, log: Callable[[str], None]) -> FastAPI:
    app = FastAPI(title="Codeswarm", version=VERSION, docs_url=None, redoc_url=None)
    problems.install(app, log)
    routers = (lease_routes(engine), upload_routes(engine), command_routes(engine, sessions), view_routes(engine))
    for router in (*routers, stream_routes(engine)):
        app.include_router(router, prefix=API)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "version": VERSION}

    @app.get("/readyz")
    async def readyz() -> dict[str, object]:
        seq, _ = engine.kernel.ledger.head()
        return {"status": "ready", "seq": seq, "workers": len(engine.workers.live)}

    return app
