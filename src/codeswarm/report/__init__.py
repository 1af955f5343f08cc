"""The morning page: what came of a session, why, proven by what, at what cost, and how to undo it."""
