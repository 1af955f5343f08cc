"""`codex[:MODEL]`: the Codex CLI, by its app server."""
