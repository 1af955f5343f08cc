"""What a person trusts of repositories: digests, in a file of their own, beside their settings.

It stands outside of every repository: what comes with one must not be able to vouch for itself.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codeswarm.access import unusable
from codeswarm.errors import ConfigError

ELSEWHERE = "XDG_CONFIG_HOME=$HOME/my-config   # or another folder that you can write to"


class Trusted:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __contains__(self, digest: str) -> bool:
        return bool(digest) and digest in self._read()

    def add(self, digests: Iterable[str], note: Mapping[str, str]) -> None:
        """Trust these from now on; `note` says of what, by whom and when. Idempotent.

        Raises: UsageError, ConfigError.
        """
        self._change({digest: dict(note) for digest in digests}, ())

    def remove(self, digests: Iterable[str]) -> None:
        """Trust these no more. Idempotent. Raises: UsageError, ConfigError."""
        self._change({}, tuple(digests))

    def _change(self, more: Mapping[str, Any], less: tuple[str, ...]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                rows = {**self._read(), **more}
                kept = {digest: row for digest, row in rows.items() if digest not in less}
                fresh = self._path.with_suffix(".new")
                fresh.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
                fresh.chmod(0o600)
                os.replace(fresh, self._path)  # noqa: PTH105 - beside the lock, as one step
        except OSError as error:
            raise unusable(error, self._path, ELSEWHERE) from error

    def _read(self) -> dict[str, Any]:
        """Raises: ConfigError where it can't be read: it is a person's word, and not to be written over."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise _unreadable(self._path, str(error)) from error
        if not isinstance(found, dict):
            raise _unreadable(self._path, "it is no mapping of digests")
        return found


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"what you trust can't be read from {path}", why, f"mv {path} {path}.old   # trusts nothing")
