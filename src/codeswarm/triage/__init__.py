"""Which ticket next, by the graph: a reading, never a decision of the scheduler."""
