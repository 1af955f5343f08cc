"""Harm to what the ledger rests on: receipts, their key, transcripts and gates' logs."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

from codeswarm.domain import events as ev
from codeswarm.domain.results import GateOutcome
from codeswarm.engine.receipts import Signer
from codeswarm.ledger.artifacts import Artifacts
from codeswarm.ledger.care import Code
from tests.crash.damage import Patient, Row, cut
from tests.crash.harm import harm
from tests.support.finished_session import KEY, SESSION, A, B

# ── receipts: the log is rewritten, and its chain and the tables with it ─────────────────────────────────────


def _landing_gate(patient: Patient) -> Row:
    """The gate that `b` landed on."""
    landed = patient.find(ev.TicketLanded, ticket=B).event
    return next(
        row
        for row in patient.log()
        if row.kind == "GateFinished" and any(receipt.id in landed.receipts for receipt in row.event.receipts)
    )


@harm("a receipt's signature is forged", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = _landing_gate(patient)
    (receipt,) = gate.event.receipts
    forged = receipt.model_copy(update={"signature": "ab" * 32})
    patient.instead(gate, gate.saying(receipts=(forged,)), tables=True)
    return f"event {gate.seq}: receipt {receipt.id}"


@harm("a red receipt is made green", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = patient.find(ev.GateFinished, green=False)
    (receipt,) = gate.event.receipts
    patient.instead(
        gate, gate.saying(receipts=(receipt.model_copy(update={"outcome": GateOutcome.GREEN}),)), tables=True
    )
    return f"event {gate.seq}: receipt {receipt.id}"


@harm("a receipt is exchanged for one that is genuine, but of another tree", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate, base = _landing_gate(patient), patient.find(ev.SessionStarted).event.base_tree
    (receipt,) = gate.event.receipts
    other = Signer(KEY).sign(receipt.model_copy(update={"tree": base}))
    patient.instead(gate, gate.saying(receipts=(other,)), tables=True)
    return f"stands on receipt {receipt.id} for tree {base}"


@harm("a receipt is taken out of the log", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = _landing_gate(patient)
    (receipt,) = gate.event.receipts
    patient.instead(gate, gate.saying(receipts=()), tables=True)
    return f"stands on receipt {receipt.id}, which does not exist"


@harm("a landing names no receipt", Code.RECEIPT)
def _(patient: Patient) -> str:
    landed = patient.find(ev.TicketLanded, ticket=A)
    patient.instead(landed, landed.saying(receipts=()), tables=True)
    return f"event {landed.seq}: landing {landed.event.landing} names no receipt at all"


@harm("a landing stands on a genuine pass of another command", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = _landing_gate(patient)
    (receipt,) = gate.event.receipts
    other = Signer(KEY).sign(receipt.model_copy(update={"command": "true"}))
    patient.instead(gate, gate.saying(receipts=(other,)), tables=True)
    return "has no genuine receipt that `make check` passed"


@harm("a save names a receipt that does not exist", Code.RECEIPT)
def _(patient: Patient) -> str:
    save = patient.find(ev.SaveIntended)
    patient.instead(save, save.saying(receipts=("made-up",)), tables=True)
    return "stands on receipt made-up, which does not exist"


@harm("the key is another one", Code.KEY)
def _(patient: Patient) -> str:
    patient.data.key.write_bytes(bytes(32))
    return "not this data directory's key"


@harm("the key is missing", Code.KEY)
def _(patient: Patient) -> str:
    patient.data.key.unlink()
    return "receipts.key is missing"


# ── transcripts and logs ─────────────────────────────────────────────────────────────────────────────────────


def _transcript(patient: Patient) -> Path:
    """The packed file of a closed transcript."""
    return Artifacts(patient.data.artifacts).transcript_path(SESSION, "b", 3)


TRANSCRIPT = f"transcript {SESSION}:b:3"


@harm("a closed transcript is changed", Code.ARTIFACT)
def _(patient: Patient) -> str:
    path = _transcript(patient)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"at work", b"at rest")))
    return f"{TRANSCRIPT}: was changed"


@harm("a closed transcript is cut off", Code.ARTIFACT)
def _(patient: Patient) -> str:
    cut(_transcript(patient), 20)
    return f"{TRANSCRIPT}: has"


@harm("what is packed of a closed transcript is damaged", Code.ARTIFACT)
def _(patient: Patient) -> str:
    path = _transcript(patient)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    return TRANSCRIPT


@harm("nothing tells which transcript an attempt's is", Code.ARTIFACT)
def _(patient: Patient) -> str:
    (patient.data.artifacts / "transcripts" / SESSION / "b" / "3.closed").write_text("none")
    return f"{TRANSCRIPT}: is missing"


@harm("a closed transcript goes on", Code.ARTIFACT)
def _(patient: Patient) -> str:
    with _transcript(patient).open("ab") as file:
        file.write(gzip.compress(b"one more thing\n"))
    return f"{TRANSCRIPT}: has"


@harm("a closed transcript is missing", Code.ARTIFACT)
def _(patient: Patient) -> str:
    _transcript(patient).unlink()
    return f"{TRANSCRIPT}: is missing"


def _gate_log(patient: Patient) -> tuple[str, Path]:
    digest = _landing_gate(patient).event.runs[0].log
    return digest, Artifacts(patient.data.artifacts).path(digest)


@harm("a gate's log is changed", Code.ARTIFACT)
def _(patient: Patient) -> str:
    digest, path = _gate_log(patient)
    path.write_bytes(gzip.compress(b"all green, honestly\n"))
    return f"artifact {digest}: the log of gate fast"


@harm("a gate's log is missing", Code.ARTIFACT)
def _(patient: Patient) -> str:
    digest, path = _gate_log(patient)
    path.unlink()
    return f"artifact {digest}: the log of gate fast"


@harm("a gate's log is a folder", Code.ARTIFACT)
def _(patient: Patient) -> str:
    digest, path = _gate_log(patient)
    path.unlink()
    path.mkdir()
    return f"artifact {digest}"


@harm("all artifacts are gone", Code.ARTIFACT)
def _(patient: Patient) -> str:
    shutil.rmtree(patient.data.artifacts)
    return f"{TRANSCRIPT}: is missing"
