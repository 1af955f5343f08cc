"""Begins a program in a sandbox that has no network: `relay.py SOCKET PORT[,PORT…] PROGRAM [ARGUMENT…]`.

It listens on ports of the sandbox's own loopback, hands the listening sockets themselves out through a Unix socket, and
becomes the program. From then on the proxy outside accepts what is connected to inside: no process stays behind that
an agent could stop, and no byte is copied twice. It imports nothing but what every Python has built in.
"""

import os
import sys
from _signal import SIG_DFL, SIGPIPE, SIGXFSZ, signal  # type: ignore[import-not-found]
from _socket import (
    AF_INET,
    AF_UNIX,
    SCM_RIGHTS,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)

WAITING = 256


def main(path: str, ports: str, *program: str) -> None:
    try:
        hand_over(path, [listen(int(port)) for port in ports.split(",")])
    except OSError as error:
        sys.exit(f"codeswarm: the way out can't be opened: {error}")
    for ignored in (SIGPIPE, SIGXFSZ):  # Python ignores them, and what is ignored stays so in the next program
        signal(ignored, SIG_DFL)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"codeswarm: {program[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


def listen(port: int) -> socket:
    found = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC)
    found.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.listen(WAITING)
    return found


def hand_over(path: str, listeners: list[socket]) -> None:
    line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    line.connect(path)
    numbers = b"".join(one.fileno().to_bytes(4, sys.byteorder) for one in listeners)
    line.sendmsg([b"!"], [(SOL_SOCKET, SCM_RIGHTS, numbers)])
    line.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
