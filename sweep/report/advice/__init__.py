"""Which scheme to take: those that theory prefers, tried."""
