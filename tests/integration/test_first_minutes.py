"""From a repository that nobody has told us about to a landed ticket: detected, shown, and working behind walls."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import SYSTEM_PATH, Place
from tests.support.terminal import Terminal

KIND = "bubblewrap" if probe().works else "none"
RED = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(2, 3)\n"
SAY_HELLO = "#!/bin/sh\necho hello > hello.txt\n"

KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "python": (
        "python3",
        {
            "tiny.py": "def two():\n    return 2\n",
            "tests/test_tiny.py": "import unittest\n\nimport tiny\n\n\nclass T(unittest.TestCase):\n"
            "    def test_two(self):\n        self.assertEqual(tiny.two(), 2)\n",
        },
    ),
    "pytest": (
        "pytest",
        {
            "tiny.py": "def two():\n    return 2\n",
            "tests/test_tiny.py": "import tiny\n\n\ndef test_two():\n    assert tiny.two() == 2\n",
        },
    ),
    "node": (
        "npm",
        {
            "package.json": '{"name": "tiny", "version": "1.0.0", "scripts": {"test": "node --test"}}\n',
            "two.test.js": "const test = require('node:test');\ntest('two', () => {});\n",
        },
    ),
    "go": (
        "go",
        {
            "go.mod": "module example.invalid/tiny\n\ngo 1.21\n",
            "two.go": "package tiny\n\nfunc Two() int { return 2 }\n",
            "two_test.go": 'package tiny\n\nimport "testing"\n\nfunc TestTwo(t *testing.T) {\n\tif Two() != 2 {\n'
            '\t\tt.Fatal("not two")\n\t}\n}\n',
        },
    ),
    "rust": (
        "cargo",
        {
            "Cargo.toml": '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": "pub fn two() -> i32 {\n    2\n}\n\n#[test]\nfn is_two() {\n    assert_eq!(two(), 2);\n}\n",
            ".gitignore": "target/\n",
        },
    ),
    "make": ("make", {"Makefile": "test:\n\t@test -f Makefile\n"}),
}


def a_place(root: Path, files: dict[str, str]) -> Place:
    """A repository, an agent that says hello, and toolchains of this machine on the PATH, but no HOME of ours."""
    place = Place(root)
    found = [shutil.which(name) for name in ("go", "cargo", "node", "npm")]
    folders = dict.fromkeys(str(Path(path).parent) for path in found if path)
    beside = [Path(path).parents[2] / ".rustup" for path in found[1:2] if path]  # where HOME is an empty one here, too
    rustups = [Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup"), *beside]
    rustup = next((path for path in rustups if path.is_dir()), None)
    place.environment |= {"RUSTUP_HOME": str(rustup)} if rustup else {}
    place.begin(files)
    interpreter = place.env()["PATH"].partition(":")[0]
    place.environment["PATH"] = ":".join((interpreter, *folders, SYSTEM_PATH))
    program(root / "agent.sh", SAY_HELLO)
    return place


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def with_a_pytest_of_their_own(place: Place) -> None:
    """Not the one beside Codeswarm, which is never taken for the project's."""
    path = place.root / "tools" / "pytest"
    program(path, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pytest "$@"\n')
    place.environment["PATH"] = f"{path.parent}:{place.env()['PATH']}"


def unusable(tool: str, place: Place) -> str | None:
    """Why a toolchain does not work with nothing of ours around it; None where it does."""
    found = shutil.which(tool, path=place.env()["PATH"])
    if found is None:
        return "it is not installed"
    asked = [found, "version" if tool == "go" else "--version"]
    done = subprocess.run(asked, env=place.env(), capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def go(place: Place, *more: str) -> list[str]:
    path = place.tickets([{"id": "hello", "title": "Say hello", "pipeline": "single"}])
    return ["run", "--tickets", str(path), "--agent", f"command:{place.root}/agent.sh", "--sandbox", KIND, *more]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_project_of_each_kind_lands_its_first_ticket_without_a_word_of_configuration(
    kind: str, tmp_path: Path
) -> None:
    tool, files = KINDS[kind]
    place = a_place(tmp_path, files)
    if kind == "pytest":
        with_a_pytest_of_their_own(place)
    if (why := unusable(tool, place)) is not None:
        pytest.skip(f"{tool} can't be used here: {why}")
    done = place.run(*go(place, "--save"))
    assert done.code == 0, done.out + done.err
    assert (place.repository / "hello.txt").read_text() == "hello\n"
    shown = place.run("config", "show").out
    assert "gates.fast" in shown
    assert "detected from " in shown


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_init_writes_a_file_that_config_check_takes_and_that_a_run_uses(kind: str, tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS[kind][1])
    done = place.run("init", "--yes")
    assert done.code == 0, done.err
    assert offered(done.out)[0].startswith("git add codeswarm.toml && git commit")
    settings = tomllib.loads((place.repository / "codeswarm.toml").read_text())
    assert settings["project"]["base"] == "main"
    place.git("add", "codeswarm.toml")
    place.git("commit", "-q", "-m", "Settings")
    assert place.run("config", "check").code == 0
    shown = {row["key"]: row for row in place.run("--json", "config", "show").json["settings"]}
    assert shown["gates.fast"] == {
        "key": "gates.fast",
        "value": settings["gates"]["fast"],
        "from": "codeswarm.toml",
    }


def test_the_pytest_that_codeswarm_came_with_is_not_taken_for_the_projects(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["pytest"][1])
    assert shutil.which("pytest", path=place.env()["PATH"]) == str(Path(sys.executable).with_name("pytest"))
    found = {row["key"]: row["value"] for row in place.run("--json", "init").json["settings"]}
    assert found["gates.fast"] == ".venv/bin/python -m pytest -q"
    assert str(found["workspace.setup"]).endswith(".venv/bin/python -m pip install -q pytest")
    (place.repository / "codeswarm.toml").unlink()
    with_a_pytest_of_their_own(place)
    found = {row["key"]: row["value"] for row in place.run("--json", "init").json["settings"]}
    assert found["gates.fast"] == "PYTHONPATH=. pytest -q"
    assert "workspace.setup" not in found


def test_projects_in_folders_land_a_ticket_on_the_tests_of_all_of_them(tmp_path: Path) -> None:
    files = {f"back/{name}": text for name, text in KINDS["python"][1].items()}
    place = a_place(tmp_path, {**files, "front/Makefile": "check:\n\ttest -f Makefile\n"})
    done = place.run(*go(place, "--save"))
    assert done.code == 0, done.out + done.err
    both = "(cd back && python3 -m unittest discover -s tests) && (cd front && make check)"
    assert f"gate green: `{both}` green" in done.out


def test_of_a_kind_that_is_known_by_name_only_the_usual_command_is_offered(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"gradlew": "#!/bin/sh\n", "build.gradle": ""})
    assert checks_of(place)["gate"]["fix"] == "codeswarm init --gate './gradlew test'   # or your own test command"
    assert "do: codeswarm init --gate './gradlew test' && git add" in place.run(*go(place)).err
    assert offered(place.run("init", "--yes").out)[0].startswith("codeswarm init --force --gate './gradlew test'")


def test_a_file_that_is_there_is_kept_and_the_difference_is_shown(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    mine = '[gates]\nfast = "make mine"\n'
    place.write({"codeswarm.toml": mine})
    done = place.run("init", "--yes")
    assert (done.code, (place.repository / "codeswarm.toml").read_text()) == (0, mine)
    assert '-fast = "make mine"' in done.out
    assert '+fast = "make test"' in done.out
    assert "codeswarm init --yes --force" in done.out
    assert place.run("init", "--yes", "--force").code == 0
    assert (place.repository / "codeswarm.toml.old").read_text() == mine
    assert "make test" in (place.repository / "codeswarm.toml").read_text()
    assert "up to date" in place.run("init", "--yes").out


def test_init_never_writes_through_a_link(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    (tmp_path / "elsewhere.toml").write_text("mine\n")
    (place.repository / "codeswarm.toml").symlink_to(tmp_path / "elsewhere.toml")
    done = place.run("init", "--yes", "--force")
    assert (done.code, (tmp_path / "elsewhere.toml").read_text()) == (2, "mine\n")


def test_what_was_detected_is_one_json_document(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["node"][1])
    found = place.run("--json", "init").json
    assert (found["kind"], found["outcome"], found["base"]["branch"]) == ("Node", "written", "main")
    assert {"key": "gates.fast", "value": "CI=true npm test", "from": "package.json", "why": "scripts.test"} in found[
        "settings"
    ]
    assert [agent["kind"] for agent in found["agents"]][:1] == ["claude"]


def test_without_a_terminal_and_without_a_gate_nothing_begins(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"README.md": "# It\n"})
    done = place.run(*go(place))
    assert done.code == 2
    assert "no gate was found" in done.err
    assert place.run("--json", "session", "list").json == []
    ungated = place.run(*go(place, "--no-gate"))
    assert ungated.code == 0, ungated.err
    assert "no-gate waived by" in place.run("work", "hello").out


def test_settings_of_the_person_stand_in_for_what_would_be_detected(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    place.environment["CODESWARM_GATES_FAST"] = "make all"
    shown = {row["key"]: row["from"] for row in place.run("--json", "config", "show").json["settings"]}
    assert shown == {"gates.fast": "environment", "swarm.workers": "environment"}, "what is set, and nothing detected"


def test_what_stands_in_a_link_or_in_a_huge_file_is_not_read(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"real.mk": "test:\n\ttrue\n", "package.json": '{"x": "' + "y" * (1 << 20) + '"}'})
    (place.repository / "Makefile").symlink_to("real.mk")
    place.git("add", "-A")
    place.git("commit", "-q", "-m", "A link")
    found = place.run("--json", "init").json
    assert "gates.fast" not in {setting["key"] for setting in found["settings"]}


def test_a_file_that_is_not_committed_yet_is_said_to_have_no_effect(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    place.write({"codeswarm.toml": '[gates]\nfast = "false"\n'})
    done = place.run(*go(place))
    assert done.code == 0, done.err
    assert "codeswarm.toml is not committed, so it has no effect yet" in done.out


def test_on_a_terminal_the_detected_settings_are_shown_and_asked_about(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    with Terminal(place, *go(place, "--approve", "none")) as terminal:
        terminal.until("use these settings? yes / no")
        terminal.type("no\n")
        assert terminal.end() == 2
        assert "make test   (Makefile: has a target test)" in terminal.text
    with Terminal(place, *go(place, "--approve", "none")) as terminal:
        terminal.until("use these settings? yes / no")
        terminal.type("yes\n")
        terminal.until("save to main?")
        terminal.type("yes\n")
        assert terminal.end() == 0
        last = terminal.text.rfind("saved: main is at")
        assert terminal.text.rfind("next: git log --oneline main") > last > terminal.text.rfind("d leaves it running")
    assert (place.repository / "hello.txt").is_file()


def test_a_gate_can_be_named_and_stands_in_the_file_as_the_persons_own_word(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"README.md": "# It\n"})
    without = place.run("init", "--yes").out
    assert offered(without)[0].startswith("codeswarm init --force --gate '! git grep -nE ")
    assert "codeswarm run 'write down what was asked' --agent command:../agent.sh --no-gate" in without
    assert place.run("init", "--yes", "--force", "--gate", "test -f README.md").code == 0
    text = (place.repository / "codeswarm.toml").read_text()
    assert '# as you said\nfast = "test -f README.md"' in text


def test_on_a_terminal_init_asks_for_the_gate_that_it_did_not_find_and_enter_means_yes(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"README.md": "# It\n"})
    with Terminal(place, "init") as terminal:
        terminal.until("such as `! git grep ")
        terminal.until("[none yet]: ")
        terminal.type("test -f README.md\n")
        terminal.until("write codeswarm.toml? yes / no [yes]? ")
        terminal.type("\n")
        assert terminal.end() == 0
    assert "test -f README.md" in (place.repository / "codeswarm.toml").read_text()


def test_what_holds_all_that_a_person_has_is_never_offered_to_become_a_repository(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"README.md": "# It\n"})
    (tmp_path / "plain").mkdir()
    home = place.run("-C", str(tmp_path / "home"), "init").err
    assert "do: git init my-project && cd my-project && git commit --allow-empty -m Begin" in home
    plain = place.run("-C", str(tmp_path / "plain"), "init").err
    assert f"do: git -C {tmp_path}/plain init && git -C {tmp_path}/plain add -A" in plain


def test_the_command_alone_fits_on_a_terminal_and_says_where_to_begin(tmp_path: Path) -> None:
    done = a_place(tmp_path, {"README.md": "# It\n"}).run()
    assert done.code == 0
    assert len(done.out.splitlines()) <= 20
    assert offered(done.out) == ["codeswarm doctor"]
    assert "codeswarm --help" in done.out


def test_ctrl_c_while_the_program_loads_is_not_answered_with_a_stack_trace(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"README.md": "# It\n"})
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    done = place.run("status", env={"PYTHONPATH": str(tmp_path)})
    assert (done.code, done.out, done.err) == (130, "", "")


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────


def checks_of(place: Place, **env: str) -> dict[str, dict[str, object]]:
    return {check["what"]: check for check in place.run("--json", "doctor", env=env).json["checks"]}


def test_doctor_names_the_gate_its_origin_and_the_next_step(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    assert checks_of(place)["gate"]["detail"] == "make test   (detected from Makefile)"
    for key in ("user.name", "user.email"):
        place.git("config", key, "ada@example.invalid")
    assert place.run("doctor").out.splitlines()[-1] == "next: codeswarm init"
    place.run("init", "--yes")
    place.git("add", "codeswarm.toml")
    place.git("commit", "-q", "-m", "Settings")
    assert offered(place.run("doctor").out)[-1].startswith("codeswarm run ")


def test_doctor_tells_of_the_persons_own_login_only_plan_and_expiry(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    login = place.root / "home" / ".claude" / ".credentials.json"
    login.parent.mkdir()
    login.write_text(
        '{"claudeAiOauth": {"accessToken": "hidden", "subscriptionType": "max", "expiresAt": 1800000000000}}'
    )
    shown = place.run("--json", "doctor").out
    assert "the plan max, until 2027-01-15 08:00 UTC" in shown
    assert "hidden" not in shown


def test_doctor_says_that_git_does_not_know_the_persons_name_before_a_commit_does(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    place.git("config", "user.useConfigOnly", "true")
    assert str(checks_of(place)["name"]["fix"]).startswith("git config --global user.name ")
    assert [line.split()[:2] for line in offered(place.run("doctor").out)] == [["git", "config"], ["codeswarm", "init"]]
    place.git("config", "user.name", "Ada")
    place.git("config", "user.email", "ada@example.invalid")
    assert "name" not in checks_of(place)


def test_doctor_says_that_a_place_can_not_be_written(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    blocked = tmp_path / "a-file"
    blocked.touch()
    found = checks_of(place, CODESWARM_WORKSPACES="/proc/nothing/here")["disk"]
    assert found["ok"] is False


# ── the whole road ───────────────────────────────────────────────────────────────────────────────────────────


def type_in(place: Place, command: str) -> str:
    """A line in a shell, as a person pastes it; what it printed."""
    program = place.root / "bin" / "codeswarm"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m codeswarm.cli "$@"\n')
        program.chmod(0o755)
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.invalid")):
            place.git("config", key, value)
    env = place.env({"PATH": f"{place.root}/bin:{place.env()['PATH']}", "CODESWARM_SANDBOX_KIND": KIND})
    argv = ["bash", "-c", command]
    done = subprocess.run(argv, cwd=place.repository, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def offered(text: str) -> list[str]:
    """What the product says to type now."""
    return re.findall(r"^(?:next|then): (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("kind", ["python", "node", "make"])
def test_who_types_only_what_the_product_says_gets_to_a_saved_ticket(kind: str, tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS[kind][1])
    if shutil.which(KINDS[kind][0], path=place.env()["PATH"]) is None:
        pytest.skip(f"{KINDS[kind][0]} is not installed here")
    assert "codeswarm doctor" in type_in(place, "codeswarm")
    typed, todo = ["codeswarm doctor"], offered(type_in(place, "codeswarm doctor"))
    while todo and len(typed) < 12:
        command = todo.pop(0)
        typed.append(command)
        todo = offered(type_in(place, command)) or todo
    assert typed[1] == "codeswarm init"
    assert typed[-2].startswith("codeswarm save ")
    assert typed[-1] == "git log --oneline main"
    assert "Write it down" in place.git("log", "--format=%s")
    assert (place.repository / "asked-hello.txt").is_file()


@pytest.mark.parametrize("files", [{"README.md": "# It\n", "docs/it.md": "It.\n"}, {"main.py": "print('it')\n"}])
def test_where_nothing_tests_anything_the_product_still_says_a_road_to_a_saved_ticket(
    files: dict[str, str], tmp_path: Path
) -> None:
    place = a_place(tmp_path, files)
    type_in(place, "codeswarm --version")
    typed, todo = [], offered(place.run("doctor").out)
    while todo and len(typed) < 12:
        typed.append(todo.pop(0))
        todo = offered(type_in(place, typed[-1])) or todo
    assert typed[0].startswith("codeswarm init --gate ")
    assert typed[-1] == "git log --oneline main"
    assert "Write it down" in place.git("log", "--format=%s")


def test_a_toolchain_that_is_missing_is_named_with_where_it_comes_from(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"justfile": "test:\n    true\n"})
    place.environment["PATH"] = SYSTEM_PATH
    assert checks_of(place)["toolchain"]["fix"] == "cargo install just"


def test_a_red_base_is_explained_with_three_ways_out_that_can_be_pasted(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"tests/test_two.py": RED})
    done = place.run(*go(place))
    assert done.code == 2
    name = "failing: test_two (test_two.T.test_two)\n"
    for part in ("exits with 1 on main as it is", "AssertionError: 2 != 3", name, "three ways out:"):
        assert part in done.out
    assert ("none of your variables" in done.out) == (KIND == "bubblewrap")
    (kept,) = re.findall(r"^all that it said: zless (\S+)$", done.out, re.MULTILINE)
    assert "AssertionError: 2 != 3" in gzip.decompress(Path(kept).read_bytes()).decode()
    same, allowed, ungated = (line.strip() for line in done.out.partition("three ways out:\n")[2].splitlines()[:3])
    assert "landed as" in type_in(place, allowed)
    assert "landed as" in type_in(place, ungated)
    place.write({"tests/test_two.py": RED.replace("3", "2")})
    place.git("commit", "-aqm", "Mend it")
    assert "landed as" in type_in(place, same)


SETUP = """\
[gates]
fast = "test -f made"
[workspace]
setup = "read word < lock && echo the lock says $word && test $word = good && touch made"
setup_inputs = ["lock"]
"""
BREAKS_IT_ONCE = """\
#!/bin/sh
if [ "$CODESWARM_ATTEMPT" = 1 ]; then echo bad > lock; else grep -q 'the lock says bad' && echo mended > hello.txt; fi
"""


def test_a_set_up_that_fails_on_the_base_is_told_at_once_with_ways_out_that_can_be_pasted(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"codeswarm.toml": SETUP.replace("-f made", "-f lock"), "lock": "bad\n"})
    done = place.run(*go(place))
    assert done.code == 2
    assert "@base-1         gate not run: the set-up `read word" in done.out
    assert "  the lock says bad\n" in done.out
    assert "exited with 1 on main as it is, before any agent's work" in done.out
    ways = [line.strip() for line in done.out.partition("three ways out:\n")[2].splitlines()[:3]]
    assert ways[0].startswith("codeswarm doctor")
    assert "landed as" in type_in(place, ways[2])


def test_who_breaks_the_set_up_is_told_so_and_may_try_again(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"codeswarm.toml": SETUP, "lock": "good\n", ".gitignore": "made\n"})
    (tmp_path / "agent.sh").write_text(BREAKS_IT_ONCE)
    done = place.run(*go(place, "--save"))
    assert done.code == 0, done.out + done.err
    assert "attempt 1 failed: setup_broken: the set-up `read word" in done.out
    assert (place.repository / "hello.txt").read_text() == "mended\n"
    assert (place.repository / "lock").read_text() == "good\n"


def test_the_examples_are_what_they_say(tmp_path: Path) -> None:
    place = a_place(tmp_path, KINDS["make"][1])
    type_in(place, "codeswarm example agent > ../agent.sh && codeswarm example tickets > ../tickets.yaml")
    run = "codeswarm run --tickets ../tickets.yaml --agent 'command:../agent.sh' --save"
    assert "2 of 2 tickets landed" in type_in(place, run)
