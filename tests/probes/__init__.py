"""Ways out of the walls, as data: what a fully obedient agent would try, told to. See tests/integration/test_probes.py."""
