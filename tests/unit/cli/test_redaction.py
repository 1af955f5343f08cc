"""What must not leave the machine with a bug report."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel

from codeswarm.cli.redaction import Redactor, outline, words_in

REDACTOR = Redactor(
    {
        "MY_API_KEY": "hunter2-hunter2",
        "PATH": "/usr/bin",
        "SHORT_TOKEN": "abc",
        "SOME_URL": "http://joe@gw-of-env:443/x",
        "OTHER_URL": "http://localhost:1/",
    },
    [("/srv/people/ada", "~"), ("ada", "‹user›"), ("laptop.example", "‹host›")],
)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("said hunter2-hunter2 aloud", "hunter2"),
        ("in /srv/people/ada/work", "ada"),
        ("/home/grace/x", "grace"),
        ("by ada@laptop", "ada"),
        ("mail grace.hopper+x@navy.example.org now", "grace"),
        ("sk-ant-api03-abcdefghijklmnop", "abcdefgh"),
        ("ghp_abcdefghijklmnop1234", "abcdefgh"),
        ("Authorization: Bearer abc.def-ghi", "abc.def"),
        ("password = 'correct horse'", "correct"),
        ('{"api_key": "xyz12345"}', "xyz12345"),
        ("https://grace:pass@host.example/x", "pass"),
        ("eyJhbGciOi.eyJzdWIiOi.c2ln", "eyJzdWIiOi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
        ("x0123456789abcdefghijklmnopqrstuvwxyz", "0123456789abcdefghij"),
        ("llm-gw.corp-internal.test:8080 can't be reached", "corp"),
        ("GET http://llm-gw:8080/v1 failed", "llm-gw"),
        ("no route to gw-of-env:443", "gw-of-env"),
        ("curl -u joe:pw9 ftp", "pw9"),
        ("curl --user=joe:pw9 ftp", "pw9"),
        ("curl -ujoe:pw9 ftp", "pw9"),
        ("twine --password hunter3 x", "hunter3"),
        ("git@forge:contoso/x.git", "git@forge"),
        ("10.20.30.40:8080 refused", "10.20"),
        ("fd00:12:34:56::1 refused", "fd00"),
        ("host ci.contoso.co.uk down", "contoso"),
        ('{"password": 1234}', "1234"),
        ("token: 12345", "12345"),
    ],
)
def test_secrets_names_and_addresses_are_hidden(text: str, hidden: str) -> None:
    assert hidden not in REDACTOR.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "tree 7194637cbf0123456789abcdef0123456789abcdef",
        "exit code 2 in 3 s",
        "bubblewrap: own namespaces",
        "attempt a:1",
        '"input_tokens": 12, "budget": {"tokens": null, "reserve_tokens": 100000}',
        'File "codeswarm/cli/run.py", line 3; lib.py:12; ledger.sqlite3; codeswarm.toml; w1.log',
        "gates.fast, roles.implementer; python 3.11.7; sqlite3.OperationalError",
        "api.anthropic.com:443 answers; localhost:80; at 12:30:45",
    ],
)
def test_what_helps_to_find_a_fault_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_of_an_event_only_numbers_and_words_of_ours_stay() -> None:
    data = {"ticket": "pay-ada", "epoch": 3, "status": "failed", "title": "Pay Ada", "name": "ada",
            "files": ["salaries.csv"], "runs": [{"outcome": "red", "tail": "Ada earns"}], "ok": True,
            "pipelines": {"for-ada": {"name": "for-ada"}}, "gate": "make-ada"}  # fmt: skip
    shown = outline(data, {*data, "failed", "red", "outcome", "tail"})
    assert (shown["epoch"], shown["status"], shown["runs"][0]["outcome"], shown["ok"]) == (3, "failed", "red", True)
    assert "ada" not in str(shown).lower()
    assert "salaries" not in str(shown)


def test_the_words_of_a_schema_are_its_fields_its_choices_and_its_defaults() -> None:
    class Fact(BaseModel):
        kind: Literal["red", "green"]
        how: str = "plain"

    assert words_in(Fact.model_json_schema()) >= {"kind", "how", "red", "green", "plain"}
