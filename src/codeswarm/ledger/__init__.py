"""The durable truth: an append-only, hash-chained log of events, the tables read off it, and transcripts beside."""
