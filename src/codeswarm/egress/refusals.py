"""What the proxy does not do, and how it says so: a status, the reason in RFC 9209's words, three lines of text.

Source: RFC 9209 (the `Proxy-Status` field) for the names of errors.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    status: int
    phrase: str
    error: str
    """The name that RFC 9209 has for it."""
    denied: bool = False
    """Whether it is about a host that may not be reached: that becomes an event."""


BAD_REQUEST = Kind(400, "Bad Request", "http_request_error")
TOO_LARGE = Kind(431, "Request Header Fields Too Large", "http_request_error")
NOT_IMPLEMENTED = Kind(501, "Not Implemented", "http_request_error")
NOT_LISTED = Kind(403, "Forbidden", "http_request_denied", denied=True)
BAD_HOST = Kind(403, "Forbidden", "http_request_denied", denied=True)
FORBIDDEN_ADDRESS = Kind(403, "Forbidden", "destination_ip_prohibited", denied=True)
TOO_MUCH = Kind(403, "Forbidden", "http_response_body_size", denied=True)
UNRESOLVED = Kind(502, "Bad Gateway", "dns_error")
UNREACHABLE = Kind(502, "Bad Gateway", "destination_unavailable")
UPSTREAM_BROKEN = Kind(502, "Bad Gateway", "http_protocol_error")
BUSY = Kind(503, "Service Unavailable", "connection_limit_reached")


NOT_ON_THE_LIST = "it is not on the list of hosts that may be reached"
LIST = "sandbox.network"
"""The setting that holds the list of agents."""


def to_list(entry: str, setting: str) -> str:
    """How a person lists a host; nothing where that would not help."""
    return f'codeswarm config show   # and in your own file: {setting} = [..., "{entry}"]' if entry else ""


class Refused(Exception):
    """A request ends here. `why` is one sentence, without a host's bytes that could harm a terminal."""

    def __init__(self, kind: Kind, why: str, entry: str = "", host: str = "") -> None:
        """`entry`: what on the list would allow it. `host`: which one it is about, where that is known better than by
        what was asked for.
        """
        super().__init__(why)
        self.host = host
        self.kind = kind
        self.why = why
        self.entry = entry


def answer(refused: Refused, setting: str = LIST, *, body: bool = True) -> bytes:
    """The whole response; the connection is closed after it. `setting`: which one lists hosts. `body` False: the
    request was a HEAD.
    """
    kind = refused.kind
    about = f": {refused.host}" if refused.host else ""
    lines = [f"codeswarm: {kind.phrase.lower()}{about}", refused.why, to_list(refused.entry, setting)]
    text = "".join(f"{line}\n" for line in lines if line).encode("ascii", "replace")
    head = (
        f"HTTP/1.1 {kind.status} {kind.phrase}\r\n"
        f"Proxy-Status: codeswarm; error={kind.error}\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (text if body else b"")
