#!/bin/sh
# Label smoothing: which epsilon? One run for every value and seed, and one table; see --help.
#
#   scripts/sweep_smoothing.sh multi30k.yaml --values "0 0.1" --seeds "1 2 3" -- --set training.max_seconds=600
set -eu
SWEEP_NAME=$(basename "$0")
export SWEEP_NAME
exec "$(dirname "$0")/sweep.sh" epsilon '{name: label_smoothing, epsilon: %s}' "0 0.05 0.1 0.2" "$@"
