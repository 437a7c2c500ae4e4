"""Past one machine: Dask and Slurm, each in a module that is imported where it is asked for."""
