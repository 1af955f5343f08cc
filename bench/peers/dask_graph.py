"""Run a graph of functions that do nothing through dask.distributed. Stands alone: it runs in the peers' environment.

Reads `{task: [what it waits for, …], …}` as JSON; prints the seconds from handing the graph over until all is done.
Two workers, each a process: the quickest of its ways where it was tried.
"""

import json
import sys
import time

from distributed import Client, LocalCluster  # type: ignore[import-not-found]  # it is in the peers' environment


def nothing(*_blockers: object) -> None:
    return None


def main() -> None:
    edges = json.load(sys.stdin)
    graph: dict[str, tuple[object, ...]] = {task: (nothing, *blockers) for task, blockers in edges.items()}
    awaited = {blocker for blockers in edges.values() for blocker in blockers}
    graph["all"] = (nothing, *(task for task in edges if task not in awaited))
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    with cluster, Client(cluster) as client:
        client.get({"warm": (nothing,)}, "warm")
        begun = time.perf_counter()
        client.get(graph, "all")
        print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
