"""What Codeswarm costs, measured beside its peers in one run. `make bench` runs all of it; one module a row."""
