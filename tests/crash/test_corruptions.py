"""A finished session, harmed in one place at a time: `verify` names each harm, survives it, and changes no byte."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from codeswarm.engine.verify import verify_all
from codeswarm.ledger.care import Code, Problem
from tests.crash import harms_to_evidence, harms_to_ledger, harms_to_store
from tests.crash.damage import Patient, cut, flip
from tests.crash.harm import HARMS, Harm
from tests.support.finished_session import Finished, finish_session

_LOADED = (harms_to_ledger, harms_to_evidence, harms_to_store)
"""Importing these fills the list of harms."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return asyncio.run(finish_session(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def patient(finished: Finished, tmp_path: Path) -> Patient:
    return Patient.copy_of(finished.data, tmp_path / "patient")


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_an_unharmed_session_is_found_clean(finished: Finished, tmp_path: Path, killed: bool) -> None:
    patient = Patient.copy_of(finished.killed if killed else finished.data, tmp_path / "patient")
    before = patient.digest()
    assert verify_all(patient.data) == []
    assert patient.digest() == before


def test_hiding_a_change_well_leaves_no_trace_of_the_hiding(patient: Patient) -> None:
    """So that what is found after a `rewrite` is the harm, and not the tools."""
    patient.rewrite(lambda rows: rows, tables=True)
    assert verify_all(patient.data) == []


@pytest.mark.parametrize("harm", HARMS, ids=[harm.sentence for harm in HARMS])
def test_harm_is_named_and_nothing_is_touched(harm: Harm, finished: Finished, tmp_path: Path) -> None:
    patient = Patient.copy_of(finished.killed if harm.killed else finished.data, tmp_path / "patient")
    named = harm.deed(patient)
    before = patient.digest()
    problems = verify_all(patient.data)
    assert any(problem.code is harm.code and named in str(problem) for problem in problems), _told(named, problems)
    assert all(problem.what and problem.next_step for problem in problems)
    assert not [problem for problem in problems if problem.code is Code.UNCHECKED], _told(named, problems)
    assert patient.digest() == before


def _told(named: str, problems: list[Problem]) -> str:
    found = "\n".join(f"  {problem.code} {problem}" for problem in problems) or "  nothing"
    return f"nothing names {named!r}; told was\n{found}"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_harmed_verify_survives_it_and_touches_nothing(
    seed: int, finished: Finished, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    patient = Patient.copy_of(dice.choice((finished.data, finished.killed)), tmp_path / "patient")
    paths = [path for path in sorted(patient.data.root.rglob("*")) if path.is_file() and path.stat().st_size]
    path = patient.data.ledger if seed % 3 == 0 else dice.choice(paths)
    path.chmod(0o644)
    at = dice.randrange(path.stat().st_size)
    if seed % 2:
        flip(path, at)
    else:
        cut(path, at)
    before = patient.digest()
    assert all(problem.what and problem.next_step for problem in verify_all(patient.data))
    assert patient.digest() == before
