"""Go: `go test ./...`, with modules and compiled packages kept in the workspace, where the gate finds them offline.

Without that every gate would compile the standard library anew: half a minute on two cores. The compiler's cache is
addressed by content, so what an earlier commit left in it can't speak for a later one. What does not compile on the
base must not keep agents from mending it.
"""

from __future__ import annotations

import posixpath
import re
import shlex

from codeswarm.detection.base import Files, Has, Proposal, Proposed, network_setup

_PLACES = 'GOPATH="$PWD/.go" GOCACHE="$PWD/.go/cache"'
_IGNORED = "mkdir -p .go && echo '*' > .go/.gitignore"
_MOST = 50
"""Modules of one workspace of Go's."""


def look(files: Files, has: Has) -> Proposal | None:
    modules = _modules(files)
    if not modules:
        return None
    source = "go.mod" if modules == [""] else "go.work"
    packages = " ".join(f"./{shlex.quote(module)}/..." if module else "./..." for module in modules)
    gate = Proposed("gates.fast", f"{_PLACES} go test {packages}", source, "")
    written = [f"{module}/{name}".lstrip("/") for module in modules for name in ("go.mod", "go.sum")]
    inputs = [name for name in ("go.work", "go.work.sum", *written) if files.text(name) is not None]
    asks = any(re.search(r"^\s*require\b", files.text(name) or "", re.MULTILINE) for name in inputs)
    fetches = asks and "vendor" not in files.folders()
    compiles = f"{{ go test -c -o /dev/null {packages} || true; }}"
    steps = [_IGNORED, f"export {_PLACES}", *(["GOFLAGS=-modcacherw go mod download"] if fetches else []), compiles]
    why = "modules and compiled packages are kept for the gate, which has no network"
    setup = network_setup(" && ".join(steps), inputs, inputs[-1] if source == "go.mod" else source, why)
    return Proposal("Go", (gate, *(setup if fetches else setup[:2])), (), ("go",), ("go test",))


def _modules(files: Files) -> list[str]:
    """The folders of modules: the top, else those that `go.work` uses."""
    work = files.text("go.work")
    if work is None:
        return [""] if files.text("go.mod") is not None else []
    blocks = re.findall(r"^use\s*\(([^)]*)\)|^use\s+([^(\s]+)", work, re.MULTILINE)
    named = [word for block in blocks for line in "\n".join(block).splitlines() for word in line.split("//")[0].split()]
    folders = [posixpath.normpath(word.strip('"')) for word in named]
    return ["" if folder == "." else folder for folder in folders if not folder.startswith(("..", "/"))][:_MOST]
