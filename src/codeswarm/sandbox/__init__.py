"""The walls around agents, gates and snapshots."""
