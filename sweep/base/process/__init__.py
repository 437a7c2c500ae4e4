"""The process that a command runs in: its frame, its first steps, signals, threads, the machine under it."""
