"""`acp:COMMAND`: whatever speaks the Agent Client Protocol."""
