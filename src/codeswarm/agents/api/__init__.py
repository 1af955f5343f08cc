"""`api:MODEL`: a loop of our own around a model's endpoint, for models without a CLI."""
