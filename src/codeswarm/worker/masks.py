"""What no run may see, whatever else is shown to it: our own data, the project's checkout, what a HOME keeps secret.

The data directory holds the key that signs receipts and the socket on which everything can be ordered; connecting to a
socket needs no write access. A checkout holds what is not committed, and what git keeps for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codeswarm.sandbox.base import Mask, Mount

SECRETS = (
    ".ssh", ".gnupg", ".pki", ".password-store", ".local/share/keyrings", ".config/sops", ".age", ".vault-token",
    ".netrc", ".git-credentials", ".config/git/credentials", ".config/gh", ".config/hub", ".config/glab-cli",
    ".aws", ".azure", ".config/gcloud", ".config/doctl", ".kube", ".docker", ".terraform.d", ".boto", ".s3cfg",
    ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".config/pip", ".cargo/credentials", ".cargo/credentials.toml",
    ".gem/credentials", ".m2/settings.xml", ".gradle/gradle.properties", ".pgpass", ".my.cnf",
    ".claude", ".claude.json", ".codex", ".gemini", ".config/codeswarm", ".cache/codeswarm",
    ".mozilla", ".config/google-chrome", ".config/chromium", ".thunderbird", ".bash_history", ".zsh_history",
    ".python_history", ".psql_history", ".dbus", ".Xauthority", ".ICEauthority", ".X11-unix", ".run",
)  # fmt: skip
"""Below a HOME. They are hidden where a wider folder is shown, whether they are there yet or come later; who wants one
seen names it, or something in it."""


def masks(objects: Path, repository: str = "", asked: Iterable[str] = ()) -> tuple[Mask, ...]:
    """Masks for the project of a store.

    Args: objects: the store's, the one thing of our data that is needed. repository: the person's checkout. asked: what
    the person allowed to be read; a checkout that they named, or that stands below, stays visible.
    """
    data = objects.parent.parent
    found = [Mask(data, only=(objects,))]
    folders = [data.parent.parent] if data.parent.name == ".git" else []
    folders += [Path(repository)] if repository else []
    named = [Path(path).resolve() for path in asked]
    found += [Mask(folder) for folder in folders if not any(folder.resolve().is_relative_to(path) for path in named)]
    return tuple(found)


def secrets(home: Path, mounts: Iterable[Mount], asked: Iterable[str] = ()) -> tuple[Mask, ...]:
    """Masks for what a HOME keeps secret, as far as any mount would show it."""
    home, shown = home.resolve(), [mount.source.resolve() for mount in mounts if mount.source.is_dir()]
    wide = [folder for folder in shown if home.is_relative_to(folder) or folder.is_relative_to(home)]
    named = [Path(path).resolve() for path in asked]
    hidden = [home / name for name in SECRETS] if wide else []
    return tuple(
        Mask(path)
        for path in hidden
        if any(path.is_relative_to(folder) for folder in wide)
        and not any(folder.is_relative_to(path) for folder in named)
    )
