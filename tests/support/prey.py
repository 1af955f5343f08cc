"""What probes are after, laid out anew for each scene: a person's HOME and checkout, our data, others' attempts, and a
process of the host that listens. The token stands wherever something may be read; nobody is told it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codeswarm.git.store import Store
from tests.probes import paths
from tests.support import sentry
from tests.support.repositories import Repository, Script, commit_files, plant

SENTRY = Path(sentry.__file__)
SOCKETS = ("data/router.sock", "home/.docker/run/docker.sock", "runtime/bus", "machine/X11-unix", "machine/ssh-agent",
           "home/.gnupg/S.gpg-agent")  # fmt: skip
KEYRINGS = {"x86_64": (248, 250)}


@dataclass
class Prey:
    root: Path
    """Short: sockets stand below it."""
    token: str = field(default_factory=lambda: f"token-{secrets.token_hex(12)}")
    facts: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        below = ("home", "project", "other", "machine", "tools", "runtime", "heard")
        self.places = {name: self.root / name for name in below}
        self.places["data"] = self.places["project"] / ".git" / "codeswarm"
        project = Repository.make(self.places["project"])
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.invalid")):
            project.git("config", key, value)
        project.commit({"main.py": "x = 1\n", ".gitignore": ".env\n"})
        self.store = Store.open(self.places["data"] / "store.git")
        self.start = commit_files(self.store.path, {"main.py": "x = 1\n"})
        for key, *names in paths.READ.values():
            for name in names:
                self._hold(self.places[key] / name)
        for name in (".moved", ".removed", ".touched", ".rights", ".zshrc", "dir/file"):
            self._hold(self.places["home"] / name)
        plant(self.places["tools"], {"bin/tool": Script("#!/bin/sh\necho tool")})
        for folder in ("runtime", "machine", "heard", "home/.docker/run"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, folder in (("tmp", tempfile.gettempdir()), ("shm", "/dev/shm"), ("vartmp", "/var/tmp")):
            self.places[name] = Path(folder, f"probe-{secrets.token_hex(8)}")
            self._hold(self.places[name])

    def _hold(self, path: Path) -> None:
        """Put the token there, and leave git's own files what they are."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "config" and path.exists():
            path.write_text(f"{path.read_text()}[probe]\n\ttoken = {self.token}\n")
        elif path.name == "index":
            path.write_bytes(path.read_bytes() + self.token.encode())
        else:
            path.write_text(self.token)

    def told(self) -> dict[str, Any]:
        """What a probe may know: where things are, and never what they hold."""
        return {
            **{name: str(path) for name, path in self.places.items()},
            "objects": str(self.store.objects),
            "host": os.uname().nodename,
            **self.facts,
        }

    def seen(self, targets: Mapping[str, str], files: Path) -> dict[str, object]:
        """How each target stands now: probe → whatever would be another thing had it been touched."""
        return {name: state(self._at(target, files)) for name, target in targets.items()}

    def _at(self, target: str, files: Path) -> Path:
        key, _, rest = target.partition("/")
        return ({"files": files} | self.places)[key] / rest


def state(path: Path) -> object:
    try:
        info = path.lstat()
    except OSError:
        return None
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return info.st_mode, info.st_mtime_ns, info.st_ino, info.st_nlink, content


@contextlib.contextmanager
def laid_out() -> Iterator[Prey]:
    """Prey, with a process of the host that holds and hears; both gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="prey-", dir=tempfile.gettempdir()))
    prey = Prey(root)
    key = secrets.randbelow(1 << 30)
    told = {
        "token": prey.token,
        "heard": str(prey.places["heard"]),
        "home": str(prey.places["home"]),
        "file": str(prey.places["home"] / ".netrc"),
        "sockets": [str(prey.places[key_] / name) for key_, _, name in (path.partition("/") for path in SOCKETS)],
        "abstract": f"probe-{root.name}",
        "fifo": str(prey.places["machine"] / "fifo"),
        "key": key,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(SENTRY), prey.token],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PROBE": prey.token},
        start_new_session=True,
    )
    try:
        prey.facts = json.loads(asked(process, json.dumps(told))) | {
            "key": key,
            "abstract": told["abstract"],
            "free": 1,
        }
        with session_key(prey.token):
            yield prey
        asked(process, "")  # whatever it was sent, it has heard by now
    finally:
        process.communicate()
        shutil.rmtree(root)
        for name in ("tmp", "shm", "vartmp"):
            prey.places[name].unlink(missing_ok=True)


def asked(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline()


@contextlib.contextmanager
def session_key(token: str) -> Iterator[None]:
    """A keyring of this thread's session, which whatever it starts inherits, with a key that holds the token."""
    if not Path("/proc/keys").exists() or os.uname().machine not in KEYRINGS:
        yield
        return
    add, control = KEYRINGS[os.uname().machine]
    libc = ctypes.CDLL(None)
    libc.syscall(control, 1, None)
    made = libc.syscall(add, b"user", b"codeswarm-probe", token.encode(), len(token), -3)
    try:
        yield
    finally:
        libc.syscall(control, 3, made)
        libc.syscall(control, 1, None)
