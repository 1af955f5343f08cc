"""Execution: pull → workspace → sandbox → agent or gate → report. A worker does; it never decides."""
