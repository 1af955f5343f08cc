"""Mounts overlays, and tries out whether that can be done here.

Source: docs/design/overlay.md
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

from codeswarm.errors import CodeswarmError
from codeswarm.process import Server
from codeswarm.sandbox import bubblewrap
from codeswarm.sandbox.base import Namespaces, Probe, Sandbox
from codeswarm.worker import mounter
from codeswarm.worker.places import ATTEMPTS, Place, Places, remove
from codeswarm.worker.view import View

MOUNTER = Path(mounter.__file__)
FIX = 'workspaces are made as checkouts, which is slower and no worse; [workspace] kind = "checkout" asks for that'

DEADLINE_S = 600.0
LONGEST_ANSWER = 1 << 16
TRIES = 3
"""Before it is taken for certain that whoever mounts is killed each time. Nothing of a try is left when it failed."""


class OverlayFailed(CodeswarmError):
    """A workspace can't be an overlay here; `why` says what stands in the way."""


class Mounter:
    """A program that mounts for us (`mounter.py`), started when it is first needed. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: Server | None = None

    def mount(self, place: Place, lower: Path) -> View:
        """Show `lower` with what stands in the place's own layers over it. Raises: OverlayFailed, OSError.

        What the layers hold survives any end of the view, and may be mounted again.
        """
        user, inside, folder = self._ask(str(place.root), str(lower), place.name)
        files = Path(f"/proc/{os.getpid()}/fd/{folder}", place.name)
        return View(files, place.mount / place.name, Namespaces(user, inside), place.upper, [user, inside, folder])

    def _ask(self, *words: str) -> array.array[int]:
        question = os.fsencode("\0".join(words))
        for _ in range(TRIES):
            server = self._started()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                return _ask(server, question)
            self._end(server)
        raise _failed("who mounts it was killed")

    def _started(self) -> Server:
        with self._lock:
            if self._server is None:
                self._server = Server([sys.executable, "-I", "-S", str(MOUNTER)])
            return self._server

    def _end(self, server: Server | None) -> None:
        with self._lock:
            if server is not None and server is self._server:
                server.end()
                self._server = None

    def close(self) -> None:
        """What it has mounted stays. Idempotent."""
        self._end(self._server)


def _ask(server: Server, question: bytes) -> array.array[int]:
    """Raises: OverlayFailed, BrokenPipeError and ConnectionResetError where nobody is there who could answer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            socket.send_fds(server.socket, [question], [theirs.fileno()])
        ours.settimeout(DEADLINE_S)
        try:
            return _receive(ours)
        except TimeoutError as error:
            raise _failed(f"it took longer than {DEADLINE_S:g} s") from error


def _receive(sender: socket.socket) -> array.array[int]:
    """The three descriptors that the mounter sends, closed in every program that is started from here."""
    received = array.array("i")
    room = socket.CMSG_SPACE(received.itemsize * 3)
    said, messages, _, _ = sender.recvmsg(LONGEST_ANSWER, room, socket.MSG_CMSG_CLOEXEC)
    for _, _, data in messages:
        received.frombytes(data)
    if len(received) == 3:
        return received
    for number in received:
        os.close(number)
    if not said:
        raise ConnectionResetError
    if said == b".":
        raise OverlayFailed("a workspace was mounted and could not be taken over", "too many files are open", FIX)
    raise _failed(said.decode(errors="replace"))


def _failed(why: str) -> OverlayFailed:
    return OverlayFailed("a workspace could not be mounted as an overlay", why, FIX)


def probe(places: Places, sandbox: Sandbox) -> Probe:
    """Whether workspaces can be overlays here, tried with a small one, with walls in it and all."""
    if sandbox.kind != bubblewrap.Bubblewrap.kind:
        return Probe(works=False, why=f"the sandbox {sandbox.kind} does not run in namespaces of ours", fix=FIX)
    try:
        folder = places.root / ATTEMPTS  # where `gc` finds what a killed trial leaves
        folder.mkdir(parents=True, exist_ok=True)
        trial = Path(tempfile.mkdtemp(prefix="probe.", dir=folder))
    except OSError as error:
        return Probe(works=False, why=f"workspaces can't be written: {error}", fix=FIX)
    try:
        why = _try_out(trial)
    except (CodeswarmError, OSError) as error:
        why = getattr(error, "why", "") or str(error)
    finally:
        remove(trial)
    return Probe(works=not why, why=why, fix=FIX if why else "")


def _try_out(trial: Path) -> str:
    """Why an overlay does not do what a workspace needs, or nothing."""
    lower = trial / "lower"
    lower.mkdir()
    for name in ("stays", "changes", "goes"):
        (lower / name).write_text(name)
    place = Place(trial / "attempt")
    place.create_overlay("lower")
    with closing(Mounter()) as mounter, closing(mounter.mount(place, lower)) as view:
        (view.files / "changes").write_text("changed")
        (view.files / "goes").unlink()
        seen = sorted(path.name for path in view.files.iterdir())
        if seen != ["changes", "stays"] or (lower / "changes").read_text() != "changes":
            return "an overlay does not show what was written to it"
        if (view.files / "stays").stat().st_ino != (lower / "stays").stat().st_ino:
            return "an overlay numbers its files anew, so that it could not be told what changed"
        return bubblewrap.probe(namespaces=view.namespaces).why
