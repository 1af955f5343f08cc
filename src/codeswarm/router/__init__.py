"""The router's HTTP face: `/api/v1` on a private Unix socket. It translates, and decides nothing."""
