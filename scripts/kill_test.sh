#!/bin/sh
# Is a run that was killed anywhere, and started again each time, the run that was never killed? See --help.
set -eu

name=$(basename "$0")
seed=1
out=
kills=

usage() {
    cat <<END
usage: $name N [--seed N] [--out FOLDER]

Trains a small model (dropout, moving average, accumulation, validation, averaging, TensorBoard) once without a break.
Then trains it again and again, kills each process with SIGKILL at a random moment, N times in all, and starts it again
until the run is finished. Weights, optimizer state, metrics.jsonl, translations and scores of every finished run must
be those of the first one, byte for byte. Prints how many kills fell where. About a second a kill on one core.

  N              how often to kill
  --seed N       of the moments (default: $seed)
  --out FOLDER   where everything is kept (default: a temporary folder, removed when all is well)
END
}

fail() {
    echo "$name: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --seed | --out)
            [ $# -ge 2 ] || fail "$1 needs a value"
            case $1 in
                --seed) seed=$2 ;;
                --out) out=$2 ;;
            esac
            shift 2
            ;;
        -*) fail "unknown option $1 (see --help)" ;;
        *)
            [ -z "$kills" ] || fail "one number of kills, please: $kills, and then $1"
            kills=$1
            shift
            ;;
    esac
done
[ -n "$kills" ] || fail "how many kills? (see --help)"
for number in "$kills" "$seed"; do
    case $number in
        '' | *[!0-9]* | 0*) fail "not a number above 0: $number" ;;
    esac
done

# The environment that `make setup` builds serves when none is active.
scripts=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:$scripts/../.venv/bin
export PATH
command -v mt-train >/dev/null || fail "mt-train is not installed; make setup"
python=$(dirname "$(command -v mt-train)")/python
[ -x "$python" ] || python=python3

OMP_NUM_THREADS=1
export OMP_NUM_THREADS
exec "$python" "$scripts/kill_test.py" "$kills" --seed "$seed" ${out:+--out "$out"}
