"""What stands between two signals, a module for each kind, and the signal itself."""
