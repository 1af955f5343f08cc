"""What gates are told and what is read off what they leave, all of it written by code that nobody trusts."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit
from codeswarm.domain.results import GateCommand, GateOutcome, GateRun
from codeswarm.sandbox.base import Box
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker.gate import (
    MAX_FAILING,
    MAX_LIST_BYTES,
    MAX_NAME,
    MAX_REPORT_BYTES,
    GateContext,
    GateRunner,
    _read_report,
    _read_result,
    _told,
    fill,
    looks_like_test,
    read_failing,
)
from codeswarm.worker.places import Place
from codeswarm.worker.view import View
from codeswarm.worker.workspace import Workspace

COMMIT = Commit("0" * 40)


def context(*changed: str, contract: tuple[str, ...] = ()) -> GateContext:
    return GateContext("s1", "t1", COMMIT, COMMIT, changed, contract)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def made(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


# ── what a command is filled with ──


def test_files_and_report_are_filled_in_and_other_braces_are_the_commands_own(root: Path) -> None:
    made(root, "tests/test_a.py", "src/a.py")
    command = "pytest {files} --junitxml {report} && awk '{print $1}' {other} ${HOME}"
    filled = fill(command, context("src/a.py", "tests/test_a.py"), "/run/r.xml", root)
    assert filled == "pytest tests/test_a.py --junitxml /run/r.xml && awk '{print $1}' {other} ${HOME}"


def test_the_contracts_files_come_before_the_changed_ones_and_tests_before_what_they_need(root: Path) -> None:
    made(root, "tests/test_a.py", "tests/conftest.py", "src/b.py", "tests/test_b.py")
    contract = ("tests/conftest.py", "tests/test_a.py")
    assert fill("{files}", context("src/b.py", "tests/test_b.py", contract=contract), "r", root) == "tests/test_a.py"
    assert fill("{files}", context("src/b.py"), "r", root) == "src/b.py", "where none looks like a test, all of them"


def test_a_file_that_was_taken_away_again_is_left_out(root: Path) -> None:
    made(root, "tests/test_a.py")
    assert fill("{files}", context("tests/test_gone.py", "tests/test_a.py"), "r", root) == "tests/test_a.py"
    assert fill("run {files}", context("tests/test_gone.py"), "r", root) == "run "


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_a b.py",
        "tests/test_'quote'.py",
        "tests/test_$(touch x).py",
        "tests/test_`id`.py",
        "tests/test_;rm.py",
        "tests/test_{report}.py",
        "tests/test_{files}.py",
        "tests/test_\n.py",
        "tests/test_ü.py",
        '"tests/test_\\303\\050.py"',
    ],
)
def test_whatever_a_file_is_called_the_shell_reads_exactly_its_name(root: Path, name: str) -> None:
    on_disk = b"tests/test_\xc3\x28.py" if name.startswith('"') else os.fsencode(name)
    made(root, os.fsdecode(on_disk))
    filled = fill("printf '%s|' {files} {report}", context(name), "/run/it's here/r.xml", root)
    done = subprocess.run(["/bin/sh", "-c", filled], capture_output=True, check=True)
    assert done.stdout == on_disk + b"|/run/it's here/r.xml|"


def test_a_file_whose_name_looks_like_an_option_is_no_option(root: Path) -> None:
    made(root, "--ignore=a_test.py")
    assert shlex.split(fill("pytest {files}", context("--ignore=a_test.py"), "r", root))[1] == "./--ignore=a_test.py"


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/test_a.py", True),
        ("a_test.go", True),
        ("web/a.test.ts", True),
        ("web/a.spec.tsx", True),
        ("src/RowTest.java", True),
        ("spec/row_spec.rb", True),
        ("tests/conftest.py", False),
        ("src/a.py", False),
        ("test_dir/a.py", False),
    ],
)
def test_tests_are_told_by_the_names_that_runners_use(path: str, is_test: bool) -> None:
    assert looks_like_test(path) is is_test


def test_a_gate_is_told_what_changed_and_a_long_list_is_whole_in_a_file(tmp_path: Path) -> None:
    names = tuple(f"src/ü-{number:06}.py" for number in range(10_000))
    told = _told(context(*names), tmp_path, Path("/inside/run"))
    assert told["CODESWARM_CHANGED_FILES_PATH"] == "/inside/run/changed-files"
    assert (tmp_path / "changed-files").read_text().splitlines() == list(names)
    listed = told["CODESWARM_CHANGED_FILES"]
    assert len(listed.encode()) <= MAX_LIST_BYTES
    assert tuple(listed.splitlines()) == names[: len(listed.splitlines())], "cut between two names"
    assert (told["CODESWARM_TICKET"], told["CODESWARM_HEAD"]) == ("t1", COMMIT)
    short = _told(context("a", "b"), tmp_path, Path("/run"))
    assert short["CODESWARM_CHANGED_FILES"] == "a\nb"


# ── JUnit reports ──

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="5">
<testcase classname="tests.test_a" name="test_good" time="0.1" />
<testcase classname="tests.test_a" name="test_bad[x-1]"><failure message="assert">…</failure></testcase>
<testcase classname="tests.test_a" name="test_broken"><error message="boom" /></testcase>
<testcase classname="tests.test_a" name="test_skipped"><skipped type="pytest.skip" /></testcase>
<testcase name="no class"><failure /></testcase>
</testsuite></testsuites>
"""


def report(tmp_path: Path, data: str | bytes) -> Any:
    path = tmp_path / "report.xml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return _read_report(path)


def test_a_report_says_what_ran_what_failed_and_what_was_skipped(tmp_path: Path) -> None:
    found = report(tmp_path, JUNIT)
    assert found.ran == 4
    assert found.failing == ("tests.test_a::test_bad[x-1]", "tests.test_a::test_broken", "no class")
    assert found.skipped == ("tests.test_a::test_skipped",)


def test_a_real_report_of_pytest_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 0\n"
        "@pytest.mark.skip\ndef test_off(): pass\n@pytest.mark.parametrize('x', ['a b'])\ndef test_p(x): assert 0\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", "report.xml", "test_it.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
    found = _read_report(tmp_path / "report.xml")
    assert found is not None
    assert (found.ran, found.failing, found.skipped) == (
        3,
        ("test_it::test_bad", "test_it::test_p[a b]"),
        ("test_it::test_off",),
    )
    assert read_failing(done.stdout) == ("test_it.py::test_bad", "test_it.py::test_p[a b]")


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]><testsuite>&e;</testsuite>"""
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><testsuite>&f;</testsuite>'


@pytest.mark.parametrize(
    "data",
    [
        "",
        "not xml",
        "<testsuite>",
        BOMB,
        OUTSIDE,
        '<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><testsuite>&x;</testsuite>',
        '<?xml version="1.0" encoding="utf-32"?><testsuite/>',
        '<?xml version="1.0" encoding="no-such-thing"?><testsuite/>',
        '<?xml version="1.0" encoding="idna"?><testsuite/>',
        '<?xml version="1.0" encoding="rot13"?><testsuite/>',
        b"\x00\x01\x02",
        b"<testsuite>\xff\xfe</testsuite>",
        "<testsuite>&#xD800;</testsuite>",
        "<a/>" * 3,
    ],
)
def test_a_report_that_is_none_or_hostile_is_none(tmp_path: Path, data: str | bytes) -> None:
    assert report(tmp_path, data) is None


def test_a_report_that_is_not_there_is_a_link_or_is_too_long_is_none(tmp_path: Path) -> None:
    assert _read_report(tmp_path / "nowhere.xml") is None
    (tmp_path / "real.xml").write_text(JUNIT)
    (tmp_path / "link.xml").symlink_to(tmp_path / "real.xml")
    assert _read_report(tmp_path / "link.xml") is None
    with (tmp_path / "long.xml").open("wb") as file:
        file.truncate(MAX_REPORT_BYTES + 1)
    assert _read_report(tmp_path / "long.xml") is None
    os.mkfifo(tmp_path / "pipe.xml")
    assert _read_report(tmp_path / "pipe.xml") is None


def test_a_report_that_is_nested_very_deeply_is_read_or_not_but_does_no_harm(tmp_path: Path) -> None:
    deep = "<a>" * 100_000 + "<testcase name='x'/>" + "</a>" * 100_000
    found = report(tmp_path, deep)
    assert found is None or found.ran == 1


def test_a_report_of_very_many_failures_is_told_up_to_a_bound(tmp_path: Path) -> None:
    cases = "".join(f'<testcase name="{"x" * 600}{number}"><failure/></testcase>' for number in range(3))
    many = "".join(f'<testcase name="t{number}"><failure/></testcase>' for number in range(2 * MAX_FAILING))
    assert [len(name) for name in report(tmp_path, f"<s>{cases}</s>").failing] == [MAX_NAME]
    assert len(report(tmp_path, f"<s>{many}</s>").failing) == MAX_FAILING


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(JUNIT.encode())), st.binary(max_size=6), st.integers(0, 30))
def test_a_garbled_report_is_read_or_not_but_never_fails(place: int, noise: bytes, gone: int) -> None:
    import tempfile

    data = JUNIT.encode()
    with tempfile.TemporaryDirectory() as folder:
        found = report(Path(folder), data[:place] + noise + data[place + gone :])
    assert found is None or found.ran >= 0


# ── names of failing tests in plain output ──


@pytest.mark.parametrize(
    ("runner", "log", "failing"),
    [
        (
            "pytest",
            "FAILED tests/test_a.py::test_x - AssertionError: no\n"
            "FAILED tests/test_a.py::test_y[a b] - assert 'x' == 'y - z'\n"
            "ERROR tests/test_b.py - ImportError\nFAILED tests/test_c.py::test_z\n1 failed",
            ("tests/test_a.py::test_x", "tests/test_a.py::test_y[a b]", "tests/test_b.py", "tests/test_c.py::test_z"),
        ),
        (
            "go test",
            "--- FAIL: TestAdd (0.00s)\n    --- FAIL: TestAdd/negative (0.01s)\n        x_test.go:7: no\nFAIL\n",
            ("TestAdd", "TestAdd/negative"),
        ),
        ("cargo test", "test rows::tests::keeps ... FAILED\ntest rows::tests::ok ... ok\n", ("rows::tests::keeps",)),
        ("TAP", "ok 1 - good\nnot ok 2 - keeps the rows\n", ("keeps the rows",)),
        ("jest", "  ✓ good (3 ms)\n  ✕ keeps rows (12 ms)\n  ✕ is slow (1.2 s)\n", ("keeps rows", "is slow")),
        ("vitest", "   × src/a.test.ts > rows > keeps 12ms\n", ("src/a.test.ts > rows > keeps",)),
        ("nothing known", "Segmentation fault\n", ()),
        (
            "unittest",
            "F\n======\nFAIL: test_two (test_it.T.test_two)\n-----\nTraceback\nERROR: test_it"
            " (unittest.loader._FailedTest.test_it)\nFAIL: test_all (test_it.T.test_all) (i=1)\n\n"
            "FAILED (failures=2, errors=1)\n",
            (
                "test_two (test_it.T.test_two)",
                "test_it (unittest.loader._FailedTest.test_it)",
                "test_all (test_it.T.test_all) (i=1)",
            ),
        ),
        (
            "node",
            "✔ even (0.3ms)\n✖ odd (1.25ms)\nℹ fail 1\n\n✖ failing tests:\n\ntest at a.test.js:2:1\n✖ odd (1.25ms)\n",
            ("odd",),
        ),
        ("bun", "a.test.ts:\n(fail) adds > two [0.12ms]\n 1 fail\n", ("adds > two",)),
        ("ctest", "The following tests FAILED:\n\t  1 - first (Failed)\n\t  3 - third (Timeout)\n", ("first", "third")),
        (
            "maven",
            "[ERROR] ATest.two:2 expected: <3> but was: <2>\n[ERROR]   inner.BTest.one:17 expected\n"
            "[ERROR] Tests run: 2\n[ERROR] Failed to execute goal org.apache:plugin:3.2.5:test (default-test)\n",
            ("ATest.two", "inner.BTest.one"),
        ),
        ("docker", "ERROR: failed to solve: no such image\n", ()),
    ],
)
def test_failing_tests_are_named_as_their_runner_names_them(runner: str, log: str, failing: tuple[str, ...]) -> None:
    assert read_failing(log.encode()) == failing, runner


def test_a_name_is_told_once_and_no_name_is_endless() -> None:
    assert read_failing(b"FAILED a\nFAILED a\nFAILED b\n") == ("a", "b")
    ((name),) = read_failing(b"FAILED " + b"x" * 10_000)
    assert len(name) == MAX_NAME
    assert len(read_failing(b"".join(b"FAILED t%d\n" % number for number in range(2000)))) == MAX_FAILING


@pytest.mark.parametrize(
    "log",
    [
        b"\n" * (4 << 20),
        b" " * (4 << 20),
        b" \n" * (2 << 20),
        "  ✕ ".encode() + b"1 " * (2 << 20),
        b"FAILED " + b" - " * (1 << 20),
        b"\t" * (1 << 20) + b"--- FAIL:" + b"\t" * (1 << 20),
        b"\xff\x00" * (1 << 20),
    ],
)
def test_output_made_to_hurt_is_searched_in_reasonable_time(log: bytes) -> None:
    began = time.monotonic()
    read_failing(log)
    assert time.monotonic() - began < 10


# ── a gate's own result ──


def test_findings_and_failing_tests_may_be_told_in_the_result_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"findings": [{"file": "a.py", "text": "no"}], "failing": ["t1", "t1", "t2"]}))
    found = _read_result(path)
    assert (found["findings"][0].text, found["failing"]) == ("no", ("t1", "t2"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"findings": 3}',
        b'{"findings": [3]}',
        b'{"failing": "all"}',
        b'{"failing": [3]}',
        b'{"failing": NaN}',
    ],
)
def test_a_result_that_is_malformed_is_no_answer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(data)
    assert not any(_read_result(path).values())


def test_a_result_that_is_no_file_is_no_answer(tmp_path: Path) -> None:
    assert _read_result(tmp_path / "nowhere") == {}
    (tmp_path / "folder").mkdir()
    assert _read_result(tmp_path / "folder") == {}
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert _read_result(tmp_path / "link") == {}


# ── running them ──


class Bench:
    """A place to run gates in, without walls."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder / f"attempt-{os.getpid()}")  # what runs in it is ended by this name
        self.place.create()
        (folder / "home").mkdir()
        box = Box(f"gate-{folder.name}", self.place.files, folder / "home", self.place.run, self.place.tmp)
        self.workspace = Workspace(self.place, View.of_checkout(self.place), box, {"PATH": os.defpath})
        self.logs: list[bytes] = []

    async def store(self, log: bytes) -> str:
        self.logs.append(log)
        return hashlib.sha256(log).hexdigest()

    async def run(self, *commands: GateCommand) -> tuple[GateRun, ...]:
        runner = GateRunner(NoSandbox(), SystemClock(), self.store)
        return await runner.run(self.workspace, commands, context("src/a.py"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def gate(command: str, name: str = "fast", **fields: Any) -> GateCommand:
    return GateCommand(name=name, command=command, **fields)


@pytest.mark.parametrize(
    ("command", "outcome", "code"),
    [
        ("exit 0", "green", 0),
        ("exit 75", "unavailable", 75),
        ("exit 1", "red", 1),
        ("exit 255", "red", 255),
        ("kill -TERM $$", "red", None),
        ("kill -KILL $$", "unavailable", None),  # somebody else did that, such as a kernel short of memory
    ],
)
async def test_exit_0_is_green_75_could_not_run_and_all_else_is_red(
    bench: Bench, command: str, outcome: str, code: int | None
) -> None:
    (run,) = await bench.run(gate(command))
    assert (run.outcome, run.exit_code) == (outcome, code)


async def test_a_gate_that_does_not_end_is_red_and_says_so(bench: Bench) -> None:
    (run,) = await bench.run(gate("sleep 600 & sleep 600", timeout_s=0.2))
    assert (run.outcome, run.exit_code) == ("red", None)
    assert run.reason == "did not end within 0.2 s and was ended"


async def test_commands_run_in_order_up_to_the_first_that_is_not_green(bench: Bench) -> None:
    runs = await bench.run(gate("echo one"), gate("echo FAILED t::x; exit 1"), gate("echo three"))
    assert [run.outcome for run in runs] == ["green", "red"]
    assert runs[1].failing == ("t::x",)
    assert bench.logs == [b"one\n", b"FAILED t::x\n"]
    assert runs[0].log == hashlib.sha256(b"one\n").hexdigest()


async def test_on_a_base_that_was_red_what_stands_behind_a_named_failure_runs_too(bench: Bench) -> None:
    red = "echo FAILED t::old; exit 1"
    runs = await bench.run(gate(red, red_may_pass=True), gate("true", red_may_pass=True))
    assert [run.outcome for run in runs] == ["red", "green"]
    runs = await bench.run(gate("exit 1", red_may_pass=True), gate("true"))
    assert len(runs) == 1, "a red that names no test can't be forgiven, and costs no more time"
    runs = await bench.run(gate("exit 75", red_may_pass=True), gate("true"))
    assert len(runs) == 1


async def test_green_output_names_no_failing_tests(bench: Bench) -> None:
    (run,) = await bench.run(gate("echo FAILED but never mind"))
    assert run.failing == ()


WRITE = "cat > {report} <<'X'\n%s\nX\n"


@pytest.mark.parametrize(
    ("then", "outcome", "reason"),
    [
        (WRITE % "<s><testcase name='a'/></s>", "green", ""),
        ("true {report}", "red", "exited with 0, but left no report that can be read"),
        (WRITE % "<s/>", "red", "exited with 0, but its report shows that no test ran"),
        (
            WRITE % "<s><testcase name='a'/><testcase name='b'><skipped/></testcase></s>",
            "red",
            "exited with 0, but skipped b",
        ),
    ],
)
async def test_each_contract_test_must_have_run(bench: Bench, then: str, outcome: str, reason: str) -> None:
    (run,) = await bench.run(gate(then, name="contract"))
    assert (run.outcome, run.reason) == (outcome, reason)


async def test_another_gate_is_believed_without_a_report(bench: Bench) -> None:
    (run,) = await bench.run(gate("true {report}"))
    assert run.outcome is GateOutcome.GREEN


async def test_a_report_names_the_failing_tests_before_the_output_does(bench: Bench) -> None:
    told = "echo FAILED from the output; " + WRITE % "<s><testcase name='a'><failure/></testcase></s>" + "exit 1"
    (run,) = await bench.run(gate(told))
    assert (run.failing, run.tests) == (("a",), 1)


async def test_what_one_command_left_is_not_taken_for_the_next_ones(bench: Bench) -> None:
    first = WRITE % "<s><testcase name='a'/></s>" + 'echo "{}" > "$CODESWARM_RESULT"'
    runs = await bench.run(gate(first, name="contract"), gate("true {report}", name="contract"))
    assert [run.outcome for run in runs] == ["green", "red"]
    in_the_way = "mkdir -p {report}/x $CODESWARM_RESULT/x"
    runs = await bench.run(gate(in_the_way), gate(WRITE % "<s><testcase name='a'/></s>", name="contract"))
    assert [run.outcome for run in runs] == ["green", "green"]


async def test_a_gate_is_told_its_cause(bench: Bench) -> None:
    (run,) = await bench.run(gate('echo "$CODESWARM_SESSION $CODESWARM_TICKET $CODESWARM_CHANGED_FILES"; pwd'))
    assert bench.logs[0].decode().splitlines() == ["s1 t1 src/a.py", str(bench.place.files)]
    assert run.duration_s >= 0
    assert len(run.environment) == 64
