"""Run a graph of tasks that do nothing through luigi. Stands alone: it runs in the peers' environment.

Reads `{task: [what it waits for, …], …}` as JSON; prints the seconds from handing the graph over until all is done. The
scheduler is luigi's own within the process, with one worker; nothing is written, a task remembers that it is done.
"""

import json
import logging
import sys
import time

import luigi  # type: ignore[import-not-found]  # it is in the peers' environment

EDGES: dict[str, list[str]] = {}
DONE: set[str] = set()


class Nothing(luigi.Task):  # type: ignore[misc]
    name = luigi.Parameter()

    def requires(self) -> "list[Nothing]":
        return [Nothing(name=blocker) for blocker in EDGES[self.name]]

    def complete(self) -> bool:
        return self.name in DONE

    def run(self) -> None:
        DONE.add(self.name)


def main() -> None:
    EDGES.update(json.load(sys.stdin))
    awaited = {blocker for blockers in EDGES.values() for blocker in blockers}
    EDGES["all"] = [task for task in EDGES if task not in awaited]
    logging.disable(logging.CRITICAL)
    begun = time.perf_counter()
    luigi.build([Nothing(name="all")], local_scheduler=True, workers=1, log_level="CRITICAL")
    took = time.perf_counter() - begun
    assert len(DONE) == len(EDGES)
    print(took)


if __name__ == "__main__":
    main()
