"""The handlers behind `evolve`: one file for each thing that changes."""
