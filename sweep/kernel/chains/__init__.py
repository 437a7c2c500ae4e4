"""A chain, what it costs, and what one chain tells of others."""
