#!/bin/bash
# bsub < lsf.sh
# LSF: 32 shares of the grid.
#BSUB -J sweep[1-32]
#BSUB -n 8
#BSUB -R "span[hosts=1] rusage[mem=1GB]"
#BSUB -W 01:00
#BSUB -o sweep-%J-%I.log
set -euo pipefail

python -m sweep -m grid=standard shard="$LSB_JOBINDEX/32" n_jobs="${LSB_DJOB_NUMPROC:-8}"
