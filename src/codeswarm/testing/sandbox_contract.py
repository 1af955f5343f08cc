"""What every sandbox does. Subclass `SandboxContract` with a fixture `sandbox`; `Walled` adds what walls promise."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from codeswarm.sandbox.base import Box, Limits, Mount, Sandbox
from codeswarm.sandbox.marks import MARK, end_marked, marked

PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def make_box(root: Path) -> Box:
    """A box in a test's own folder; named after this process, since others may run the same test now."""
    workspace, home, run_, tmp = (root / part for part in ("workspace", "home", "run", "tmp"))
    for folder in (workspace, home, run_, tmp):
        folder.mkdir(parents=True, exist_ok=True)
    return Box(f"test-box-{os.getpid()}", workspace, home, run_, tmp)


async def run(sandbox: Sandbox, box: Box, script: str, **env: str) -> tuple[int, str]:
    """Run a shell script inside to its end: exit code and output."""
    running = await sandbox.start(box, ["/bin/sh", "-c", script], {**PATH, **env}, stderr=asyncio.subprocess.STDOUT)
    out, _ = await running.process.communicate(b"")
    assert await running.end() == ()
    assert running.process.returncode is not None
    return running.process.returncode, out.decode(errors="replace")


class SandboxContract:
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        raise NotImplementedError("give the suite a fixture `sandbox`")

    @pytest.fixture
    def box(self, tmp_path: Path) -> Box:
        return make_box(tmp_path)

    async def test_it_runs_in_the_workspace_with_its_own_home_and_tmpdir(self, sandbox: Sandbox, box: Box) -> None:
        code, out = await run(sandbox, box, 'pwd; echo "$HOME"; echo "$TMPDIR"; echo $WORD; exit 7', WORD="given")
        inside = sandbox.inside(box)
        assert (code, out.split()) == (7, [str(inside.workspace), str(inside.home), str(inside.tmp), "given"])

    async def test_what_it_writes_stays_in_the_workspace(self, sandbox: Sandbox, box: Box) -> None:
        code, _ = await run(sandbox, box, 'echo one > file; echo two > "$HOME/kept"; echo three > "$TMPDIR/scratch"')
        assert code == 0
        assert (box.workspace / "file").read_text() == "one\n"
        assert (box.home / "kept").read_text() == "two\n"
        assert (box.tmp / "scratch").read_text() == "three\n"

    async def test_the_environment_of_the_host_does_not_come_along(
        self, sandbox: Sandbox, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_OF_THE_HOST", "canary")
        _, out = await run(sandbox, box, "env")
        assert "canary" not in out

    async def test_standard_input_and_output_are_pipes(self, sandbox: Sandbox, box: Box) -> None:
        running = await sandbox.start(box, ["/bin/cat"], PATH)
        out, _ = await running.process.communicate(b"through the wall")
        assert out == b"through the wall"
        assert await running.end() == ()

    async def test_a_death_by_signal_is_told(self, sandbox: Sandbox, box: Box) -> None:
        code, _ = await run(sandbox, box, "kill -9 $$")
        assert code in (-9, 137)

    async def test_ending_it_ends_everything_that_it_started(self, sandbox: Sandbox, box: Box) -> None:
        script = "trap '' TERM INT HUP; (setsid sleep 1000 &) ; sleep 1000 & echo started; wait; sleep 1000"
        running = await sandbox.start(box, ["/bin/sh", "-c", script], {**PATH, "MARK_OF_TEST": box.name})
        assert running.process.stdout is not None
        assert await running.process.stdout.readline() == b"started\n"
        assert alive_with(b"MARK_OF_TEST=" + box.name.encode())
        assert await running.end() == ()
        assert alive_with(b"MARK_OF_TEST=" + box.name.encode()) == []
        assert await running.end() == ()

    async def test_what_outlives_the_main_process_is_ended_too(self, sandbox: Sandbox, box: Box) -> None:
        script = "setsid sleep 1000 >/dev/null 2>&1 & exit 0"
        running = await sandbox.start(box, ["/bin/sh", "-c", script], {**PATH, "MARK_OF_TEST": box.name + "-b"})
        assert await running.process.wait() == 0
        assert await running.end() == ()
        assert alive_with(b"MARK_OF_TEST=" + box.name.encode() + b"-b") == []

    async def test_its_processes_are_found_by_the_name_of_the_box(self, sandbox: Sandbox, box: Box) -> None:
        """Whoever started them may be dead."""
        running = await sandbox.start(box, ["/bin/cat"], PATH)
        assert running.process.pid in marked(box.name)
        assert end_marked(box.name) == ()
        assert await running.end() == ()

    async def test_an_extra_mount_is_readable_inside(self, sandbox: Sandbox, tmp_path: Path) -> None:
        tool = tmp_path / "tools" / "tool"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\necho tool\n")
        tool.chmod(0o755)
        plain = make_box(tmp_path)
        box = Box(plain.name, plain.workspace, plain.home, plain.run, plain.tmp, mounts=(Mount(tool.parent),))
        assert await run(sandbox, box, str(tool)) == (0, "tool\n")


class Walled(SandboxContract):
    """What a sandbox with walls promises on top."""

    async def test_the_system_can_be_read_but_not_written(self, sandbox: Sandbox, box: Box) -> None:
        code, out = await run(
            sandbox, box, "ls /usr/bin/env && touch /usr/bin/x || echo refused; touch /etc/x || echo no"
        )
        assert code == 0
        assert "refused" in out
        assert "no" in out.split()

    async def test_the_persons_home_is_not_there(self, sandbox: Sandbox, box: Box, tmp_path: Path) -> None:
        secret = Path.home() / f".codeswarm-canary-{os.getpid()}"
        secret.write_text("canary")
        try:
            _, out = await run(sandbox, box, f"cat {secret}; ls -a {Path.home()} /root /home; cat {tmp_path}/../x")
        finally:
            secret.unlink()
        assert "canary" not in out.replace(str(secret), "")

    async def test_the_mark_of_its_processes_stays_outside(self, sandbox: Sandbox, box: Box) -> None:
        _, out = await run(sandbox, box, "env")
        assert MARK not in out

    async def test_processes_of_the_host_are_not_seen(self, sandbox: Sandbox, box: Box) -> None:
        _, out = await run(sandbox, box, "ls /proc | grep -E '^[0-9]+$' | wc -l")
        assert int(out) < 10

    async def test_without_network_nothing_of_the_host_answers(self, sandbox: Sandbox, box: Box) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            connect = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 2)'"
            code, _ = await run(sandbox, box, connect)
            assert code != 0
            with_network = Box(box.name, box.workspace, box.home, box.run, box.tmp, network=True)
            code, out = await run(sandbox, with_network, connect)
            assert (code, out) == (0, "")

    async def test_it_has_no_capabilities_and_can_gain_none(self, sandbox: Sandbox, box: Box) -> None:
        _, out = await run(sandbox, box, "grep CapEff /proc/self/status; unshare -Ur true && echo gained; id -u")
        assert "0000000000000000" in out
        assert "gained" not in out
        assert out.split()[-1] == "1000"

    async def test_system_calls_are_filtered(self, sandbox: Sandbox, box: Box) -> None:
        if lacks := sandbox.lacks(Limits()):
            pytest.skip(lacks[0].why)
        seen = "grep Seccomp: /proc/self/status"
        vsock = "python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)' 2>&1 | grep -o 'not supported'"
        bits = "touch f; chmod 4755 f 2>/dev/null || echo refused; chmod 2755 f && stat -c %a f"
        _, out = await run(sandbox, box, f"{seen}; {vsock}; {bits}")
        assert out.split() == ["Seccomp:", "2", "not", "supported", "refused", "2755"]

    async def test_threads_processes_and_debuggers_work_all_the_same(self, sandbox: Sandbox, box: Box) -> None:
        trace = "import ctypes; print(ctypes.CDLL(None).ptrace(0, 0, 0, 0))"
        thread = "import threading; t = threading.Thread(target=print, args=[1]); t.start(); t.join()"
        code, out = await run(sandbox, box, f'python3 -c "{thread}"; echo $(echo 2); python3 -c "{trace}"')
        assert (code, out.split()) == (0, ["1", "2", "0"])

    async def test_a_read_only_workspace_cant_be_written(self, sandbox: Sandbox, box: Box) -> None:
        shut = Box(box.name, box.workspace, box.home, box.run, box.tmp, read_only_workspace=True)
        code, _ = await run(sandbox, shut, "touch file")
        assert code != 0
        assert not (box.workspace / "file").exists()


def alive_with(marker: bytes) -> list[int]:
    """Live processes of the host with `marker` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
