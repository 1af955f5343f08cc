"""The process's environment, read once and here alone. Everything else is handed what it needs of it."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codeswarm.vendors import ANTHROPIC, VENDORS, keys_of

KEYS = tuple(name for vendor in VENDORS.values() for name in vendor.variables)
"""Every variable of the person's that any agent may be given; each gets those of its own vendor."""

OWN_FILES = {
    "claude": ("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json"),
    "codex": ("CODEX_HOME", ".codex", "auth.json"),
    "gemini": ("", ".gemini", "oauth_creds.json"),
}
"""Kind of agent → where its CLI's own file is, which its vendor's keys go before: the variable that names its folder,
the folder in a HOME where none does, its name."""

PROGRAMS = ("CLAUDE_CODE_EXECUTABLE", "CODEX_PATH")
"""Which CLI a bridge is to drive."""
NAMED = "CODESWARM_ACP_VARIABLES"


@dataclass(frozen=True, slots=True)
class Login:
    """What an adapter may hand to its CLI: the PATH to find it on, and credentials from the environment."""

    path: str
    claude: Mapping[str, str]
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Whatever of `KEYS` is set."""
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the person named in `CODESWARM_ACP_VARIABLES`, for agents of whom we know nothing."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Whatever of `PROGRAMS` is set."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Kind of agent → where its CLI keeps a login of its own, for those that no variable logs in."""

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Those of `names` that are set."""
        return {name: self.keys[name] for name in names if name in self.keys}


@dataclass(frozen=True, slots=True)
class Environment:
    """A snapshot of what the person's shell gave us."""

    variables: Mapping[str, str]

    @classmethod
    def read(cls) -> Environment:
        return cls(dict(os.environ))

    def _path(self, name: str, default: Path) -> Path:
        """A folder that a variable names. A relative one is no folder of anyone's, and counts for nothing."""
        named = Path(self.variables.get(name) or "")
        return named if named.is_absolute() else default

    @property
    def home(self) -> Path:
        return self._path("HOME", Path("/"))

    @property
    def left_folder(self) -> Path | None:
        """Where the shell thinks that it is: it need not be there any more."""
        named = self._path("PWD", Path())
        return named if named.is_absolute() else None

    @property
    def path(self) -> str:
        return self.variables.get("PATH") or os.defpath

    def has(self, program: str) -> bool:
        """Whether a program is on the PATH."""
        return shutil.which(program, path=self.path) is not None

    @property
    def editor(self) -> str:
        """The person's own, with its options; empty where none is named."""
        return self.variables.get("VISUAL") or self.variables.get("EDITOR") or ""

    @property
    def data(self) -> Path | None:
        """`CODESWARM_DATA`: where the ledger and the store are, instead of beside the repository's own data."""
        found = self.variables.get("CODESWARM_DATA")
        return Path(found) if found else None

    @property
    def workspaces(self) -> Path:
        """Disposable: `CODESWARM_WORKSPACES`, else a folder of the cache."""
        cache = self._path("XDG_CACHE_HOME", self.home / ".cache")
        found = self.variables.get("CODESWARM_WORKSPACES")
        return Path(found).absolute() if found else cache / "codeswarm"

    @property
    def user_config(self) -> Path:
        return self._path("XDG_CONFIG_HOME", self.home / ".config") / "codeswarm" / "config.toml"

    @property
    def colour(self) -> bool:
        return not self.variables.get("NO_COLOR") and self.variables.get("TERM") != "dumb"

    @property
    def completing(self) -> bool:
        """Whether a shell asks what could be typed next."""
        return "_CODESWARM_COMPLETE" in self.variables

    @property
    def login(self) -> Login:
        claude = self._set(ANTHROPIC.keys) and self._set(ANTHROPIC.variables)
        extra, programs = self._set(self._named), self._set(PROGRAMS)
        return Login(self.path, claude, self._set(KEYS), extra, programs, self._own_files)

    @property
    def _own_files(self) -> dict[str, Path]:
        return {
            kind: self._path(variable, self.home / folder) / name
            for kind, (variable, folder, name) in OWN_FILES.items()
            if not self._set(keys_of(kind))
        }

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of all variables here that log somebody in."""
        return (*(name for vendor in VENDORS.values() for name in vendor.keys), *self._named)

    @property
    def _named(self) -> list[str]:
        return (self.variables.get(NAMED) or "").split()

    def _set(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.variables[name] for name in names if self.variables.get(name)}

    @property
    def settings(self) -> Mapping[str, str]:
        """`CODESWARM_*` variables, without the prefix."""
        prefix = "CODESWARM_"
        return {name.removeprefix(prefix): value for name, value in self.variables.items() if name.startswith(prefix)}


def person() -> str:
    """Who gives commands, as the audit trail names them: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"
