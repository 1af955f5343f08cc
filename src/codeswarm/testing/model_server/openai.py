"""OpenAI Responses: `POST /v1/responses`. Spoken by Codex.

Source: https://platform.openai.com/docs/api-reference/responses-streaming; which errors Codex tells apart, and by
what, is in github.com/openai/codex, `codex-rs/codex-api/src/api_bridge.rs` and `codex-rs/codex-api/src/sse`.
"""

from __future__ import annotations

from typing import Any

from codeswarm.testing.model_server import faults
from codeswarm.testing.model_server.faults import Refusal
from codeswarm.testing.model_server.openai_items import Output, output_of
from codeswarm.testing.model_server.reply import Refuse, Turn
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
from codeswarm.testing.model_server.response import Response, event, stream, whole

_BY_MODEL = frozenset({"reasoning", "function_call", "custom_tool_call", "local_shell_call", "web_search_call"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output", "local_shell_call_output"})
_INSTRUCTING = ("system", "developer")
_CUT_SHORT = {"length": "max_output_tokens", "refusal": "content_filter"}


class OpenAIWire:
    name: Wire = "openai"

    def read(self, path: str, raw: Json) -> Conversation:
        items = _items(raw.get("input"))
        told = texts_in(raw.get("instructions"))
        later = [text for item in items if item.get("role") in _INSTRUCTING for text in _said(item)]
        return Conversation(
            model=str(raw.get("model", "")),
            system_text="\n".join([*told, *later]),
            text="\n".join([*told, *(text for item in items for text in _said(item))]),
            last_user_text=last_words(_said(item) for item in items if item.get("role") == "user"),
            turns=runs(_made_by_model(item) for item in items),
            tools=tuple(_tool(tool) for tool in objects(raw.get("tools"))),
            stream=raw.get("stream") is True,
        )

    def events(self, request: Request, turn: Turn) -> list[bytes]:
        outputs = output_of(request, turn)
        begun = _response(request, turn, [], "in_progress")
        ended = _response(request, turn, outputs, _status(turn))
        found = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
            *(change for index, output in enumerate(outputs) for change in output.events(index)),
            {"type": f"response.{ended['status']}", "response": ended},
        ]
        return [_event(number, data) for number, data in enumerate(found)]

    def whole(self, request: Request, turn: Turn) -> Json:
        return _response(request, turn, output_of(request, turn), _status(turn))

    def error_event(self) -> bytes:
        failed = _failed("server_error", "The server had an error processing your request. Sorry about that!")
        return _event(999, failed)

    def refuse(self, request: Request, refusal: Refusal | Refuse) -> Response:
        if isinstance(refusal, faults.ContextOverflow) and request.stream:
            message = "Your input exceeds the context window of this model. Please adjust your input and try again."
            return stream([_event(0, _failed("context_length_exceeded", message))])
        status, error = wording(request, refusal)
        headers = [("x-request-id", f"req_{request.number}")]
        if isinstance(refusal, faults.RateLimited) and refusal.retry_after_s is not None:
            headers.append(("retry-after", f"{refusal.retry_after_s:g}"))
        return whole(status, {"error": {"message": "", "param": None, "code": None, **error}}, headers)

    def count(self, tokens: int) -> Json:
        return {"object": "response.input_tokens", "input_tokens": tokens}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def _items(given: Any) -> list[Json]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return objects(given)


def _said(item: Json) -> list[str]:
    if item.get("type") in _RESULTS:
        output = item.get("output")
        return [output] if isinstance(output, str) else _block_texts(output)
    content = item.get("content")
    return [content] if isinstance(content, str) else _block_texts(content)


def _block_texts(content: Any) -> list[str]:
    return [str(block["text"]) for block in objects(content) if "text" in block]


def _made_by_model(item: Json) -> bool:
    return item.get("role") == "assistant" or item.get("type") in _BY_MODEL


def _tool(tool: Json) -> Tool:
    kind = tool.get("type")
    name = str(tool.get("name", kind))
    if kind == "function":
        return Tool(name, "function", properties(tool.get("parameters")))
    return Tool(name, kind if kind in ("custom", "local_shell") else "hosted")


# ── answering ────────────────────────────────────────────────────────────────────────────────────────────────


def _status(turn: Turn) -> str:
    return "incomplete" if turn.stop in _CUT_SHORT else "completed"


def _response(request: Request, turn: Turn, outputs: list[Output], status: str) -> Json:
    return {
        "id": f"resp_{request.number}",
        "object": "response",
        "created_at": 0,
        "model": request.model,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": _CUT_SHORT[turn.stop]} if status == "incomplete" else None,
        "output": [output.item for output in outputs],
        "parallel_tool_calls": True,
        "usage": None if status == "in_progress" else _usage(turn),
    }


def _usage(turn: Turn) -> Json:
    return {
        "input_tokens": turn.usage.input,
        "input_tokens_details": {"cached_tokens": turn.usage.cached},
        "output_tokens": turn.usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": turn.usage.input + turn.usage.output,
    }


def _event(number: int, data: Json) -> bytes:
    return event(data["type"], {**data, "sequence_number": number})


# ── refusing ─────────────────────────────────────────────────────────────────────────────────────────────────


def _failed(code: str, message: str) -> Json:
    error = {"code": code, "message": message}
    return {"type": "response.failed", "response": {"id": "resp_0", "status": "failed", "error": error, "output": []}}


def wording(request: Request, refusal: Refusal | Refuse) -> tuple[int, Json]:
    match refusal:
        case Refuse(status, message):
            type_ = "server_error" if status >= 500 else "invalid_request_error"
            return status, {"message": message, "type": type_}
        case faults.RateLimited(retry_after_s):
            message = f"Rate limit reached for {request.model}. Please try again in {retry_after_s or 1:g}s."
            return 429, {"message": message, "type": "requests", "code": "rate_limit_exceeded"}
        case faults.QuotaExhausted(resets_at_s):
            spent = {"message": "The usage limit has been reached", "type": "usage_limit_reached", "plan_type": "pro"}
            return 429, {**spent, **({} if resets_at_s is None else {"resets_at": resets_at_s})}
        case faults.OutOfCredit():
            message = "You exceeded your current quota, please check your plan and billing details."
            return 429, {"message": message, "type": "insufficient_quota", "code": "insufficient_quota"}
        case faults.ServerError(status):
            message = "The server had an error while processing your request. Sorry about that!"
            return status, {"message": message, "type": "server_error"}
        case faults.Overloaded():
            message = "The engine is currently overloaded, please try again later."
            return 503, {"message": message, "type": "server_error", "code": "server_is_overloaded"}
        case faults.Unauthorized():
            message = "Incorrect API key provided. You can find your API key at https://platform.openai.com/api-keys."
            return 401, {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}
        case faults.UnknownModel():
            message = f"The model `{request.model}` does not exist or you do not have access to it."
            return 404, {"message": message, "type": "invalid_request_error", "code": "model_not_found"}
        case faults.ContextOverflow():
            message = "Your input exceeds the context window of this model. Please adjust your input and try again."
            return 400, {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}
