"""Go: `go test ./...`, with modules and compiled packages kept in the workspace, where the gate finds them offline.

Without that every gate would compile the standard library anew: half a minute on two cores. The compiler's cache is
addressed by content, so what an earlier commit left in it can't speak for a later one.
"""

from __future__ import annotations

import re

from codeswarm.detection.base import Files, Has, Proposal, Proposed, network_setup

_PLACES = 'GOPATH="$PWD/.go" GOCACHE="$PWD/.go/cache"'
_IGNORED = "mkdir -p .go && echo '*' > .go/.gitignore"
_COMPILE = "{ go test -c -o /dev/null ./... || true; }"
"""What does not compile on the base must not keep agents from mending it."""


def look(files: Files, has: Has) -> Proposal | None:
    text = files.text("go.mod")
    if text is None:
        return None
    gate = Proposed("gates.fast", f"{_PLACES} go test ./...", "go.mod", "")
    inputs = [name for name in ("go.mod", "go.sum") if name in files.names()]
    fetches = re.search(r"^\s*require\b", text, re.MULTILINE) and "vendor" not in files.folders()
    steps = [_IGNORED, f"export {_PLACES}", *(["GOFLAGS=-modcacherw go mod download"] if fetches else []), _COMPILE]
    why = "modules and compiled packages are kept for the gate, which has no network"
    setup = network_setup(" && ".join(steps), inputs, inputs[-1], why)
    return Proposal("Go", (gate, *(setup if fetches else setup[:2])), (), ("go",), ("go test",))
