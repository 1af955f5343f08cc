"""Control: takes commands, records events, and moves what may be moved. It never runs an agent or a gate."""
