"""One file per coding agent, behind one contract."""
