"""The report on real sessions: a ledger, a store and transcripts on disk, the command, the router, a real browser."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from codeswarm.report.document import Report, TicketPart
from tests.integration.test_router_api import Face
from tests.support.finished_session import OTHER, SESSION, Finished, finish_session
from tests.support.held_agent import begin, held_place, let_go
from tests.support.runs import Place

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    found = asyncio.run(finish_session(tmp_path_factory.mktemp("finished")))
    (found.repository.parent / "home").mkdir()
    return found


@pytest.fixture(scope="module")
def place(finished: Finished) -> Place:
    return Place(finished.repository.parent)


def words(finished: Finished, *more: str) -> list[str]:
    return ["--data", str(finished.data.root), "report", str(SESSION), *more]


@pytest.fixture(scope="module")
def report(finished: Finished, place: Place) -> Report:
    done = place.run(*words(finished), "--json")
    assert done.code == 0, done.err
    return Report.model_validate(done.json)


def part(report: Report, id_: str) -> TicketPart:
    return next(part for part in report.tickets if part.id == id_)


def test_what_changed_is_read_from_the_store(report: Report) -> None:
    change = part(report, "a").change
    assert change is not None
    assert {(file.path, file.added, file.deleted) for file in change.files} == {
        ("src/hello.py", 1, 0),
        ("tests/test_hello.py", 1, 0),
    }
    assert "+hello = True\n" in change.patch
    assert change.whole


def test_signatures_are_checked_with_the_key_of_the_data_directory(
    finished: Finished, place: Place, report: Report, tmp_path: Path
) -> None:
    proofs = [proof for part in report.tickets for proof in part.proofs]
    assert proofs
    assert {proof.genuine for proof in proofs} == {True}
    assert {proof.outcome for proof in proofs} == {"green"}
    copy = shutil.copytree(finished.data.root, tmp_path / "data")
    (copy / "keys" / "receipts.key").write_bytes(b"another key".ljust(32))
    told = place.run("--data", str(copy), "report", str(SESSION)).out
    assert "THE SIGNATURE DOES NOT HOLD" in " ".join(told.split())


def test_the_command_that_undoes_a_ticket_undoes_it(finished: Finished, report: Report, tmp_path: Path) -> None:
    repository = shutil.copytree(finished.repository, tmp_path / "repository")
    undo = part(report, "a").undo
    assert undo is not None
    assert undo.note.startswith("on main")
    assert (repository / "src" / "hello.py").exists()
    (command,) = undo.commands
    person = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"]
    subprocess.run([*person, *shlex.split(command)[1:]], cwd=repository, check=True, capture_output=True)
    assert not (repository / "src" / "hello.py").exists()
    assert (repository / "src" / "ships.py").exists() or (repository / "src" / "shared.py").exists()


def test_a_report_of_a_data_directory_without_its_store_says_what_is_missing(
    finished: Finished, place: Place, tmp_path: Path
) -> None:
    copy = shutil.copytree(finished.data.root, tmp_path / "data", ignore=shutil.ignore_patterns("store.git", "keys"))
    done = place.run("--data", str(copy), "report", str(SESSION), "--json")
    assert done.code == 0, done.err
    found = Report.model_validate(done.json)
    assert any("not in the store any more" in sentence for sentence in found.cuts)
    assert found.tickets[0].proofs[0].genuine is None


def test_nothing_is_written_by_looking(finished: Finished, place: Place) -> None:
    def files() -> dict[str, int]:
        ignored = ("ledger.sqlite3-shm", "ledger.sqlite3-wal")
        found = (path for path in finished.data.root.rglob("*") if path.is_file() and path.name not in ignored)
        return {str(path): path.stat().st_mtime_ns for path in found}

    before = files()
    assert place.run(*words(finished)).code == 0
    assert files() == before


def test_a_session_that_has_only_begun_has_a_report(finished: Finished, place: Place) -> None:
    done = place.run("--data", str(finished.data.root), "report", str(OTHER))
    assert done.code == 0, done.err
    assert "nobody hosts it any more" in done.out
    assert "codeswarm --data" in done.out
    assert f"resume {OTHER}" in done.out


def test_the_page_is_written_whole_or_not_at_all(finished: Finished, place: Place, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    done = place.run(*words(finished, "--html", str(target)), "--json")
    assert done.code == 0, done.err
    assert done.json == {"session": str(SESSION), "file": str(target), "bytes": target.stat().st_size}
    assert place.run(*words(finished, "--html", "-")).out.startswith("<!doctype html>")
    refused = place.run(*words(finished, "--html", str(tmp_path / "nowhere" / "report.html")))
    assert (refused.code, refused.out) == (2, "")
    assert [line.partition(":")[0] for line in refused.err.splitlines()] == ["error", "why", "do"]
    refused = place.run(*words(finished, "--html", str(tmp_path)))
    assert refused.code == 2
    assert list(tmp_path.iterdir()) == [target], "no half-written file is left"


async def test_the_router_tells_the_report_the_plan_and_where_each_commit_comes_from(tmp_path: Path) -> None:
    async with Face(tmp_path).open() as face:
        started = await face.client.post("/sessions", Face.request("one", "two"))
        path = f"/sessions/{started['session']}"
        found = Report.model_validate(await face.client.get(f"{path}/report"))
        assert (found.session, found.live, len(found.tickets)) == (started["session"], True, 2)
        page = (await face.http.get(f"{path}/report", params={"format": "html"})).text
        assert page.startswith("<!doctype html>")
        plan = await face.client.get(f"{path}/plan")
        assert plan["waves"] == [["one", "two"]]
        assert plan["estimate"]["critical_path_s"] == 600.0
        assert await face.client.get(f"{path}/lineage") == []
        assert (await face.http.get("/sessions/none/report")).status_code == 404


async def test_a_live_session_is_told_as_far_as_it_has_come(tmp_path: Path) -> None:
    held = held_place(tmp_path)
    run = await begin(held, "none", "one", "two")
    done = await asyncio.to_thread(held.run, "report")
    let_go(held, "one", "two")
    assert await run.end() == 0
    assert "1 at work, 1 pending; it goes on." in " ".join(done.out.split())
    assert "NEEDS YOU" not in done.out
    assert "All 2 tickets landed" in held.run("report").out


# ── in a browser ──


def browse(page: str, folder: Path) -> tuple[str, list[str]]:
    """(the document as the browser has it, what its console says)."""
    target = folder / "page.html"
    target.write_text(page)
    assert CHROMIUM is not None
    argv = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", target.as_uri()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_has_nothing_to_complain_of(finished: Finished, place: Place, tmp_path: Path) -> None:
    page = place.run(*words(finished, "--html", "-")).out
    document, complaints = browse(page, tmp_path)
    assert complaints == []
    assert document.count('<details class="ticket"') == 3
    broken = re.sub(r"sha256-[^']+", "sha256-AAAA", page)
    assert browse(broken, tmp_path)[1], "a style sheet that its policy forbids is complained of"
