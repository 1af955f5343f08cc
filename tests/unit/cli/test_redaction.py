"""What must not leave the machine with a bug report."""

from __future__ import annotations

import pytest

from codeswarm.cli.redaction import Redactor, outline

REDACTOR = Redactor(
    {"MY_API_KEY": "hunter2-hunter2", "PATH": "/usr/bin", "SHORT_TOKEN": "abc"},
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
    ],
)
def test_what_helps_to_find_a_fault_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_of_an_event_only_numbers_and_words_of_ours_stay() -> None:
    data = {"ticket": "pay-ada", "epoch": 3, "status": "failed", "title": "Pay Ada", "name": "Ada Lovelace",
            "files": ["salaries.csv"], "runs": [{"outcome": "red", "tail": "Ada earns"}], "ok": True}  # fmt: skip
    shown = outline(data)
    assert (shown["epoch"], shown["status"], shown["runs"][0]["outcome"], shown["ok"]) == (3, "failed", "red", True)
    assert "da" not in str({key: value for key, value in shown.items() if key != "status"}).replace("data", "")
    assert "salaries" not in str(shown)
