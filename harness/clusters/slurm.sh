#!/bin/bash
# A study on several nodes of a Slurm cluster. Not run on one yet: checked with `bash -n`, shellcheck and stand-ins.
#
#   PROJECT=~/tadscale DATA=/scratch/thumos14 WEIGHTS=/scratch/weights RESULTS=/scratch/results \
#       sbatch --nodes=4 --gpus-per-node=4 harness/clusters/slurm.sh studies/scale_frames.py
#
# PROJECT, DATA, WEIGHTS and RESULTS lie on a file system that all nodes share. Start the same line again to go on.
#SBATCH --job-name=tadscale
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --output=%x-%j.log
set -euo pipefail

: "${PROJECT:?the folder of the project, with its .venv}" "${DATA:?the data set}" "${WEIGHTS:?the pretrained weights}"
: "${RESULTS:?a folder that all nodes share, or s3://bucket/prefix}"
study=${1:?a study, such as studies/scale_frames.py}
shift

cd "$PROJECT"
# shellcheck disable=SC1091
source .venv/bin/activate

# Other users can reach the head's port, so the cluster asks for a token; srun hands the environment on.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
export RAY_ADDRESS=$head_ip:6379
# Ray's sockets lie in its folder, and their paths may have 107 characters at most.
common=(--num-cpus="$SLURM_CPUS_PER_TASK" --temp-dir="/tmp/ray-$SLURM_JOB_ID" --block)

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$head_ip" --port=6379 --dashboard-host=127.0.0.1 "${common[@]}" &
if ((SLURM_JOB_NUM_NODES > 1)); then
    sleep 15
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --address="$RAY_ADDRESS" "${common[@]}" &
fi

# A node that joins later would be used too; but trials are planned for what is there at the start.
python - "$SLURM_JOB_NUM_NODES" <<'PYTHON'
import sys
import time

import ray

wanted, end = int(sys.argv[1]), time.monotonic() + 600
while time.monotonic() < end:
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
        if sum(node["Alive"] for node in ray.nodes()) >= wanted:
            sys.exit()
    except (ConnectionError, RuntimeError):
        pass
    time.sleep(5)
sys.exit(f"fewer than {wanted} nodes joined within 10 minutes")
PYTHON

# Five minutes before the time is up Slurm sends TERM to this script only; the study saves its state and ends with 130.
python "$study" --on thumos14 --data-root "$DATA" --weights "$WEIGHTS" --device cuda \
    --address "$RAY_ADDRESS" --storage "$RESULTS" "$@" &
driver=$!
trap 'kill -TERM "$driver"' TERM INT
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do # a trap ends a wait early
    code=0
    wait "$driver" || code=$?
done
if ((code == 130)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
