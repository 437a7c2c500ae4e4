#!/bin/bash
# bash parallel.sh
# GNU parallel: 8 shares of the grid, a core each. On several machines that share the working directory
# add, to parallel's options: --sshlogin host1,host2 --workdir .
set -euo pipefail

# A share that fails is tried once more; the journal lets the same command skip the shares that are done.
parallel --jobs 100% --retries 2 --joblog sweep-jobs.tsv --resume-failed \
    python -m sweep -m grid=standard shard={}/8 n_jobs=1 ::: $(seq 8)
