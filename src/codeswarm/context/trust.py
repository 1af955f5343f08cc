"""What of a repository counts only once a person trusts it, and the digest by which they do.

A repository is data of whoever can commit to it. Hooks and MCP servers are programs that an agent's CLI would start,
skills and roles are instructions above the ticket's. A person trusts them as they stand; where an attempt begins with
anything else, they count for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

TRUSTED = (".claude", ".mcp.json", ".codex", ".gemini", ".agents", ".codeswarm/roles", ".codeswarm/skills")
"""Files and folders, from the repository's top."""


def of_trust(listing: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The files of a listing (path → mode, blob) that need trust."""
    return {path: entry for path, entry in sorted(listing.items()) if _needs_it(path)}


def digest_of(listing: Mapping[str, tuple[str, str]]) -> str:
    """SHA-256 over names, modes and contents of what needs trust; empty where nothing does."""
    rows = of_trust(listing)
    told = "\0".join(f"{mode} {blob} {path}" for path, (mode, blob) in rows.items())
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest() if rows else ""


def _needs_it(path: str) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in TRUSTED)
