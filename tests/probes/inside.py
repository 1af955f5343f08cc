"""Runs probes, wherever it is started: `python3 inside.py`, with the probes and what they are told as JSON on stdin.

Each runs in a fork of its own, in a folder of its own, for a few seconds at most. Answers one JSON line for each.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

LONGEST_S = 5
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """A system call by its number on x86-64; raises what it fails with."""
    words = [a if isinstance(a, (bytes, ctypes.Structure, ctypes.Array)) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def cat(path):
    print(Path(path).read_bytes()[:100_000].decode(errors="replace"))


def write(path, text="written by a probe\n"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "a") as file:
        file.write(text)


def cat_all(paths):
    for path in paths:
        with contextlib.suppress(OSError):
            cat(path)


def hear(family, address, kind=socket.SOCK_STREAM):
    """Print what a server says to whoever calls."""
    with socket.socket(family, kind) as caller:
        caller.settimeout(2)
        caller.connect(address)
        caller.send(b"hello\n")
        print(caller.recv(1000).decode())


def sh(script):
    subprocess.run(["/bin/sh", "-c", script], stderr=subprocess.DEVNULL, timeout=LONGEST_S)


def reached():
    print("REA" + "CHED")  # the command line of this very program is no success


def attempt(script, prey, out):
    os.dup2(out, 1)
    signal.alarm(LONGEST_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stderr = open(os.devnull, "w")
    os.dup2(sys.stderr.fileno(), 2)
    with contextlib.suppress(BaseException):
        os.chdir(tempfile.mkdtemp(dir="."))
        exec(script, {**globals(), "prey": prey})
    sys.stdout.flush()
    os._exit(0)


def output_of(script, prey):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        attempt(script, prey, writing)
    os.close(writing)
    said = b""
    os.set_blocking(reading, True)
    while chunk := os.read(reading, 65536):
        said += chunk
        if len(said) > 1_000_000:
            break
    os.close(reading)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return said.decode(errors="replace")


def main():
    told = json.loads(sys.stdin.readline())
    for name, script in told["probes"]:
        print(json.dumps({"name": name, "said": output_of(script, told["prey"])}), flush=True)


if __name__ == "__main__":
    main()
