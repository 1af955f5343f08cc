"""The way out of a sandbox that has no network: a proxy of the worker's, with a list of hosts."""
