"""`python -m tests.mutations [ADAPTER …] [--seed N] [--count N | --only N]`: plays mutated transcripts.

Without more: all hundred thousand. `--only` shows the one transcript, too. Exit code 1: a promise did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from tests.mutations.adapters import Adapter, all_adapters
from tests.mutations.play import SHARES, Broken, case_of, play


def main(words: Sequence[str] | None = None) -> int:
    wanted, adapters = _parser().parse_args(words), all_adapters()
    for name in wanted.adapters or SHARES:
        adapter, begun = adapters[name], time.process_time()
        numbers = range(wanted.count or SHARES[name]) if wanted.only is None else [wanted.only]
        if wanted.only is not None:
            _show(adapter, wanted.seed, wanted.only)
        try:
            found = asyncio.run(play(adapter, wanted.seed, numbers))
        except Broken as broken:
            sys.stdout.write(f"{broken}\n")
            return 1
        used = time.process_time() - begun
        ends = "  ".join(f"{how} {count}" for how, count in sorted(found.items()))
        sys.stdout.write(f"{name}: {found.total()} in {used:.1f} s of processor time: {ends}\n")
    return 0


def _show(adapter: Adapter, seed: int, number: int) -> None:
    case = case_of(adapter, seed, number)
    kind = "a failure" if case.fails else "a success"
    sys.stdout.write(f"{kind}, exit code {case.code}:\n{case.transcript[:20_000].decode(errors='backslashreplace')}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("adapters", nargs="*", choices=[*SHARES, []], metavar="ADAPTER", help="only these")
    parser.add_argument("--seed", type=int, default=1, help="another hundred thousand")
    parser.add_argument("--count", type=int, default=0, help="so many of each adapter")
    parser.add_argument("--only", type=int, help="this one alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
