"""Run a graph of functions that do nothing through Ray. Stands alone: it runs in the peers' environment.

Reads `{task: [what it waits for, …], …}` as JSON; prints the seconds from handing the graph over until all is done. A
task is a remote call that is given the references of those before it; two workers.
"""

import json
import sys
import time
from typing import Any

import ray  # type: ignore[import-not-found]  # it is in the peers' environment


def nothing(*_blockers: object) -> None:
    return None


def main() -> None:
    edges = json.load(sys.stdin)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    task = ray.remote(nothing)
    ray.get([task.remote() for _ in range(10)])
    begun = time.perf_counter()
    done: dict[str, Any] = {}
    for name, blockers in edges.items():
        done[name] = task.remote(*(done[blocker] for blocker in blockers))
    ray.get(list(done.values()))
    print(time.perf_counter() - begun)
    ray.shutdown()


if __name__ == "__main__":
    main()
