"""What is told of a session as a whole: the morning page, the plan, where each commit comes from."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, Response

from codeswarm.domain.ids import SessionId
from codeswarm.engine.engine import Engine
from codeswarm.ledger import views
from codeswarm.report import html
from codeswarm.report.build import report_of
from codeswarm.report.document import Report
from codeswarm.report.evidence import Kept
from codeswarm.report.history import History, read
from codeswarm.report.lineage import lineage_of
from codeswarm.report.plan import plan_of


def report_routes(engine: Engine) -> APIRouter:
    """They only look. What they read is committed state, so they may run in threads."""
    routes = APIRouter(tags=["sessions"])
    ledger = engine.kernel.ledger
    evidence = Kept(engine.store, engine.artifacts, engine.signer)

    def found(session: str) -> SessionId:
        return SessionId(views.find_session(ledger, session)["id"])

    def history(session: str) -> History:
        id_ = found(session)
        return read(id_, ledger.history(id_))

    @routes.get("/sessions/{session}/report", response_model=None, responses={200: {"model": Report}})
    def report(session: str, format: Literal["json", "html"] = "json") -> Response:  # noqa: A002 - the query's name
        made = report_of(ledger, found(session), evidence, made_ms=engine.clock.now_ms(), live=True)
        return HTMLResponse(html.render(made)) if format == "html" else JSONResponse(made.model_dump(mode="json"))

    @routes.get("/sessions/{session}/plan")
    def plan(session: str) -> dict[str, Any]:
        return plan_of(history(session).session)

    @routes.get("/sessions/{session}/lineage")
    def lineage(session: str) -> list[dict[str, Any]]:
        return lineage_of(history(session))

    return routes
