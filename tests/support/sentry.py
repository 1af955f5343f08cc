"""A process of the host that probes are after: `python sentry.py`, told what to hold and where to listen on stdin.

What it hears it writes down. It answers each line that it is told with what it has to say of itself.
"""

import ctypes
import json
import os
import pty
import signal
import socket
import sys
import termios
import threading
import tty
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)


def serve(listening, token):
    listening.listen()
    while True:
        caller, _ = listening.accept()
        with caller:
            caller.recv(100)
            caller.sendall(token)


def serve_packets(listening, token):
    while True:
        _, sender = listening.recvfrom(100)
        listening.sendto(token, sender)


def start(work, *arguments):
    threading.Thread(target=work, args=arguments, daemon=True).start()


def listen(family, address, token):
    listening = socket.socket(family)
    listening.bind(address)
    start(serve, listening, token)
    return listening


def hear(fd, heard, wanted):
    while data := os.read(fd, 1000):
        if wanted in data:
            heard.touch()


def read_pipe(path, heard):
    while True:
        with open(path, "rb") as pipe:
            if pipe.read():
                heard.touch()


def main():
    told = json.loads(sys.stdin.readline())
    token, heard = told["token"].encode(), Path(told["heard"])
    held = ctypes.create_string_buffer(token)
    for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda number, _: (heard / signal.Signals(number).name).touch())
    os.chdir(told["home"])
    kept = os.open(told["file"], os.O_RDONLY)
    for path in told["sockets"]:
        listen(socket.AF_UNIX, path, token)
    listen(socket.AF_UNIX, "\0" + told["abstract"], token)
    tcp = listen(socket.AF_INET, ("127.0.0.1", 0), token)
    listen(socket.AF_INET, ("127.1.2.3", tcp.getsockname()[1]), token)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    start(serve_packets, udp, token)
    os.mkfifo(told["fifo"])
    start(read_pipe, told["fifo"], heard / "fifo")
    master, slave = pty.openpty()
    tty.setraw(slave, termios.TCSANOW)
    start(hear, master, heard / "terminal", b"PROBED")
    start(hear, slave, heard / "typed", b"T")
    key = told["key"]
    libc.shmat.restype = ctypes.c_void_p
    memory = libc.shmget(key, 4096, 0o1600)
    ctypes.memmove(libc.shmat(memory, None, 0), token, len(token))
    queue = libc.msgget(key, 0o1600)
    libc.msgsnd(queue, ctypes.byref(ctypes.create_string_buffer((1).to_bytes(8, "little") + token)), len(token), 0)
    facts = {
        "pid": os.getpid(),
        "fd": kept,
        "address": ctypes.addressof(held),
        "port": tcp.getsockname()[1],
        "udp": udp.getsockname()[1],
        "tty": os.ttyname(slave),
    }
    line = "told"
    while line:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        line = sys.stdin.readline()
    libc.shmctl(memory, 0, None)
    libc.msgctl(queue, 0, None)


if __name__ == "__main__":
    main()
