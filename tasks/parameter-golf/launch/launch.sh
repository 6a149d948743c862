# Starts upstream's own command where it can write: it leaves checkpoints and logs in its working directory.
#   launch.sh [smoke]
set -euo pipefail
recipe=$PWD
export DATA_DIR=$MENDEL_DATA/fineweb/ SEED=$MENDEL_SEED MAX_WALLCLOCK_SECONDS=600
export VAL_LOSS_EVERY=0 # validation in the middle of training is on the clock, and nobody reads it
if [ "${1:-}" = smoke ]; then
  export ITERATIONS=2 WARMUP_STEPS=1 GPTQ_CALIBRATION_BATCHES=2 SLIDING_WINDOW_ENABLED=0
fi
cd "$MENDEL_OUT"
exec torchrun --standalone --nproc_per_node=8 "$recipe/train_gpt.py"
