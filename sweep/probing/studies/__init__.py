"""A model of one's own under schemes and seeds: made, its weights drawn again, probed."""
