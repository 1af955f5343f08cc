from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.registries import registries


def write(home: Path, **files: str) -> None:
    for name, text in files.items():
        path = home / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_what_the_shell_says_of_proxies_certificates_and_mirrors_is_passed_on_and_nothing_else(tmp_path: Path) -> None:
    told = {
        "HTTPS_PROXY": "http://proxy.invalid:3128",
        "no_proxy": "localhost,.invalid",
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
        "PIP_INDEX_URL": "https://mirror.invalid/simple",
        "GOPROXY": "https://go.invalid,direct",
    }
    secret = {"NPM_TOKEN": "hidden", "UV_PUBLISH_TOKEN": "hidden", "AWS_SECRET_ACCESS_KEY": "hidden", "EDITOR": "vi"}
    assert registries(tmp_path, told | secret).variables == told


@pytest.mark.parametrize(
    "value",
    [
        "http://ada:hidden@proxy.invalid:3128",
        "ada:hidden@proxy.invalid:3128",
        "https://mirror.invalid/simple https://ada:hidden@other.invalid/simple",
        "https://open.invalid,https://token@go.invalid",
        "other=https://hidden@mirror.invalid",
        "https://[ada:hidden@mirror.invalid",
    ],
)
def test_an_address_with_a_password_in_it_is_withheld_and_named(value: str, tmp_path: Path) -> None:
    found = registries(tmp_path, {"HTTPS_PROXY": value, "GOSUMDB": "off"})
    assert (dict(found.variables), found.withheld) == ({"GOSUMDB": "off"}, ("HTTPS_PROXY",))


def test_the_clients_own_files_count_where_the_shell_says_nothing_and_no_token_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            ".config__pip__pip.conf": "[global]\nindex-url = https://mirror.invalid/simple\ncert = /etc/ssl/it.pem\n",
            ".npmrc": "registry=https://npm.invalid/\n//npm.invalid/:_authToken=hidden\ncafile=${HOME}/ca.pem\n",
            ".config__go__env": "GOPROXY=https://go.invalid\nGOFLAGS=-mod=mod\n",
            ".config__uv__uv.toml": 'system-certs = true\n[[index]]\nurl = "https://uv.invalid/it"\ndefault = true\n',
        },
    )
    assert registries(tmp_path, {"PIP_INDEX_URL": "https://mine.invalid/simple"}).variables == {
        "PIP_INDEX_URL": "https://mine.invalid/simple",
        "PIP_CERT": "/etc/ssl/it.pem",
        "npm_config_registry": "https://npm.invalid/",
        "GOPROXY": "https://go.invalid",
        "UV_SYSTEM_CERTS": "true",
        "UV_DEFAULT_INDEX": "https://uv.invalid/it",
    }


def test_files_that_can_not_be_read_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    write(tmp_path, **{".config__uv__uv.toml": "= no toml", ".pip__pip.conf": "no section\n", ".npmrc": "x" * 200_000})
    (tmp_path / ".config" / "go" / "env").mkdir(parents=True)
    assert registries(tmp_path, {}).variables == {}


def test_certificates_that_are_not_part_of_the_system_are_named_so_that_they_can_be_shown(tmp_path: Path) -> None:
    write(tmp_path, **{"company.pem": "-----BEGIN CERTIFICATE-----\n"})
    own, system = str(tmp_path / "company.pem"), "/etc/ssl/certs/ca-certificates.crt"
    found = registries(tmp_path, {"SSL_CERT_FILE": own, "NODE_EXTRA_CA_CERTS": own, "PIP_CERT": "/nowhere.pem"})
    assert found.certificates() == (Path(own),)
    assert system not in map(str, registries(tmp_path, {"SSL_CERT_FILE": system}).certificates())
