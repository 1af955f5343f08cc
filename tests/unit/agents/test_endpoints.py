"""What is understood of an endpoint that is asked for its models: keys, addresses, lists; and of one that is odd."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from codeswarm.agents import endpoints
from codeswarm.agents.endpoints import APIS, MOST_BYTES, Answer, ask
from codeswarm.environment import OWN_FILES
from codeswarm.vendors import VENDORS
from tests.support.registries_and_models import MODELS, RIGHT, Vendor, served

KEY = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
WHOLE = Answer("http://x", status=200, models=frozenset(MODELS), whole=True)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("kind", KEY)
def test_each_vendor_is_asked_with_its_own_header(kind: str) -> None:
    with served(Vendor()) as url:
        base = f"{url}/v1" if kind == "codex" else url
        right, wrong = (ask(APIS[kind], {APIS[kind].vendor.endpoint: base, KEY[kind]: key}) for key in (RIGHT, "wrong"))
    assert (right.status, right.key, right.whole, set(right.models)) == (200, KEY[kind], True, set(MODELS))
    assert right.at_s is not None
    assert (right.refused, wrong.refused, wrong.silent) == (False, True, "")


def test_a_token_of_an_account_is_never_sent() -> None:
    with served(vendor := Vendor()) as url:
        answer = ask(APIS["claude"], {"ANTHROPIC_BASE_URL": url, "CLAUDE_CODE_OAUTH_TOKEN": "mine"})
    assert (answer.key, answer.refused, answer.status) == ("", False, 401)
    assert "mine" not in answer.words
    assert vendor.asked == ["GET /v1/models?limit=1000"]


@pytest.mark.parametrize(
    ("model", "there"),
    [
        ("claude-opus-4-5-20251101", True),
        ("claude-opus-4-5", True),
        ("claude-sonnet-4-5-latest", True),
        ("claude-opus-4", True),
        ("claude-opus-9", False),
        ("gpt-5", False),
    ],
)
def test_a_model_is_known_by_its_name_without_the_date_too(model: str, there: bool) -> None:
    assert WHOLE.has(model) is there
    assert replace(WHOLE, whole=False).has(model), "nobody can say so of a list that is cut"


@pytest.mark.parametrize(
    ("status", "words", "refused"),
    [
        (401, "invalid x-api-key", True),
        (401, "Missing scopes: api.model.read", False),
        (403, "Your country is not supported", False),
        (403, "API key not valid", True),
        (400, "API key not valid. Please pass a valid API key.", True),
        (400, "limit is too large", False),
        (429, "too many requests", False),
        (500, "invalid x-api-key", False),
    ],
)
def test_only_a_key_that_is_refused_is_a_wrong_one(status: int, words: str, refused: bool) -> None:
    assert Answer("http://x", status=status, words=words, key="OPENAI_API_KEY").refused is refused


class Odd(Vendor):
    """Answers with what it is told to."""

    said: Any = None
    status: int = 200

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, dict[str, Any]]:
        return self.status, self.said


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        "models",
        {"data": 5},
        {"data": [None, {}, {"id": None}, {"id": 7}, {"id": "\x1b[31mred"}, {"id": "a'; rm -rf ~ #"}]},
        {"data": [{"id": "x" * 500}]},
        {"models": [{"name": ["deep"]}]},
        {"data": [{"id": "good-one"}], "filler": "x" * MOST_BYTES},
    ],
)  # fmt: skip
def test_whatever_it_sends_is_no_fault_and_only_names_are_taken_from_it(said: Any) -> None:
    odd = Odd()
    odd.said = said
    with served(odd) as url:
        answer = ask(APIS["codex"], {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k"})
    assert answer.models == frozenset()


@pytest.mark.parametrize(
    "address", ["gemini.example", "ftp://x/", "http://", "http://[", "http://127.0.0.1:99999", "//x"]
)
def test_what_is_no_address_is_told_and_nothing_is_raised(address: str) -> None:
    assert ask(APIS["gemini"], {"GOOGLE_GEMINI_BASE_URL": address, "GEMINI_API_KEY": "k"}).silent


def test_a_password_in_an_address_is_neither_shown_nor_in_the_way() -> None:
    with served(Vendor()) as url:
        base = url.replace("//", "//joe:pw9@")
        answer = ask(APIS["codex"], {"OPENAI_BASE_URL": f"{base}/v1/", "OPENAI_API_KEY": RIGHT})
    assert (answer.status, answer.base) == (200, f"{url}/v1")


@contextmanager
def told(answer: bytes, *, stalls: bool) -> Iterator[str]:
    """The address of an endpoint that answers once, to the letter, and then waits for the other side or hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            asker, _ = server.accept()
            with asker:
                asker.recv(1 << 16)
                asker.sendall(answer)
                if stalls:
                    asker.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("stalls", [True, False], ids=["stalls", "breaks off"])
def test_a_refusal_counts_though_its_words_can_t_be_read(stalls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SILENCE_S", 1.0)
    with told(b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n90\r\n{", stalls=stalls) as url:
        answer = ask(APIS["codex"], {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": RIGHT})
    assert (answer.status, answer.refused, answer.silent) == (401, True, "")


def test_a_redirect_is_an_answer_and_is_not_followed_with_a_key_in_hand() -> None:
    with served(vendor := Vendor()) as elsewhere:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/v1/models\r\nContent-Length: 0\r\n\r\n"
        with told(moved.encode(), stalls=False) as url:
            answer = ask(APIS["codex"], {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": RIGHT})
    assert (answer.status, vendor.asked) == (302, [])


@pytest.mark.parametrize("said", [json.dumps({"error": {"message": "%s"}}), "%s", "no good: %s\x00"])
def test_no_part_of_a_key_is_shown_that_an_endpoint_says_again(said: str) -> None:
    key = "sk-" + "1aB-" * 60
    body = (said % ("Incorrect key: " * 6 + key)).encode()
    with told(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), stalls=False) as url:
        answer = ask(APIS["codex"], {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": key})
    assert answer.refused
    assert "1aB" not in answer.words
    assert "Incorrect key" in answer.words


@pytest.mark.parametrize("key", ["sk-of-many-letters-9\n", "sk-of-many-letters-9\u2028"])
def test_a_key_that_can_t_be_sent_is_not_shown_either(key: str) -> None:
    answer = ask(APIS["codex"], {"OPENAI_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": key})
    assert answer.silent
    assert "letters" not in answer.silent


def test_an_endpoint_is_asked_with_no_key_that_is_not_its_vendors() -> None:
    assert VENDORS.keys() == APIS.keys() == OWN_FILES.keys()
    for kind, api in APIS.items():
        assert api.vendor is VENDORS[kind]
        assert api.keys.keys() <= set(api.vendor.keys)
