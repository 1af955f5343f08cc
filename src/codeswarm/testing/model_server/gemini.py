"""Gemini: `POST /v1beta/models/MODEL:streamGenerateContent?alt=sse`. Spoken by Gemini CLI.

Source: https://ai.google.dev/api/generate-content; which quotas Gemini CLI tells apart, and by what, is in
github.com/google-gemini/gemini-cli, `packages/core/src/utils/googleQuotaErrors.ts`.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from codeswarm.testing.model_server import faults
from codeswarm.testing.model_server.faults import Refusal
from codeswarm.testing.model_server.reply import Refuse, Say, Think, Turn, Use
from codeswarm.testing.model_server.request import (
    Conversation,
    Json,
    Request,
    Tool,
    Wire,
    last_words,
    objects,
    properties,
    runs,
    texts_in,
)
from codeswarm.testing.model_server.response import Response, pieces, whole

_MODEL = re.compile(r"/models/([^/:?]+):")
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_STOPS = {"done": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
_RPC = "type.googleapis.com/google.rpc"


class GeminiWire:
    name: Wire = "gemini"

    def read(self, path: str, raw: Json) -> Conversation:
        contents = objects(raw.get("contents"))
        system = _words(_either(raw, "systemInstruction", "system_instruction"))
        model = _MODEL.search(path)
        return Conversation(
            model=unquote(model[1]) if model else "",
            system_text="\n".join(system),
            text="\n".join([*system, *(text for content in contents for text in _said(content))]),
            last_user_text=last_words(_words(content) for content in contents if content.get("role") != "model"),
            turns=runs(content.get("role") == "model" for content in contents),
            tools=tuple(_tools(raw)),
            stream=":streamGenerateContent" in path and "alt=sse" in path,
        )

    def events(self, request: Request, turn: Turn) -> list[bytes]:
        return [_event(chunk) for chunk in _chunks(request, turn)]

    def whole(self, request: Request, turn: Turn) -> Any:
        """Without `alt=sse` the streaming method answers with the list of its chunks."""
        if ":streamGenerateContent" in request.path:
            return _chunks(request, turn)
        return _answer(request, [_part(part) for part in turn.parts], turn, last=True)

    def error_event(self) -> bytes:
        return _event(_error(503, "The model is overloaded. Please try again later."))

    def refuse(self, request: Request, refusal: Refusal | Refuse) -> Response:
        status, message, details = _wording(request, refusal)
        return whole(status, _error(status, message, details))

    def count(self, tokens: int) -> Json:
        return {"totalTokens": tokens}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def _either(raw: Json, *names: str) -> Any:
    return next((raw[name] for name in names if name in raw), None)


def _words(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return texts_in(content)
    return [str(part["text"]) for part in objects(content.get("parts")) if "text" in part]


def _said(content: Json) -> list[str]:
    return [text for part in objects(content.get("parts")) for text in _part_texts(part)]


def _part_texts(part: Json) -> list[str]:
    if "text" in part:
        return [str(part["text"])]
    result = part.get("functionResponse")
    return texts_in(result.get("response")) if isinstance(result, dict) else []


def _tools(raw: Json) -> list[Tool]:
    declared = (_either(tool, "functionDeclarations", "function_declarations") for tool in objects(raw.get("tools")))
    return [
        Tool(str(found.get("name", "")), "function", properties(_either(found, "parametersJsonSchema", "parameters")))
        for declarations in declared
        for found in objects(declarations)
    ]


# ── answering ────────────────────────────────────────────────────────────────────────────────────────────────


def _chunks(request: Request, turn: Turn) -> list[Json]:
    """One chunk per piece of text or call; the last one also says why it ends."""
    parts = [piece for part in turn.parts for piece in _pieces(part)] or [Say("")]
    ends = len(parts) - 1
    return [_answer(request, [_part(part)], turn, last=number == ends) for number, part in enumerate(parts)]


def _pieces(part: object) -> list[object]:
    match part:
        case Say(text):
            return [Say(piece) for piece in pieces(text)]
        case Think(text):
            return [Think(piece) for piece in pieces(text)]
        case _:
            return [part]


def _part(part: object) -> Json:
    match part:
        case Say(text):
            return {"text": text}
        case Think(text):
            return {"text": text, "thought": True}
        case Use(tool, given):
            args = {"input": given} if isinstance(given, str) else dict(given)
            call = {"id": uuid4().hex, "name": tool, "args": args}
            return {"functionCall": call, "thoughtSignature": "c2NyaXB0ZWQ="}
        case _:
            return {"text": ""}


def _answer(request: Request, parts: list[Json], turn: Turn, *, last: bool) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = _STOPS[turn.stop]
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(turn),
        "modelVersion": request.model,
        "responseId": f"scripted-{request.number}",
    }


def _usage(turn: Turn) -> Json:
    return {
        "promptTokenCount": turn.usage.input,
        "cachedContentTokenCount": turn.usage.cached,
        "candidatesTokenCount": turn.usage.output,
        "totalTokenCount": turn.usage.input + turn.usage.output,
    }


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data)}\r\n\r\n".encode()


# ── refusing ─────────────────────────────────────────────────────────────────────────────────────────────────


def _error(status: int, message: str, details: list[Json] | None = None) -> Json:
    error: Json = {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}
    return {"error": {**error, "details": details} if details else error}


def _wording(request: Request, refusal: Refusal | Refuse) -> tuple[int, str, list[Json]]:
    match refusal:
        case Refuse(status, message):
            return status, message, []
        case faults.RateLimited(retry_after_s):
            return 429, "Resource has been exhausted (e.g. check quota).", _quota(request, "Minute", retry_after_s)
        case faults.QuotaExhausted():
            message = "You exceeded your current quota, please check your plan and billing details."
            return 429, message, _quota(request, "Day", None)
        case faults.OutOfCredit():
            message = "This API method requires billing to be enabled. Please enable billing on your project."
            return (
                403,
                message,
                [{"@type": f"{_RPC}.ErrorInfo", "reason": "BILLING_DISABLED", "domain": "googleapis.com"}],
            )
        case faults.ServerError(500):
            return 500, "An internal error has occurred. Please retry.", []
        case faults.ServerError(status):
            return status, "The service is currently unavailable.", []
        case faults.Overloaded():
            return 503, "The model is overloaded. Please try again later.", []
        case faults.Unauthorized():
            return 401, "Request had invalid authentication credentials.", []
        case faults.UnknownModel():
            message = f"models/{request.model} is not found for API version v1beta."
            return 404, message, []
        case faults.ContextOverflow():
            message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
            return 400, message, []


def _quota(request: Request, window: str, retry_after_s: float | None) -> list[Json]:
    """Gemini's quotas are told apart by the name of the window within `quotaId`."""
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": f"GenerateRequestsPer{window}PerProjectPerModel",
        "quotaDimensions": {"location": "global", "model": request.model},
    }
    failure: Json = {"@type": f"{_RPC}.QuotaFailure", "violations": [violation]}
    if retry_after_s is None:
        return [failure]
    return [failure, {"@type": f"{_RPC}.RetryInfo", "retryDelay": f"{retry_after_s:g}s"}]
