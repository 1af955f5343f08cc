"""Secrets are taken out of texts, however they stand there."""

from __future__ import annotations

import base64
import json
import random
import string
from urllib.parse import quote, quote_plus

import pytest

from codeswarm.redaction import HIDDEN, MOST_LEARNT, Chunks, Secrets, secrets_of

CANARY = 'canary-7f3a/b+c="\\d9e8'
PLAIN = "canary-7f3ab9c1d9e8-0042"


@pytest.mark.parametrize("value", [CANARY, PLAIN, "ключ-7f3ab9c1"])
def test_a_known_secret_is_taken_out_in_every_form(value: str) -> None:
    secrets = Secrets([value])
    data = value.encode()
    said = {
        "as it is": f"key={value}.",
        "in an address": f"https://host/?key={quote(value, safe='')}&x=1",
        "in a form": f"key={quote_plus(value)}",
        "in JSON": json.dumps({"key": value}),
        "in JSON in JSON": json.dumps({"raw": json.dumps({"key": value})}),
        "in hexadecimal": data.hex(),
        "in capital hexadecimal": data.hex().upper(),
    }
    for how, text in said.items():
        found = secrets.text(text)
        assert HIDDEN in found, how
        assert not any(form in found for form in (value, quote(value, safe=""), data.hex())), how


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_shows_no_more_than_two_bytes_at_either_end(before: int, encode: type[bytes]) -> None:
    text = encode(b"x" * before + PLAIN.encode() + b"y" * 5).decode()
    left, hidden, right = Secrets([PLAIN]).text(text).partition(HIDDEN)
    assert hidden
    shown = base64.b64decode(left + "A" * (-len(left) % 4), altchars=b"-_")
    assert PLAIN[:3].encode() not in shown
    assert len(left) + len(right) <= len(text) - len(encode(PLAIN.encode())) + 6


@pytest.mark.parametrize(
    "text",
    [
        "sk-ant-api03-" + "aB3" * 20,
        "sk-proj-" + "aB3" * 20,
        "sk_live_" + "aB3" * 8,
        "ghp_" + "aB3" * 12,
        "github_pat_" + "a1B" * 20,
        "glpat-" + "aB3" * 8,
        "xoxb-" + "123456789012-" + "aB3" * 8,
        "AKIA" + "A1B2C3D4E5F6G7H8",
        "AIza" + "aB3xY" * 7,
        "ya29." + "aB3" * 20,
        "npm_" + "aB3" * 12,
        "hf_" + "aB3" * 12,
        "pypi-AgEIcHlwaS5vcmc" + "aB3" * 20,
        "SG." + "aB3" * 8 + "." + "aB3" * 10,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r",
    ],
)
def test_what_has_the_shape_of_a_key_is_taken_out(text: str) -> None:
    assert Secrets().text(f"before {text} after").replace(" after", "") == f"before {HIDDEN}"


@pytest.mark.parametrize(
    "text",
    [
        "scikit-learn and sk-learn-contrib-estimators",
        "src/npm_publish_workflow.py",
        "task-force-one-hundred-and-eleven-is-here",
        "deadbeef" * 5,
        "sha256-" + "ab12" * 16,
        "hf_transformers and pypi-publish, ghp_ and AKIA",
        "the PRIVATE KEY of the house",
        "disk-usage-of-the-whole-machine-2024",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert Secrets([PLAIN]).text(text) == text


def test_a_short_value_is_no_secret() -> None:
    assert Secrets(["ollama", "", "x"]).text("ollama x") == "ollama x"


def test_json_is_gone_through_whole_and_keeps_its_shape() -> None:
    value = {"a": [PLAIN, 1, None, {"b": (f"x{PLAIN}",)}], PLAIN: True}
    assert Secrets([PLAIN]).within(value) == {"a": [HIDDEN, 1, None, {"b": [f"x{HIDDEN}"]}], HIDDEN: True}


def test_a_line_of_json_stays_json() -> None:
    line = json.dumps({"text": "-----BEGIN PRIVATE KEY-----\nabc", "raw": json.dumps({"k": PLAIN}), "more": 1})
    assert json.loads(Secrets([PLAIN]).text(line))["more"] == 1


def test_bytes_that_are_no_text_are_searched_too() -> None:
    assert Secrets([PLAIN]).data(b"\xff\xfe" + PLAIN.encode() + b"\0") == b"\xff\xfe" + HIDDEN.encode() + b"\0"


def test_a_secret_in_pieces_is_seen_in_none_of_them() -> None:
    chance = random.Random(11)
    for _ in range(500):
        text = f"the key is {PLAIN}, and again {PLAIN}{PLAIN} so"
        cuts = sorted(chance.randrange(len(text)) for _ in range(chance.randrange(12)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        chunks = Chunks(Secrets([PLAIN]))
        shown = "".join(chunks.text(piece)[0] for piece in pieces).replace(HIDDEN, "")
        assert PLAIN not in shown
        assert not any(PLAIN[at : at + 6] in shown for at in range(len(PLAIN) - 5)), (pieces, shown)


def test_a_secret_letter_by_letter_shows_no_more_than_its_beginning() -> None:
    chunks = Chunks(Secrets([PLAIN]))
    shown = [chunks.text(letter) for letter in PLAIN]
    assert "".join(text for text, _ in shown).replace(HIDDEN, "") == PLAIN[:3]
    assert all(part for _, part in shown[3:])


def test_pieces_without_a_secret_are_not_touched() -> None:
    chance, chunks = random.Random(3), Chunks(Secrets([PLAIN]))
    for _ in range(300):
        piece = "".join(chance.choice(string.ascii_letters + "canry-7f \n") for _ in range(chance.randrange(30)))
        assert chunks.text(piece) == (piece, False)


def test_of_what_an_agent_may_have_written_only_the_newest_count() -> None:
    secrets = Secrets([PLAIN])
    for number in range(100):
        secrets.learn(*(f"learnt-{number}-{each}-abcdef" for each in range(50)))
    assert len(secrets.values) == MOST_LEARNT + 1
    assert secrets.text(f"{PLAIN} learnt-99-49-abcdef") == f"{HIDDEN} {HIDDEN}"
    assert Secrets(secrets.values).stand_in(b"learnt-99-49-abcdef")
    secrets.learn("learnt-99-20-abcdef", *(f"learnt-again-{each}" for each in range(MOST_LEARNT - 1)))
    assert secrets.text("learnt-99-20-abcdef") == HIDDEN, "told again it is new"


def test_the_secrets_of_an_environment() -> None:
    variables = {
        "ANTHROPIC_API_KEY": "abcdefgh",
        "GITHUB_TOKEN": "x1y2z3x1y2z3",
        "PATH": "/usr/bin/x1y2z3x1y2z3",
        "SSH_AUTH_SOCK": "/tmp/ssh-123456/agent.1",
        "TOKENIZERS_PARALLELISM": "false",
        "KEYBOARD_LAYOUT": "de-latin1-nodeadkeys/x",
        "SHORT_KEY": "a1",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "DATABASE_URL": "postgres://me:pw-9f8e7d6c%21@db.example/x",
        "DEV_DATABASE_URL": "postgres://postgres:postgres@localhost/x",
    }
    assert secrets_of(variables, ("ANTHROPIC_API_KEY",)) == [
        "abcdefgh",
        "x1y2z3x1y2z3",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "pw-9f8e7d6c%21",
        "pw-9f8e7d6c!",
    ]
