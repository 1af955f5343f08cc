"""Where names may lead."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from codeswarm.egress.addresses import judge, special
from codeswarm.egress.hosts import Pattern, Target
from codeswarm.egress.refusals import Refused

PUBLIC = ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e"]
PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fc00::1", "fd12::1",
           "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:a00:1::"]  # fmt: skip
NEVER = ["169.254.169.254", "fe80::1", "fd00:ec2::254", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255",
         "240.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"]  # fmt: skip
TARGET = Target("host.example", 443)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_name_may_lead_to_a_public_address(address: str) -> None:
    judge(ip_address(address), TARGET, Pattern("*", below=True))


@pytest.mark.parametrize("address", PRIVATE)
def test_only_a_name_that_the_person_listed_leads_into_a_private_network(address: str) -> None:
    judge(ip_address(address), TARGET, Pattern("host.example"))
    for listed in (Pattern("example.com", below=True), Pattern("*", below=True), Pattern("host.example", shipped=True)):
        with pytest.raises(Refused, match="private network"):
            judge(ip_address(address), TARGET, listed)


@pytest.mark.parametrize("address", NEVER)
def test_no_name_leads_to_metadata_or_to_many(address: str) -> None:
    with pytest.raises(Refused):
        judge(ip_address(address), TARGET, Pattern("host.example"))


def test_what_is_special_says_why() -> None:
    assert special(ip_address("169.254.169.254")) == "link-local, as the metadata of clouds are"
