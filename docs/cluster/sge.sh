#!/bin/bash
# qsub sge.sh
# Grid Engine (SGE, UGE): 32 shares of the grid. The parallel environment's name (smp) is your site's.
#$ -N sweep
#$ -t 1-32
#$ -pe smp 8
#$ -l h_rt=01:00:00
#$ -cwd
#$ -S /bin/bash
set -euo pipefail

python -m sweep -m grid=standard shard="$SGE_TASK_ID/32" n_jobs="${NSLOTS:-8}"
