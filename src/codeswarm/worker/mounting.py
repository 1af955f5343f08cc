"""Mounts overlays, and tries out whether that can be done here.

Source: docs/design/overlay.md
"""

from __future__ import annotations

import array
import os
import socket
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from codeswarm.errors import CodeswarmError
from codeswarm.process import run_sync
from codeswarm.sandbox import bubblewrap
from codeswarm.sandbox.base import Namespaces, Probe, Sandbox
from codeswarm.worker import mounter
from codeswarm.worker.places import ATTEMPTS, Place, Places, remove
from codeswarm.worker.view import View

MOUNTER = Path(mounter.__file__)
FIX = 'workspaces are made as checkouts, which is slower and no worse; [workspace] kind = "checkout" asks for that'


class OverlayFailed(CodeswarmError):
    """A workspace can't be an overlay here; `why` says what stands in the way."""


def mount(place: Place, lower: Path) -> View:
    """Show `lower` with what stands in the place's own layers over it. Raises: OverlayFailed, OSError.

    What the layers hold survives any end of the view, and may be mounted again.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        argv = [sys.executable, "-I", "-S", str(MOUNTER), str(place.root), str(lower), place.name, str(theirs.fileno())]
        done = run_sync(argv, cwd=Path("/"), env={}, pass_fds=(theirs.fileno(),))
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            why = said[-1] if said else f"it ended with {done.returncode}"
            raise OverlayFailed("a workspace could not be mounted as an overlay", why, FIX)
        user, inside, folder = _receive(ours)
    namespaces = Namespaces(user, inside)
    files = Path(f"/proc/{os.getpid()}/fd/{folder}", place.name)
    return View(files, place.mount / place.name, namespaces, place.upper, [user, inside, folder])


def _receive(sender: socket.socket) -> array.array[int]:
    """The three descriptors that the mounter sends, closed in every program that is started from here."""
    received = array.array("i")
    flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
    _, messages, _, _ = sender.recvmsg(1, socket.CMSG_SPACE(received.itemsize * 3), flags)
    for _, _, data in messages:
        received.frombytes(data)
    if len(received) != 3:
        for number in received:
            os.close(number)
        raise OverlayFailed("a workspace was mounted and could not be taken over", "too many files are open", FIX)
    return received


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
    with closing(mount(place, lower)) as view:
        (view.files / "changes").write_text("changed")
        (view.files / "goes").unlink()
        seen = sorted(path.name for path in view.files.iterdir())
        if seen != ["changes", "stays"] or (lower / "changes").read_text() != "changes":
            return "an overlay does not show what was written to it"
        if (view.files / "stays").stat().st_ino != (lower / "stays").stat().st_ino:
            return "an overlay numbers its files anew, so that it could not be told what changed"
        return bubblewrap.probe(namespaces=view.namespaces).why
