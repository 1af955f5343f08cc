"""`claude[:MODEL]`: the Claude Code CLI."""
