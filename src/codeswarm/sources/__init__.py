"""Where tickets come from and go to: files, standard input, beads. Every source gives the data of a plan."""
