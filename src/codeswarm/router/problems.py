"""Errors on the wire: RFC 9457 problem documents with a `hint`, each kind mapped once."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from codeswarm.engine.room import Room
from codeswarm.errors import CodeswarmError
from codeswarm.protocol import Problem

MEDIA_TYPE = "application/problem+json"
ROUTES = "codeswarm --help   # by HTTP, GET /openapi.json tells every route and what it takes"
HINTS = {404: "codeswarm status", 409: "codeswarm status", 422: "codeswarm --help", 503: "codeswarm doctor"}
"""What to do where an error does not say it better."""


def respond(problem: Problem) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status_code=problem.status, media_type=MEDIA_TYPE)


def problem_of(error: CodeswarmError) -> Problem:
    return Problem(
        type=f"codeswarm:{type(error).__name__}",
        title=error.what,
        status=error.http_status,
        detail=error.why,
        hint=error.hint or HINTS.get(error.http_status, "codeswarm doctor"),
        exit_code=error.exit_code,
    )


def install(app: FastAPI, log: Callable[[str], None], room: Room) -> None:
    """Answer every error with a problem. What is our own fault is a 500, and is logged with its trace."""

    @app.exception_handler(CodeswarmError)
    async def _ours(request: Request, error: CodeswarmError) -> JSONResponse:
        return respond(problem_of(await room.met(error) or error))

    @app.exception_handler(OSError)
    async def _system(request: Request, error: OSError) -> JSONResponse:
        full = await room.met(error)
        return await _fault(request, error) if full is None else respond(problem_of(full))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        return respond(Problem(title="the request can't be used", status=422, detail="\n".join(lines), hint=ROUTES))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path}"
        return respond(Problem(title=str(error.detail), status=error.status_code, detail=what, hint=ROUTES))

    @app.exception_handler(Exception)
    async def _fault(request: Request, error: Exception) -> JSONResponse:
        log(f"{request.method} {request.url.path}: {''.join(traceback.format_exception(error))}")
        title = f"the router failed: {type(error).__name__}"
        return respond(Problem(title=title, status=500, detail=str(error), hint="codeswarm bug-report", exit_code=1))
