"""The only door to subprocesses."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import asyncio


STREAM_LIMIT = 1 << 20
KILLED = (-9, 137)
"""Exit codes of a SIGKILL, as a parent sees it and as a shell or a sandbox passes it on.

It comes from someone's hand or for want of memory, and is no fault of whatever ran.
"""


TimedOut = subprocess.TimeoutExpired


def run_sync(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes | BinaryIO = b"",
    timeout_s: float = 600,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a short command to its end, in a process session of its own, so that a terminal's Ctrl+C spares it.

    Raises: FileNotFoundError, TimedOut (its whole group is killed then).
    """
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=pass_fds,
    ) as process:
        try:
            data = stdin if isinstance(stdin, bytes) else None
            out, err = process.communicate(data, timeout=timeout_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


def run_for_head(
    argv: Sequence[str], most: int, *, cwd: Path, env: Mapping[str, str], timeout_s: float = 600
) -> subprocess.CompletedProcess[bytes]:
    """Run a command for the first `most` bytes of its output, and one more where there are more: it is killed then.

    However much it has to say, no more than that is read. Raises: FileNotFoundError.
    """
    with (
        os.fdopen(os.memfd_create("stderr"), "w+b") as errors,
        subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        late = threading.Timer(timeout_s, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        try:
            out = process.stdout.read(most + 1)
            if len(out) <= most:
                process.wait()
        finally:
            late.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(list(argv), code, out, errors.read(most))


def run_in_foreground(argv: Sequence[str], env: Mapping[str, str], stdout: int | None = None) -> int:
    """Run a command that has our terminal to itself (an editor), and answer its exit code; below 0: minus a signal.

    Raises: OSError.
    """
    return subprocess.run(argv, env=dict(env), stdout=stdout, check=False).returncode


async def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Start a long-running command in a process session of its own. The caller owns its end.

    It is started from the calling thread: what binds a sandbox's life to its parent follows that very thread.
    """
    import asyncio  # noqa: PLC0415 - a third of the start of a command that only looks

    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        pass_fds=pass_fds,
        limit=STREAM_LIMIT,
    )


class Outliving:
    """A process that need not end with us: nothing of it is ours but the news of its end.

    asyncio kills its children when their transports go away, and this one may be somebody else's by then.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        output: int,
        told: bytes = b"",
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it in a process session of its own. `told` is all that it finds on its standard input; it is short."""
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(told)
        self.pid = self._process.pid

    async def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        await gone(self.pid)
        return self._process.wait()

    def let_go(self) -> None:
        """It goes on without us, and nobody of us asks how it ends."""
        self._process.returncode = 0  # else Popen warns of a child that still runs


class Server:
    """A program of ours that answers over a socket. It is to end when the other end is closed, be it by our death."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Start it in a process session of its own; the number of its socket's descriptor is its last argument."""
        import socket  # noqa: PLC0415 - most commands start none

        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*argv, str(theirs.fileno())],
                cwd="/",
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    def end(self) -> None:
        """Whatever it is at. Idempotent."""
        self.socket.close()
        self._process.kill()
        self._process.wait()


async def exited(process: asyncio.subprocess.Process) -> None:
    """Wait until the process itself has ended, whoever may still hold its pipes open."""
    if process.returncode is None:
        await gone(process.pid)


async def gone(pid: int) -> None:
    """Wait until a process has ended, a child of ours or not. One that is not there has."""
    import asyncio  # noqa: PLC0415 - as above

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def kill_unreaped(process: asyncio.subprocess.Process) -> None:
    """Kill a child that asyncio waits for. `Process.kill` polls first, and so can steal the exit status from asyncio
    (it then reports 255): a direct signal does not. Source: CPython's Popen.send_signal.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def kill_and_wait(pidfd: int, timeout_s: float) -> bool:
    """Kill the process behind a descriptor and wait until it is gone; whether it went in time."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return wait_gone(pidfd, timeout_s)


def wait_gone(pidfd: int, timeout_s: float) -> bool:
    """Whether the process behind a descriptor ended within `timeout_s` (it may still be unreaped)."""
    ready, _, _ = select.select([pidfd], [], [], timeout_s)
    return bool(ready)


def this_process() -> tuple[int, float, str]:
    """(pid, start time in clock ticks since boot, boot id) of this process."""
    return os.getpid(), start_time(os.getpid()) or 0.0, boot_id()


def umask() -> int:
    """Which rights a file that is made here does not get. Asking the system for it would change it for a moment, for
    all threads: that is done only where nothing else tells.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return mask
    return int(re.search(r"^Umask:\s*(\d+)", status, re.MULTILINE)[1], 8)  # type: ignore[index]


def stat_fields(pid: int) -> list[str]:
    """What /proc tells of a process from its state on, which is field 3 of proc(5). Raises: OSError."""
    return named_stat(pid)[1]


def named_stat(pid: int | str) -> tuple[str, list[str]]:
    """The name of a process, which is its own choice, and what else /proc tells of it as above. Raises: OSError."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - thousands of them are read in a row
        head, _, rest = file.read().decode(errors="replace").rpartition(")")
    return head.partition("(")[2], rest.split()


def start_time(pid: int) -> float | None:
    """When a process began, in clock ticks since boot; None where there is none. Source: proc(5), field 22."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else float(fields[19])


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def is_alive(pid: int, started: float, boot: str) -> bool:
    """Whether exactly that process still runs."""
    return boot == boot_id() and start_time(pid) == started
