#!/bin/bash
# qsub pbs.sh
# PBS Professional and OpenPBS: 32 shares of the grid. Torque: '#PBS -t 1-32' and $PBS_ARRAYID.
#PBS -N sweep
#PBS -J 1-32
#PBS -l select=1:ncpus=8:mem=8gb
#PBS -l walltime=01:00:00
set -euo pipefail
cd "$PBS_O_WORKDIR"

python -m sweep -m grid=standard shard="${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-}}/32" n_jobs="${NCPUS:-8}"
