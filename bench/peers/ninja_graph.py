"""Run a graph of commands that do nothing through ninja. Stands alone: it runs in the peers' environment.

Reads `{task: [what it waits for, …], …}` as JSON; prints the seconds from starting ninja until all is done. A task is a
process (`:` in a shell), two at once.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ninja  # type: ignore[import-not-found]  # it is in the peers' environment


def main() -> None:
    edges = json.load(sys.stdin)
    lines = ["rule nothing", "  command = :"]
    lines += [f"build {task}: nothing {' '.join(blockers)}" for task, blockers in edges.items()]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "build.ninja").write_text("\n".join(lines) + "\n", encoding="utf-8")
        argv = [str(Path(ninja.BIN_DIR, "ninja")), "-C", folder, "-j", "2", "--quiet"]
        begun = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
