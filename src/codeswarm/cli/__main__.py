"""`python -m codeswarm.cli`: the same as `codeswarm`."""

from codeswarm.cli.main import main

main()
