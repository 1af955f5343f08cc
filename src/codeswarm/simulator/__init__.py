"""The same domain and kernel under virtual time and seeded faults: the proof of the brain, and a person's forecast."""
