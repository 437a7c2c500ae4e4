"""Who shares work, in which pieces, and what it costs."""
