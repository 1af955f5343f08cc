"""What an attempt is told: the bundle (JSON, for programs) and the prompt made of it (text, for models)."""
