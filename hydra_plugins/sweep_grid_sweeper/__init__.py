"""Hydra finds its plugins under this namespace; the work is done in `sweep`."""
