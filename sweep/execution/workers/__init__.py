"""Whoever computes tasks: this process, processes here, Dask's workers, Slurm's elements."""
