"""A project of each kind, with something that must be set up: detected, set up behind walls, gated, landed.

What they depend on lies in the repository, so that nothing is fetched; and no gate is green without the set-up.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer
from tests.integration.test_claude_swarm import LIBRARY
from tests.integration.test_first_minutes import KIND, SAY_HELLO, a_place, offered, type_in, unusable
from tests.support.planner_script import SPEC, PlannerScript
from tests.support.runs import SYSTEM_PATH, Place

PROBE = probe()
USES_IT = "import unittest\n\nimport two\n\n\nclass T(unittest.TestCase):\n    def test_two(self):\n"
USES_IT += "        self.assertEqual(two.TWO, 2)\n"


def a_wheel() -> bytes:
    """A package called `two`, to be installed from a file."""
    told = {
        "two.py": "TWO = 2\n",
        "two-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: two\nVersion: 1.0\n",
        "two-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "two-1.0.dist-info/RECORD": "",
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name, text in told.items():
            file.writestr(name, text)
    return held.getvalue()


WHEEL = {"vendor/two-1.0-py3-none-any.whl": a_wheel()}
NODE_LOCK = {
    "name": "tiny",
    "version": "1.0.0",
    "lockfileVersion": 3,
    "requires": True,
    "packages": {
        "": {"name": "tiny", "version": "1.0.0", "dependencies": {"two": "file:./two"}},
        "node_modules/two": {"resolved": "two", "link": True},
        "two": {"version": "1.0.0"},
    },
}
GO_TEST = 'package tiny\n\nimport (\n\t"testing"\n\n\t"example.invalid/two"\n)\n\nfunc TestTwo(t *testing.T) {\n'
GO_TEST += '\tif two.Two() != 2 {\n\t\tt.Fatal("not two")\n\t}\n}\n'


@dataclass(frozen=True)
class Project:
    tool: str
    files: dict[str, str | bytes]
    setup: str
    """How the set-up that is detected begins."""
    makes: str
    """What it makes in a workspace: ignored by git, seen by the gate."""
    prepare: tuple[str, ...] = ()
    """What a person would have run before the first commit."""
    ignored: tuple[str, ...] = ()


PROJECTS = {
    "pip": Project(
        "python3",
        {"requirements.txt": "./vendor/two-1.0-py3-none-any.whl\n", "tests/test_it.py": USES_IT, **WHEEL},
        "python3 -m venv .venv",
        ".venv",
    ),
    "uv": Project(
        "uv",
        {
            "pyproject.toml": '[project]\nname = "tiny"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
            'dependencies = ["two"]\n[tool.uv]\npackage = false\n'
            '[tool.uv.sources]\ntwo = { path = "vendor/two-1.0-py3-none-any.whl" }\n',
            "tests/test_it.py": USES_IT,
            **WHEEL,
        },
        "uv sync --frozen",
        ".venv",
        ("uv", "lock", "--offline", "--quiet"),
        (".venv",),
    ),
    "npm": Project(
        "npm",
        {
            "package.json": json.dumps(
                {
                    "name": "tiny",
                    "version": "1.0.0",
                    "scripts": {"test": "node --test it.test.js"},
                    "dependencies": {"two": "file:./two"},
                }
            ),
            "package-lock.json": json.dumps(NODE_LOCK),
            "two/package.json": '{"name": "two", "version": "1.0.0"}\n',
            "two/index.js": "module.exports = 2;\n",
            "it.test.js": "require('node:test')('two', () => require('node:assert').equal(require('two'), 2));\n",
        },
        "npm ci",
        "node_modules",
        ignored=("node_modules",),
    ),
    "go": Project(
        "go",
        {
            "go.mod": "module example.invalid/tiny\n\ngo 1.21\n\nrequire example.invalid/two v1.0.0\n\n"
            "replace example.invalid/two => ./two\n",
            "two/go.mod": "module example.invalid/two\n\ngo 1.21\n",
            "two/two.go": "package two\n\nfunc Two() int { return 2 }\n",
            "it_test.go": GO_TEST,
        },
        "mkdir -p .go",
        ".go/cache",
    ),
    "rust": Project(
        "cargo",
        {
            "Cargo.toml": '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2021"\n\n'
            '[dependencies]\ntwo = { path = "two" }\n',
            "src/lib.rs": "#[test]\nfn is_two() {\n    assert_eq!(two::two(), 2);\n}\n",
            "two/Cargo.toml": '[package]\nname = "two"\nversion = "0.1.0"\nedition = "2021"\n',
            "two/src/lib.rs": "pub fn two() -> i32 {\n    2\n}\n",
        },
        'CARGO_HOME="$PWD/.cargo-home" cargo fetch',
        ".cargo-home/.gitignore",
        ignored=("target", "Cargo.lock"),
    ),
}


def begun(root: Path, project: Project) -> Place:
    plain = {name: text for name, text in project.files.items() if isinstance(text, str)}
    place = a_place(root, plain | {".gitignore": "__pycache__/\n" + "".join(f"{n}\n" for n in project.ignored)})
    if why := unusable(project.tool, place):
        pytest.skip(f"{project.tool} can't be used here: {why}")
    for name, content in project.files.items():
        if isinstance(content, bytes):
            (place.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (place.repository / name).write_bytes(content)
    if project.prepare:
        subprocess.run(project.prepare, cwd=place.repository, env=place.env(), check=True)
    place.git("add", "-A")
    place.git("commit", "-q", "--allow-empty", "-m", "What it depends on")
    return place


@pytest.mark.parametrize("kind", sorted(PROJECTS))
def test_the_detected_set_up_and_gate_really_run_on_the_road_to_a_landed_ticket(kind: str, tmp_path: Path) -> None:
    project = PROJECTS[kind]
    place = begun(tmp_path, project)
    (tmp_path / "agent.sh").write_text(SAY_HELLO + f"test -e {project.makes} && echo 'it is set up' >> hello.txt\n")
    commit = offered(type_in(place, "codeswarm init"))[0]
    settings = tomllib.loads((place.repository / "codeswarm.toml").read_text())
    assert settings["workspace"]["setup"].startswith(project.setup)
    type_in(place, commit)
    told = type_in(place, f"codeswarm run --tickets {tickets(place)} --agent 'command:../agent.sh'")
    assert f"gate green: `{settings['gates']['fast']}` green" in told
    assert type_in(place, offered(told)[-1]).startswith("saved: main is at")
    assert (place.repository / "hello.txt").read_text() == "hello\nit is set up\n"
    assert place.git("status", "--short") == ""


def tickets(place: Place) -> Path:
    return place.tickets([{"id": "hello", "title": "Say hello", "pipeline": "single"}])


def test_what_the_person_has_told_their_clients_reaches_set_up_and_agents_but_no_gate(tmp_path: Path) -> None:
    place = a_place(
        tmp_path,
        {
            "codeswarm.toml": '[gates]\nfast = "test -z \\"$PIP_INDEX_URL\\" && grep -q CERTIFICATE made"\n'
            '[workspace]\nsetup = "cat $SSL_CERT_FILE > made && test -z \\"$HTTPS_PROXY\\""\n',
            ".gitignore": "made\n",
        },
    )
    (tmp_path / "agent.sh").write_text("#!/bin/sh\necho $PIP_INDEX_URL > hello.txt\n")
    (tmp_path / "home" / "company.pem").write_text("CERTIFICATE\n")
    place.environment |= {
        "SSL_CERT_FILE": str(tmp_path / "home" / "company.pem"),
        "HTTPS_PROXY": "http://ada:hidden@proxy.invalid:3128",
        "PIP_INDEX_URL": "https://mirror.invalid/simple",
    }
    told = place.run("doctor").out
    assert "ok  registries: set-up and agents are told your PIP_INDEX_URL, SSL_CERT_FILE" in told
    assert "--  registries: your HTTPS_PROXY holds a password, so set-up and agents are not told of it" in told
    words = ["run", "--tickets", str(tickets(place)), "--agent", f"command:{tmp_path}/agent.sh", "--sandbox", KIND]
    done = place.run(*words, "--save")
    assert done.code == 0, done.out + done.err
    assert (place.repository / "hello.txt").read_text() == "https://mirror.invalid/simple\n"


# ── the program as it is installed ───────────────────────────────────────────────────────────────────────────


def installed(root: Path) -> Path:
    """The folder of `codeswarm`, from a wheel of this checkout in an environment of its own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    checkout = Path(__file__).parents[2]
    build = ["wheel", str(checkout), "--no-deps", "--no-build-isolation", "--wheel-dir", str(root / "dist")]
    subprocess.run([*pip, *build], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
    (wheel,) = (root / "dist").glob("*.whl")
    python = root / "venv" / "bin" / "python"
    install = ["install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "--quiet", *install], check=True)
    (site,) = (root / "venv" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")  # what it depends on is not fetched again
    return python.parent


@pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
@pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it")
@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="no hatchling to build a wheel with")
async def test_the_wheel_goes_from_a_specification_to_saved_commits_with_claude(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.begin({name: text for name, text in LIBRARY.items() if name != "codeswarm.toml"})
    place.git("config", "user.name", "Ada")
    place.git("config", "user.email", "ada@example.invalid")
    bin_ = await asyncio.to_thread(installed, tmp_path)
    (tmp_path / "spec.md").write_text(SPEC)
    place.environment["PATH"] = f"{bin_}:{Path(sys.executable).parent}:{SYSTEM_PATH}"
    script = PlannerScript()
    async with ModelServer(script) as server:
        place.environment |= server.environment("claude")

        async def type_here(command: str) -> str:
            argv = ["bash", "-c", command]
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=place.repository, env=place.env(), stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
            assert process.returncode == 0, (command, out.decode(), err.decode())
            return out.decode()

        where = await type_here("python -c 'import codeswarm; print(codeswarm.__file__)'")
        assert where.startswith(str(tmp_path / "venv")), "the wheel is what runs, not the checkout"
        assert (await type_here("codeswarm")).splitlines()[-1] == "next: codeswarm doctor"
        assert offered(await type_here("codeswarm doctor")) == ["codeswarm init"]
        next_, then = offered(await type_here("codeswarm init"))
        assert then == 'codeswarm run "WHAT YOU WANT"'
        await type_here(next_)
        told = await type_here("codeswarm run --spec ../spec.md")
        assert "3 of 3 tickets landed" in told
        assert (await type_here(offered(told)[-1])).startswith("saved: main is at")
    assert script.refused == []
    assert "def t3" in (place.repository / "lib.py").read_text()
