"""Where the installed command begins: loading the program takes a moment, and Ctrl+C in it is no fault to be shown."""

import sys

INTERRUPTED = 130


def main() -> None:
    try:
        from codeswarm.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()
