"""Shares of a grid as elements of Slurm arrays."""
