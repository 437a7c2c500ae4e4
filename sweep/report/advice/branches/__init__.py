"""`recommend` for networks of blocks: how large a branch may be, and what a norm costs."""
