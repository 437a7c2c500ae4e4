#!/bin/bash
# sbatch slurm.sh
# Plain Slurm, without submitit: 32 shares of the grid.
#SBATCH --job-name=sweep
#SBATCH --array=1-32
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=01:00:00
#SBATCH --signal=TERM@60
set -euo pipefail

# A step of its own gets the signal before the time limit, and stores what is done.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    python -m sweep -m grid=standard shard="$SLURM_ARRAY_TASK_ID/32" n_jobs="$SLURM_CPUS_PER_TASK"
