"""What no run may see, whatever else is shown to it: our own data, and the project's checkout.

The data directory holds the key that signs receipts and the socket on which everything can be ordered; connecting to a
socket needs no write access. A checkout holds what is not committed, and what git keeps for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codeswarm.sandbox.base import Mask


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
