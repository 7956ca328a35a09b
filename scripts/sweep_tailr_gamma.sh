#!/bin/sh
# TaiLr: which gamma? (0 is label smoothing alone.) One run for every value and seed, and one table; see --help.
#
#   scripts/sweep_tailr_gamma.sh multi30k.yaml --values "0 0.1" --seeds "1 2 3" -- --set training.max_seconds=600
set -eu
SWEEP_NAME=$(basename "$0")
export SWEEP_NAME
exec "$(dirname "$0")/sweep.sh" gamma '{name: tailr, gamma: %s}' "0 0.01 0.1 0.5" "$@"
