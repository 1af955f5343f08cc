"""Shipped for tests, ours and other people's: contract suites for every port, a scripted model server."""
