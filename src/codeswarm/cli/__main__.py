"""`python -m codeswarm.cli`: the same as `codeswarm`."""

from codeswarm.cli.start import main

main()
