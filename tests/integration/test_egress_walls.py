"""The way out of a real sandbox: what runs inside reaches what is listed, by the proxy, and nothing else at all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from codeswarm.clock import SystemClock
from codeswarm.domain.settings import Patience
from codeswarm.egress.base import KEPT_OUTSIDE, Denied, Endpoint, Reached
from codeswarm.egress.way_out import PORT, Outlook, WayOut
from codeswarm.host import bare_interpreter
from codeswarm.sandbox.base import Box, Mount
from codeswarm.sandbox.bubblewrap import Bubblewrap, probe
from codeswarm.testing.model_server import ModelServer, Say
from codeswarm.worker.processes import Tables
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.transcript import Transcript
from codeswarm.worker.vitals import Vitals
from tests.support import real_clis
from tests.support.outside import Web, echo, host

PROBE = probe()
pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
SECRET = "sk-canary-0123456789abcdef"


@dataclass
class Inside:
    """A stage behind walls, and what its way out denied."""

    stage: WorkerStage
    way_out: WayOut
    denied: list[Denied]
    folder: Path
    heard: asyncio.Event
    """Set when a host is denied."""

    async def run(self, *argv: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        running = await self.stage.start(argv, env or {}, stderr=asyncio.subprocess.STDOUT)
        assert running.process.stdout is not None
        said = await running.process.stdout.read()
        return await running.process.wait(), said.decode()

    async def python(self, program: str, **env: str) -> str:
        python, _ = bare_interpreter()
        code, said = await self.run(str(python), "-c", program, env=env)
        assert code == 0, said
        return said.strip()


async def resolve(name: str, port: int) -> tuple[str, ...]:
    """The one name that leads anywhere is `web.test`, to loopback."""
    if name != "web.test":
        raise OSError(-2, "Name or service not known")
    return ("127.0.0.1",)


@asynccontextmanager
async def inside(folder: Path, *network: str, name: str = "box") -> AsyncIterator[Inside]:
    denied: list[Denied] = []
    heard = asyncio.Event()

    def deny(one: Denied) -> None:
        denied.append(one)
        heard.set()

    folders = ("workspace", "home", "run", "tmp")
    for one in folders:
        (folder / one).mkdir(exist_ok=True)
    _, shown = bare_interpreter()
    box = Box(f"{name}-{folder.name}", *(folder / one for one in folders), mounts=tuple(map(Mount, shown)))
    clock = SystemClock()
    way_out = WayOut(network, Outlook(("pypi.org",), resolving=resolve), folder / "way-out", clock, deny)

    async def saw(kind: str, match: object) -> None:
        raise AssertionError("nothing is waited for")

    async def ship(offset: int, data: bytes) -> int:
        return offset + len(data)

    transcript = Transcript(folder / "transcript", clock, ship)
    environment = {"HTTP_PROXY": "http://corporate.example:3128", "npm_config_proxy": "http://corporate.example:3128"}
    vitals = Vitals(Patience(), clock.monotonic())
    stage = WorkerStage(Bubblewrap(), box, environment, transcript, clock, saw, vitals, Tables(), way_out=way_out)
    try:
        yield Inside(stage, way_out, denied, folder, heard)
    finally:
        left = await stage.end_all()
        await transcript.close()
        assert left == ()


ASK = """
import json, os, urllib.request, urllib.error
try:
    with urllib.request.urlopen(os.environ["ASK"], timeout=20) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""


async def test_what_is_listed_is_reached_through_the_proxy_and_what_is_not_is_denied(tmp_path: Path) -> None:
    web = Web()
    async with host(web) as port, inside(tmp_path, f"web.test:{port}") as box:
        listed = await box.python(ASK, ASK=f"http://web.test:{port}/a")
        other = await box.python(ASK, ASK="http://evil.example/b")
    assert json.loads(listed) == [200, "hello"]
    assert json.loads(other)[0] == 403
    assert "forbidden: evil.example:80" in json.loads(other)[1]
    assert [denied.host for denied in box.denied] == ["evil.example:80"]


async def test_nothing_goes_out_beside_the_proxy(tmp_path: Path) -> None:
    connects = (
        "import socket\n"
        "for family, where in ((socket.AF_INET, ('127.0.0.1', {port})), (socket.AF_INET, ('192.0.2.1', 80)),"
        " (socket.AF_INET6, ('::1', {port})), (socket.AF_UNIX, '/codeswarm/way-out')):\n"
        "    with socket.socket(family) as one:\n"
        "        one.settimeout(5)\n"
        "        print(type(one.connect_ex(where)).__name__, one.connect_ex(where) == 0)\n"
        "try: print(socket.getaddrinfo('localhost.example', 80))\n"
        "except socket.gaierror: print('no names')\n"
    )
    async with host(echo) as port, inside(tmp_path, "*") as box:
        said = await box.python(connects.replace("{port}", str(port)))
    assert said.splitlines() == ["int False"] * 4 + ["no names"]


async def test_programs_are_told_of_this_proxy_and_of_no_other(tmp_path: Path) -> None:
    async with inside(tmp_path, "@agent") as box:
        found = dict(line.split("=", 1) for line in (await box.run("env"))[1].splitlines())
    names = [name for name in found if "proxy" in name.lower()]
    ours = f"http://127.0.0.1:{PORT}"
    assert {name: found[name] for name in names if "no_" not in name.lower() and "NODE" not in name} == dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), ours
    )
    assert "corporate.example" not in str(found)


async def test_the_program_is_what_it_would_be_without_a_relay(tmp_path: Path) -> None:
    """No process of ours stays inside, no descriptor, no signal that is ignored; a program that is missing says so."""
    async with inside(tmp_path, "@agent") as box:
        _, commands = await box.run(
            "/bin/sh", "-c", "cat /proc/[0-9]*/comm; ls /proc/self/fd; grep SigIgn /proc/self/status"
        )
        missing = await box.run("/no/such/program")
        code, _ = await box.run("/bin/sh", "-c", "exit 7")
    lines = commands.split()
    assert "python" not in commands
    assert int(lines[-1], 16) & ~_ignored() == 0, "it ignores nothing that we don't"
    assert lines[lines.index("0") : lines.index("SigIgn:")] == ["0", "1", "2", "3"]  # 3 is what ls reads
    assert missing == (127, "codeswarm: /no/such/program: No such file or directory\n")
    assert code == 7


def _ignored() -> int:
    """Signals that this process ignores, or whoever started it, as a mask."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16)  # type: ignore[index]


async def test_a_key_is_put_in_outside_and_is_nowhere_inside(tmp_path: Path) -> None:
    web = Web(body=f"you sent {SECRET}".encode())
    async with host(web) as port, inside(tmp_path, "@agent") as box:
        reached = box.stage.reach(Endpoint(f"http://127.0.0.1:{port}/base", "x-api-key", SECRET))
        ask = (
            "import os, urllib.request\n"
            "asked = urllib.request.Request(os.environ['URL'] + '/v1/messages?beta=true', b'{}', "
            "{'X-Api-Key': os.environ['KEY'], 'Authorization': 'Bearer stolen', 'Accept-Encoding': 'gzip'})\n"
            "print(urllib.request.urlopen(asked).read().decode())\n"
            "import glob\n"
            "for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
            "    assert os.environ['CANARY'][::-1] not in open(path, errors='replace').read()\n"
            "print(sorted(os.environ.items()))\n"
        )
        said = await box.python(ask, URL=reached.url, KEY=reached.secret, CANARY=SECRET[::-1])
    asked = web.asked[0].lower()
    assert asked.startswith(b"post /base/v1/messages?beta=true http/1.1\r\n")
    assert f"x-api-key: {SECRET}".encode() in asked
    assert b"stolen" not in asked
    assert b"accept-encoding: identity" in asked
    assert said.splitlines()[0] == "you sent " + "*" * len(SECRET)
    assert (SECRET in said, KEPT_OUTSIDE in said) == (False, True)


async def test_an_endpoint_is_reached_by_those_who_ask_their_proxy_for_loopback_too(tmp_path: Path) -> None:
    web = Web()
    tunnelled = (
        "import os, http.client\n"
        "line = http.client.HTTPConnection('127.0.0.1', {proxy})\n"
        "line.set_tunnel('127.0.0.1', {port})\n"
        "line.request('GET', '/v1/models', headers={'x-api-key': 'x'})\n"
        "print(line.getresponse().read().decode())\n"
        "line = http.client.HTTPConnection('127.0.0.1', {proxy})\n"
        "line.request('GET', 'http://localhost:{port}/v1/models', headers={'host': 'localhost:{port}'})\n"
        "print(line.getresponse().read().decode())\n"
    )
    async with host(web) as port, inside(tmp_path, "@agent") as box:
        reached = box.stage.reach(Endpoint(f"http://127.0.0.1:{port}", "authorization", SECRET, "Bearer"))
        said = await box.python(
            tunnelled.replace("{proxy}", str(PORT)).replace("{port}", reached.url.rpartition(":")[2])
        )
    assert said.split() == ["hello", "hello"]
    assert all(f"authorization: bearer {SECRET}".encode() in asked.lower() for asked in web.asked)


async def test_without_agent_in_the_list_its_endpoint_is_closed(tmp_path: Path) -> None:
    web = Web()
    async with host(web) as port, inside(tmp_path, "pypi.org") as box:
        reached = box.stage.reach(Endpoint(f"http://127.0.0.1:{port}", "x-api-key", SECRET))
        said = await box.python(ASK, ASK=f"{reached.url}/v1/models")
    assert (json.loads(said)[0], web.asked) == (403, [])
    assert [denied.host for denied in box.denied] == [f"127.0.0.1:{port}"]
    assert "@agent" in box.denied[0].hint


async def test_each_sandbox_of_an_attempt_has_a_door_and_the_next_one_can_not_speak_for_it(tmp_path: Path) -> None:
    web = Web()
    async with host(web) as port, inside(tmp_path, f"web.test:{port}") as box:
        ask = {"ASK": f"http://web.test:{port}/"}
        both = await asyncio.gather(*(box.python(ASK, **ask) for _ in range(3)))
        assert list((tmp_path / "way-out").iterdir()) == []
    assert both == ['[200, "hello"]'] * 3


async def test_nothing_is_left_when_a_stage_ends_in_the_middle_of_everything(tmp_path: Path) -> None:
    """The connection outside is closed, the door too, and no task or descriptor is left behind."""
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        while await reader.read(1000):
            pass
        gone.set()

    hold = (
        "import socket, sys\n"
        "line = socket.create_connection(('127.0.0.1', {proxy}))\n"
        "line.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n')\n"
        "while b'here' not in line.recv(1000): pass\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    before = set(Path("/proc/self/fd").iterdir())
    async with host(endless) as port, inside(tmp_path, f"127.0.0.1:{port}") as box:
        python, _ = bare_interpreter()
        program = hold.replace("{proxy}", str(PORT)).replace("{port}", str(port))
        running = await box.stage.start([str(python), "-c", program], {})
        assert running.process.stdout is not None
        assert await running.process.stdout.readline() == b"held\n"
        await box.stage.end_all()
        await gone.wait()
    assert len(set(Path("/proc/self/fd").iterdir())) <= len(before) + 2
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not asyncio.current_task()}  # type: ignore[union-attr]
    assert not any("Proxy" in name or "Door" in name or "_Talk" in name for name in names), names


async def test_a_folder_with_a_long_name_has_a_door_too(tmp_path: Path) -> None:
    """An address of a Unix socket has 107 bytes, and a path of ours may have more."""
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    web = Web()
    async with host(web) as port, inside(folder, f"web.test:{port}", name="long") as box:
        assert await box.python(ASK, ASK=f"http://web.test:{port}/") == '[200, "hello"]'


NOT_LISTED = Reached("https://model.example", "dummy")
KEYS = {"claude": ("x-api-key", ""), "codex": ("authorization", "Bearer"), "gemini": ("x-goog-api-key", "")}
CLIS = [
    pytest.param("claude", marks=real_clis.needs_claude),
    pytest.param("codex", marks=real_clis.needs_codex),
    pytest.param("gemini", marks=real_clis.needs_from_npm("gemini")),
]


def asking(cli: str, model: Reached, home: Path) -> tuple[list[str], dict[str, str], Path]:
    """A real CLI that says hello to a model: its command, its environment, and what it must see."""
    match cli:
        case "claude":
            environment = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": model.secret, "IS_SANDBOX": "1"}
            return [str(real_clis.claude()), "-p", "hello"], environment, Path(str(real_clis.claude()))
        case "codex":
            named = {"name": "x", "base_url": f"{model.url}/v1", "env_key": "OPENAI_API_KEY", "wire_api": "responses"}
            settings = [f"model_providers.x.{name}={json.dumps(value)}" for name, value in named.items()]
            words = [word for one in ('model_provider="x"', *settings) for word in ("-c", one)]
            argv = [str(real_clis.codex()), "exec", "--skip-git-repo-check", *words, "hello"]
            return argv, {"OPENAI_API_KEY": model.secret}, Path(argv[0])
    (home / ".gemini").mkdir()
    (home / ".gemini" / "settings.json").write_text('{"security": {"auth": {"selectedType": "gemini-api-key"}}}')
    environment = {"GOOGLE_GEMINI_BASE_URL": model.url, "GEMINI_API_KEY": model.secret}
    environment |= {"GEMINI_CLI_NO_RELAUNCH": "true", "PATH": real_clis.path_with_node()}
    return (
        [str(real_clis.from_npm("gemini")), "-p", "hello", "-m", "gemini-2.5-pro", "--skip-trust"],
        environment,
        real_clis.CLIS.parent,
    )


@pytest.mark.parametrize("cli", CLIS)
async def test_a_real_cli_asks_the_proxy_for_its_model(tmp_path: Path, cli: str) -> None:
    """It is denied: so it asked, and by no other way."""
    async with inside(tmp_path, "pypi.org") as box:
        argv, environment, shown = asking(cli, NOT_LISTED, tmp_path / "home")
        running = await box.stage.start(argv, environment, [shown], stderr=asyncio.subprocess.DEVNULL)
        assert running.process.stdin is not None
        running.process.stdin.close()
        while "model.example:443" not in {denied.host for denied in box.denied}:
            await box.heard.wait()
            box.heard.clear()


@pytest.mark.parametrize("cli", CLIS)
async def test_a_real_cli_reaches_its_model_with_a_key_that_it_does_not_have(tmp_path: Path, cli: str) -> None:
    header, scheme = KEYS[cli]
    async with ModelServer(lambda request: Say("hello yourself")) as server, inside(tmp_path, "@agent") as box:
        reached = box.stage.reach(Endpoint(server.url, header, SECRET, scheme))
        argv, environment, shown = asking(cli, reached, tmp_path / "home")
        running = await box.stage.start(argv, environment, [shown], stderr=asyncio.subprocess.STDOUT)
        assert running.process.stdin is not None
        assert running.process.stdout is not None
        running.process.stdin.close()
        said = (await running.process.stdout.read()).decode()
    assert "hello yourself" in said
    assert {request.headers[header] for request in server.requests} == {f"{scheme} {SECRET}".strip()}
