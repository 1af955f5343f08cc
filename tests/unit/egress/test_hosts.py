"""One grammar of hosts, and lists of them."""

from __future__ import annotations

import pytest

from codeswarm.egress.hosts import AllowList, BadHost, Pattern, Target, check_entry, narrower, read_target

GOOD = {
    "example.com:443": Target("example.com", 443),
    "EXAMPLE.com:80": Target("example.com", 80),
    "a-b.c1.example:65535": Target("a-b.c1.example", 65535),
    "localhost:8080": Target("localhost", 8080),
    "xn--bcher-kva.example:443": Target("xn--bcher-kva.example", 443),
    "192.0.2.7:443": Target("192.0.2.7", 443),
    "[2001:db8::1]:443": Target("2001:db8::1", 443),
    "[2001:DB8:0:0::1]:443": Target("2001:db8::1", 443),
    f"{'a' * 63}.example:1": Target(f"{'a' * 63}.example", 1),
    "1.example:443": Target("1.example", 443),
    "0x7f.example:443": Target("0x7f.example", 443),
}

HOSTILE = [
    "",
    ":443",
    "example.com",  # no port, and none is usual
    "example.com:",
    "example.com:0",
    "example.com:65536",
    "example.com:443:443",
    "example.com:+443",
    "example.com:0443",
    "example.com:4 43",
    "example.com:٤٤٣",  # digits of another script
    "example.com:443\n",
    "example.com.:443",  # a final dot
    ".example.com:443",
    "example..com:443",
    "-example.com:443",
    "example-.com:443",
    "exa_mple.com:443",
    "example.com/:443",
    "example.com?:443",
    "example.com#:443",
    "example.com\\:443",
    "exa%6dple.com:443",
    "example.com%00.evil.example:443",
    "exam ple.com:443",
    " example.com:443",
    "example.com :443",
    "example.com\t:443",
    "example.com\0:443",
    "user@example.com:443",
    "user:word@example.com:443",
    "example.com:443@evil.example:443",
    "exämple.com:443",
    "ｅxample.com:443",  # full width
    "example。com:443",  # an ideographic full stop
    "exam\u200bple.com:443",
    "\u0456example.com:443",
    f"{'a' * 64}.com:443",
    f"{'a.' * 127}com:443",
    "*.example.com:443",
    "*:443",
    # IPv4 as only some programs read it
    "127.1:443",
    "127.0.1:443",
    "2130706433:443",
    "0x7f000001:443",
    "0x7f.0.0.1:443",
    "0177.0.0.1:443",
    "127.0.0.01:443",
    "127.0.0.0x1:443",
    "127.0.0.1.:443",
    "256.0.0.1:443",
    "1.2.3.4.5:443",
    "0x:443",
    "08:443",
    "example.0x1:443",
    "example.1:443",
    # IPv6
    "::1:443",
    "[::1:443",
    "::1]:443",
    "[::1]443",
    "[::1]]:443",
    "[[::1]]:443",
    "[]:443",
    "[::1%25eth0]:443",
    "[fe80::1%eth0]:443",
    "[::ffff:127.0.0.1]:443",
    "[::ffff:7f00:1]:443",
    "[2002:7f00:1::]:443",
    "[2001:0:7f00:1::]:443",
    "[v1.example]:443",
    "[example.com]:443",
    "[127.0.0.1]:443",
    "[:::1]:443",
]


@pytest.mark.parametrize("text", GOOD, ids=repr)
def test_a_host_is_read_in_its_one_form(text: str) -> None:
    assert read_target(text) == GOOD[text]
    assert read_target(str(GOOD[text])) == GOOD[text]


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_what_two_programs_could_read_differently_is_no_host(text: str) -> None:
    with pytest.raises(BadHost):
        read_target(text)


@pytest.mark.parametrize(
    ("entry", "target", "allowed"),
    [
        ("example.com", "example.com:443", True),
        ("example.com", "example.com:80", True),
        ("example.com", "example.com:22", False),
        ("example.com", "sub.example.com:443", False),
        ("example.com", "notexample.com:443", False),
        ("example.com", "example.com.evil.example:443", False),
        ("example.com:22", "example.com:22", True),
        ("example.com:22", "example.com:443", False),
        ("*.example.com", "a.example.com:443", True),
        ("*.example.com", "a.b.example.com:443", True),
        ("*.example.com", "example.com:443", False),
        ("*.example.com", "evilexample.com:443", False),
        ("*.example.com:8443", "a.example.com:8443", True),
        ("*", "anything.example:443", True),
        ("*", "anything.example:22", False),
        ("*", "192.0.2.1:443", False),
        ("*", "[2001:db8::1]:443", False),
        ("127.0.0.1:4000", "127.0.0.1:4000", True),
        ("127.0.0.1:4000", "127.0.0.1:4001", False),
        ("[::1]:4000", "[0:0:0:0:0:0:0:1]:4000", True),
        ("EXAMPLE.com", "example.COM:443", True),
    ],
)
def test_a_list_allows_what_it_names(entry: str, target: str, *, allowed: bool) -> None:
    assert (AllowList.of([entry]).allowing(read_target(target)) is not None) is allowed


def test_of_several_entries_the_one_that_names_the_host_counts() -> None:
    found = AllowList.of(["*", "*.corp.example", "git.corp.example"]).allowing(read_target("git.corp.example:443"))
    assert found == Pattern("git.corp.example")
    assert found.exact


def test_a_host_that_only_the_program_lists_is_not_the_persons_word() -> None:
    shipped = AllowList.of([], shipped=["pypi.org"]).allowing(read_target("pypi.org:443"))
    named = AllowList.of(["pypi.org"], shipped=["pypi.org"]).allowing(read_target("pypi.org:443"))
    assert (shipped is not None and shipped.exact, named is not None and named.exact) == (False, True)


@pytest.mark.parametrize("entry", ["@agent", "@registries", "example.com", "*.example.com", "*", "*:8080", "[::1]:80"])
def test_an_entry_of_the_settings(entry: str) -> None:
    check_entry(entry)


@pytest.mark.parametrize("entry", ["@all", "", "*.com", "*.127.0.0.1", "a.*.com", "https://example.com", "host/path"])
def test_what_is_no_entry(entry: str) -> None:
    with pytest.raises(BadHost):
        check_entry(entry)


@pytest.mark.parametrize(
    ("theirs", "ours", "covered"),
    [
        ("@agent", ["@agent"], True),
        ("@agent", ["*"], False),
        ("example.com", ["example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("a.example.com", ["*.example.com"], True),
        ("*.a.example.com", ["*.example.com"], True),
        ("*.example.com", ["*.a.example.com"], False),
        ("*.example.com", ["example.com"], False),
        ("example.com:443", ["example.com"], True),
        ("example.com", ["example.com:443"], False),
        ("example.com:22", ["example.com"], False),
        ("example.com", ["*"], True),
        ("*", ["*.example.com"], False),
        ("*", ["*"], True),
        ("192.0.2.1", ["*"], False),
        ("evil.example", ["@agent", "@registries"], False),
    ],
)
def test_whether_an_entry_only_narrows(theirs: str, ours: list[str], *, covered: bool) -> None:
    assert narrower(theirs, ours) is covered
