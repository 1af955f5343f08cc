"""Which switch of the kernel's stands in the way of namespaces, and the command for that very one."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.sandbox import mending

APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"


def kernel(root: Path, **switches: str) -> Path:
    for name, value in switches.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


@pytest.mark.parametrize(
    ("switches", "told"),
    [
        ({"kernel__unprivileged_userns_clone": "0"}, [("kernel/unprivileged_userns_clone", "1")]),
        ({APPARMOR.replace("/", "__"): "1"}, [(APPARMOR, "0")]),
        ({"user__max_user_namespaces": "0"}, [("user/max_user_namespaces", "15000")]),
        (
            {"kernel__unprivileged_userns_clone": "1", "user__max_net_namespaces": "0", "user__max_pid_namespaces": "0"}
            | {"user__max_mnt_namespaces": "15000"},
            [("user/max_pid_namespaces", "15000"), ("user/max_net_namespaces", "15000")],
        ),
    ],
)  # fmt: skip
def test_the_switch_that_is_off_is_named_and_no_other(
    switches: dict[str, str], told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    command = " && ".join(f"echo {value} | sudo tee {tmp_path}/{name}" for name, value in told)
    assert mending.namespaces_denied(kernel(tmp_path, **switches)).partition("   #")[0] == command


def test_what_is_for_others_than_root_does_not_hinder_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(mending, "_CONTAINER", ())
    command = mending.namespaces_denied(kernel(tmp_path, kernel__unprivileged_userns_clone="0"))
    assert command.endswith("# shows the cause")


def test_in_a_container_its_maker_has_the_switch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "marked").touch()
    monkeypatch.setattr(mending, "_CONTAINER", (tmp_path / "marked",))
    assert mending.namespaces_denied(tmp_path).startswith("docker run --security-opt seccomp=unconfined")
