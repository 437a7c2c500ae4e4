"""Random streams, keyed by what they are for."""
