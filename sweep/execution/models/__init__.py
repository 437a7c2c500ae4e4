"""Models of one's own under schemes and seeds: from arguments to a study."""
