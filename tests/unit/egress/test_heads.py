"""Heads of requests: what is ambiguous is refused."""

from __future__ import annotations

import pytest

from codeswarm.egress.heads import forward_target, read_head, tunnel_target
from codeswarm.egress.hosts import Target
from codeswarm.egress.refusals import Refused


def head(*lines: str, first: str = "GET http://example.com/ HTTP/1.1", host: str = "Host: example.com") -> bytes:
    return "\r\n".join((first, *([host] if host else []), *lines, "", "")).encode("latin-1")


SMUGGLED = {
    "two lengths": head("Content-Length: 5", "Content-Length: 5"),
    "two lengths that differ": head("Content-Length: 5", "Content-Length: 6"),
    "a list of lengths": head("Content-Length: 5, 5"),
    "a signed length": head("Content-Length: +5"),
    "a negative length": head("Content-Length: -5"),
    "a hexadecimal length": head("Content-Length: 0x5"),
    "a length with a space": head("Content-Length: 1 0"),
    "an empty length": head("Content-Length:"),
    "a length in other digits": head("Content-Length: \xb2"),
    "an endless length": head("Content-Length: 9999999999999999999999"),
    "a length and an encoding": head("Content-Length: 5", "Transfer-Encoding: chunked"),
    "an encoding and a length": head("Transfer-Encoding: chunked", "Content-Length: 5"),
    "two encodings": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "an encoding list": head("Transfer-Encoding: gzip, chunked"),
    "chunked twice": head("Transfer-Encoding: chunked, chunked"),
    "xchunked": head("Transfer-Encoding: xchunked"),
    "identity": head("Transfer-Encoding: identity"),
    "an encoding in quotes": head('Transfer-Encoding: "chunked"'),
    "an encoding in HTTP/1.0": head("Transfer-Encoding: chunked", first="GET http://example.com/ HTTP/1.0"),
    "a space before the colon": head("Content-Length : 5"),
    "a tab before the colon": head("Transfer-Encoding\t: chunked"),
    "a folded line": head("X-One: a", " Content-Length: 5"),
    "a folded line with a tab": head("X-One: a", "\tTransfer-Encoding: chunked"),
    "a bare line feed": head("X-One: a\nContent-Length: 5"),
    "a bare line feed at the end": head("X-One: a\n"),
    "a bare carriage return": head("X-One: a\rContent-Length: 5"),
    "a NUL in a value": head("X-One: a\0b"),
    "a NUL in a name": head("X\0One: a"),
    "an escape in a value": head("X-One: \x1b[2J"),
    "a vertical tab in an encoding": head("Transfer-Encoding: \x0bchunked"),
    "no colon": head("nothing"),
    "no name": head(": value"),
    "a name in brackets": head("X(One): a"),
    "a name of other letters": head("Contënt-Length: 5"),
    "two hosts": head("Host: evil.example"),
    "no host": head(host=""),
    "a host that is named for this connection only": head("Connection: close, Host"),
    "a length for this connection only": head("Connection: Content-Length", "Content-Length: 5"),
    "an encoding for this connection only": head("Connection: transfer-encoding", "Transfer-Encoding: chunked"),
    "a key for this connection only": head("Connection: authorization", "Authorization: Bearer x"),
    "two keys": head("Authorization: a", "Authorization: b"),
    "too many fields": head(*(f"X-{number}: a" for number in range(300))),
    "no version": head(first="GET http://example.com/"),
    "HTTP/0.9": head(first="GET http://example.com/ HTTP/0.9"),
    "HTTP/2": head(first="PRI * HTTP/2.0"),
    "HTTP/1.2": head(first="GET http://example.com/ HTTP/1.2"),
    "http in lower case": head(first="GET http://example.com/ http/1.1"),
    "two spaces": head(first="GET  http://example.com/ HTTP/1.1"),
    "a tab between": head(first="GET\thttp://example.com/\tHTTP/1.1"),
    "four words": head(first="GET http://example.com/ HTTP/1.1 HTTP/1.1"),
    "a space in the address": head(first="GET http://example.com/a b HTTP/1.1"),
    "an empty line first": b"\r\n" + head(),
    "a method with a colon": head(first="GE:T http://example.com/ HTTP/1.1"),
    "a control code in the address": head(first="GET http://example.com/\x07 HTTP/1.1"),
    "a letter beyond ASCII in the address": head(first="GET http://example.com/\xe4 HTTP/1.1"),
}

MISLED = {
    "another host": head(first="GET http://example.com/ HTTP/1.1", host="Host: evil.example"),
    "another port": head(first="GET http://example.com:81/ HTTP/1.1", host="Host: example.com:82"),
    "the port left out": head(first="GET http://example.com:81/ HTTP/1.1", host="Host: example.com"),
    "an empty host": head(host="Host:"),
    "a host with a user": head(host="Host: x@example.com"),
    "a user": head(first="GET http://user@example.com/ HTTP/1.1"),
    "a user that looks like a host": head(first="GET http://example.com@evil.example/ HTTP/1.1"),
    "a user and a word": head(first="GET http://example.com:80@evil.example/ HTTP/1.1"),
    "a backslash": head(first="GET http://example.com\\@evil.example/ HTTP/1.1"),
    "a backslash in the path": head(first="GET http://example.com/\\evil HTTP/1.1"),
    "a fragment": head(first="GET http://example.com/#@evil.example HTTP/1.1"),
    "https": head(first="GET https://example.com/ HTTP/1.1"),
    "a file": head(first="GET file:///etc/passwd HTTP/1.1"),
    "ftp": head(first="GET ftp://example.com/ HTTP/1.1"),
    "no scheme": head(first="GET //example.com/ HTTP/1.1"),
    "only a path": head(first="GET /etc/passwd HTTP/1.1"),
    "a path with a scheme in it": head(first="GET /http://example.com/ HTTP/1.1"),
    "a star": head(first="OPTIONS * HTTP/1.1"),
    "an authority": head(first="GET example.com:80 HTTP/1.1"),
    "no authority": head(first="GET http:/// HTTP/1.1"),
    "three slashes": head(first="GET http:///example.com/ HTTP/1.1"),
    "one slash": head(first="GET http:/example.com/ HTTP/1.1"),
    "an octal address": head(first="GET http://0177.0.0.1/ HTTP/1.1", host="Host: 0177.0.0.1"),
    "a short address": head(first="GET http://127.1/ HTTP/1.1", host="Host: 127.1"),
    "a percent in the host": head(first="GET http://ex%61mple.com/ HTTP/1.1"),
}

TUNNELLED = {
    "no port": head(first="CONNECT example.com HTTP/1.1"),
    "another host": head(first="CONNECT example.com:443 HTTP/1.1", host="Host: evil.example:443"),
    "another port": head(first="CONNECT example.com:443 HTTP/1.1", host="Host: example.com:80"),
    "an address": head(first="CONNECT http://example.com/ HTTP/1.1"),
    "a path": head(first="CONNECT example.com:443/ HTTP/1.1", host="Host: example.com:443"),
    "a length": head("Content-Length: 5", first="CONNECT example.com:443 HTTP/1.1"),
    "an encoding": head("Transfer-Encoding: chunked", first="CONNECT example.com:443 HTTP/1.1"),
    "a user": head(first="CONNECT user@example.com:443 HTTP/1.1"),
    "a bare IPv6 address": head(first="CONNECT ::1:443 HTTP/1.1", host="Host: ::1:443"),
    "a comma": head(first="CONNECT example.com:443,evil.example:443 HTTP/1.1"),
}


@pytest.mark.parametrize("raw", SMUGGLED.values(), ids=SMUGGLED)
def test_a_head_that_two_programs_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as found:
        read_head(raw)
    assert found.value.kind.status in (400, 501)


@pytest.mark.parametrize("raw", MISLED.values(), ids=MISLED)
def test_an_address_that_misleads_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        forward_target(read_head(raw))


@pytest.mark.parametrize("raw", TUNNELLED.values(), ids=TUNNELLED)
def test_a_tunnel_that_misleads_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        tunnel_target(read_head(raw))


def test_there_are_enough_of_them() -> None:
    assert len(SMUGGLED) + len(MISLED) + len(TUNNELLED) >= 80


@pytest.mark.parametrize(
    ("first", "target", "path"),
    [
        ("GET http://example.com/a?b=c HTTP/1.1", Target("example.com", 80), b"/a?b=c"),
        ("GET HTTP://EXAMPLE.com HTTP/1.1", Target("example.com", 80), b"/"),
        ("GET http://example.com?q HTTP/1.1", Target("example.com", 80), b"/?q"),
        ("POST http://example.com:80/ HTTP/1.0", Target("example.com", 80), b"/"),
    ],
)
def test_an_ordinary_request(first: str, target: Target, path: bytes) -> None:
    assert forward_target(read_head(head(first=first))) == (target, path)


def test_an_ordinary_tunnel_says_its_host_with_or_without_the_port() -> None:
    for host in ("Host: example.com", "Host: example.com:443", "host:example.com"):
        raw = head(first="CONNECT example.com:443 HTTP/1.1", host=host)
        assert tunnel_target(read_head(raw)) == Target("example.com", 443)
    old = head(first="CONNECT example.com:443 HTTP/1.0", host="")
    assert tunnel_target(read_head(old)) == Target("example.com", 443)


def test_a_long_hostile_line_is_refused_at_once() -> None:
    """A pattern that goes back and forth over it would take minutes."""
    with pytest.raises(Refused):
        read_head(head("X-One: " + " \t" * 30_000 + "\0"))
