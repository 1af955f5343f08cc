"""The way in: `python -I -S …/loop/__main__.py`, with what to do in the environment and on standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # Alone it runs, without site-packages; its own package is five folders up.
    sys.path.insert(0, str(Path(__file__).resolve().parents[4]))
    from codeswarm.agents.api.loop.run import main

    sys.exit(main(dict(os.environ)))
