#!/bin/sh
# The engine of the sweeps: one run of mt-train and mt-eval for every value and seed, then one table.
#
#   sweep.sh PARAMETER OBJECTIVE VALUES CONFIG [options]        (called by sweep_smoothing.sh and sweep_tailr_gamma.sh)
#
# PARAMETER names the column, OBJECTIVE is the objective in YAML with %s for the value, VALUES are the default values.
# A cell is finished once OUT/cells/<cell>.tsv is there, and is not run again; an unfinished one is resumed by mt-train.
# A cell whose training diverges (status 3 of mt-train) is left out; any other failure ends the sweep.
set -eu

parameter=$1
objective=$2
values=$3
shift 3

usage() {
    cat <<END
usage: $SWEEP_NAME CONFIG [--values "$values"] [--seeds "1 2"] [--out FOLDER] [-- ARGUMENTS]

Trains CONFIG with every value of objective.$parameter and every seed, and prints one table.

  --values "..."   values of $parameter (default: $values)
  --seeds "..."    seeds (default: 1)
  --out FOLDER     where the runs and table.tsv go (default: $out)
  -- ARGUMENTS     handed to every mt-train, such as: -- --set training.max_steps=1000

The same command continues an interrupted sweep. Scores are those of the best checkpoint; nll is in nats per token.
A run that diverges is reported and left out of the table; the same command tries it again.
END
}

fail() {
    echo "$SWEEP_NAME: $1" >&2
    exit 2
}

seeds=1
out=runs/sweep_$parameter
config=
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --) shift && break ;;
        --values | --seeds | --out)
            [ $# -ge 2 ] || fail "$1 needs a value"
            case $1 in
                --values) values=$2 ;;
                --seeds) seeds=$2 ;;
                --out) out=$2 ;;
            esac
            shift 2
            ;;
        -*) fail "unknown option $1 (arguments for mt-train go after --; see --help)" ;;
        *)
            [ -z "$config" ] || fail "one config, please: $config, and then $1"
            config=$1
            shift
            ;;
    esac
done
[ -n "$config" ] || fail "which config? (see --help)"
case "$values,$seeds" in
    ,* | *,) fail "no values or no seeds" ;;
esac

# The environment that `make setup` builds serves when none is active.
PATH=$PATH:$(cd "$(dirname "$0")/.." && pwd)/.venv/bin
export PATH
command -v mt-train >/dev/null || fail "mt-train is not installed; make setup"

# shellcheck disable=SC2059 # the objective is the format
objective_with() { printf "$objective" "$1"; }

# Everything is checked before the first run: a value out of range should not show up after hours.
settings=$(mt-train --config "$config" "$@" --print-config)
for value in $values; do
    for seed in $seeds; do
        mt-train --config "$config" "$@" --set objective=null --set "objective=$(objective_with "$value")" \
            --set "runtime.seed=$seed" --print-config >/dev/null
    done
done

# Finished cells are only worth keeping if they come from the same settings.
mkdir -p "$out/cells"
if [ -f "$out/settings.yaml" ]; then
    printf '%s\n' "$settings" | diff "$out/settings.yaml" - >&2 ||
        fail "$out belongs to other settings (< there, > now); choose another folder with --out"
else
    printf '%s\n' "$settings" >"$out/settings.yaml"
fi

# From mt-eval's JSON on stdin: one line of names and one of numbers.
as_table_rows() {
    python3 -c '
import json, pathlib, sys

parameter, value, seed, run = sys.argv[1:]
results = json.load(sys.stdin)
state = json.loads(pathlib.Path(run, "checkpoints", results[0]["checkpoint"], "state.json").read_text())
row = {parameter: value, "seed": seed, "dev nll": state["dev"]["nll"]}
for result in results:
    for score in result["scores"]:
        if "bleu" in score["name"]:
            row[result["set"] + " " + score["name"]] = score["value"]
print("\t".join(row))
print("\t".join(entry if isinstance(entry, str) else f"{entry:.4f}" for entry in row.values()))
' "$@"
}

# The names, then the finished cells in order, with a mean over the seeds after each value.
table() {
    head -n 1 "$first"
    for value in $values; do
        for seed in $seeds; do
            cell=$out/cells/${parameter}_${value}_seed_$seed.tsv
            [ ! -f "$cell" ] || tail -n 1 "$cell"
        done | awk -F '\t' -v OFS='\t' '
            { print; for (i = 3; i <= NF; i++) sum[i] += $i }
            END {
                if (NR < 2) exit
                $2 = "mean"
                for (i = 3; i <= NF; i++) $i = sprintf("%.4f", sum[i] / NR)
                print
            }'
    done
}

first= # the first finished cell
diverged=
for value in $values; do
    for seed in $seeds; do
        name=${parameter}_${value}_seed_$seed
        cell=$out/cells/$name.tsv
        if [ -f "$cell" ]; then
            echo "$name: finished before" >&2
            first=${first:-$cell}
            continue
        fi
        echo "$name: training" >&2
        status=0
        mt-train --config "$config" "$@" --set objective=null --set "objective=$(objective_with "$value")" \
            --set "runtime.seed=$seed" --set "runtime.run_folder=$out/$name" >&2 || status=$?
        case $status in
            0) ;;
            3)
                echo "$name: diverged" >&2
                diverged="$diverged $name"
                continue
                ;;
            *) exit "$status" ;;
        esac
        echo "$name: evaluation" >&2
        mt-eval --run "$out/$name" --json >"$cell.json"
        as_table_rows "$parameter" "$value" "$seed" "$out/$name" <"$cell.json" >"$cell.part"
        rm "$cell.json"
        mv "$cell.part" "$cell"
        first=${first:-$cell}
    done
done

[ -z "$diverged" ] || echo "diverged, and not in the table:$diverged" >&2
[ -n "$first" ] || exit 3

table >"$out/table.tsv.part"
mv "$out/table.tsv.part" "$out/table.tsv"

awk -F '\t' '
    { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
    END {
        for (row = 1; row <= NR; row++) {
            line = ""
            for (i = 1; i <= NF; i++) line = line sprintf("%s%" width[i] "s", i > 1 ? "  " : "", cell[row, i])
            print line
        }
    }' "$out/table.tsv"
