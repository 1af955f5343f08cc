"""The command line: one file a verb. It says what is wanted, and shows what is; it decides nothing."""
