#!/bin/sh
# The synthetic experiment of the TaiLr paper (Ji et al., ICLR 2023, section 4.1): does a student trained with TaiLr come
# closer to the model that wrote its text than one trained with cross-entropy? See --help.
#
# Differences from the paper's code: Transformers instead of LSTMs; the oracle learns from the text given here, not from
# COCO captions. In the paper's experiment TaiLr's weights came from an evaluation pass of a copy of the model, without
# dropout; here, as in the released code, they are of the training pass itself (`weight_from: train`), with dropout 0.1.
# BLEU-4, SelfBLEU-4 and the corruptions are those of that code, and so are gamma 1e-7 and min_weight 0.2.
#
# What the intervals leave out: each student is trained once, with one seed, and the references of BLEU-4 and SelfBLEU-4
# are held fixed. They are over the sentences alone.
set -eu

name=$(basename "$0")
text=
gammas="1e-7 1e-3"
out=runs/tailr_oracle
num_train=10000
num_test=2000
max_sentences=
oracle_steps=1000
student_steps=400

usage() {
    cat <<END
usage: $name [--text FILE] [--gammas "$gammas"] [--out FOLDER] [sizes] [-- ARGUMENTS]

Trains an oracle on sentences (the source side is one word, always the same), draws text from it, trains students on
that text with cross-entropy and with TaiLr, and prints how near they come to the oracle; markdown, with a figure in
FOLDER. About 8 minutes on 2 CPU cores.

  --text FILE          one sentence a line, plain or .gz (default: the target side of the built-in phrasebook)
  --gammas "..."       one TaiLr student for each gamma (default: $gammas), with min_weight 0.2
  --out FOLDER         where everything goes (default: $out)
  --num-train N        sentences that the students learn from (default: $num_train)
  --num-test N         sentences of each set that measures are taken on (default: $num_test)
  --max-sentences N    lines of the text that are used (default: all)
  --oracle-steps N     steps of the oracle's training (default: $oracle_steps)
  --student-steps N    steps of each student's training (default: $student_steps)
  -- ARGUMENTS         handed to every mt-train, such as: -- --set model.d_model=256

The same command continues where it was interrupted.
END
}

fail() {
    echo "$name: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --) shift && break ;;
        --text | --gammas | --out | --num-train | --num-test | --max-sentences | --oracle-steps | --student-steps)
            [ $# -ge 2 ] || fail "$1 needs a value"
            case $1 in
                --text) text=$2 ;;
                --gammas) gammas=$2 ;;
                --out) out=$2 ;;
                --num-train) num_train=$2 ;;
                --num-test) num_test=$2 ;;
                --max-sentences) max_sentences=$2 ;;
                --oracle-steps) oracle_steps=$2 ;;
                --student-steps) student_steps=$2 ;;
            esac
            shift 2
            ;;
        *) fail "unknown option $1 (arguments for mt-train go after --; see --help)" ;;
    esac
done
for number in "$num_train" "$num_test" "${max_sentences:-1}" "$oracle_steps" "$student_steps"; do
    case $number in
        '' | *[!0-9]* | 0*) fail "not a number above 0: $number" ;;
    esac
done
[ -z "$text" ] || [ -f "$text" ] || fail "no file $text"

# The environment that `make setup` builds serves when none is active.
scripts=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:$scripts/../.venv/bin
export PATH
command -v mt-train >/dev/null || fail "mt-train is not installed; make setup"
python=$(dirname "$(command -v mt-train)")/python
[ -x "$python" ] || python=python3
"$python" -c 'import matplotlib' 2>/dev/null || fail "matplotlib is not installed: pip install 'mt_trainer[plots]'"

# From here on all paths are inside the folder of the experiment.
case $text in
    '' | /*) ;;
    *) text=$PWD/$text ;;
esac
mkdir -p "$out/samples" "$out/students"
cd "$out"

settings="text=$text num_train=$num_train num_test=$num_test max_sentences=$max_sentences oracle_steps=$oracle_steps"
settings="$settings student_steps=$student_steps arguments=$*"
if [ -f settings ]; then
    printf '%s\n' "$settings" | diff settings - >&2 ||
        fail "$out belongs to other settings (< there, > now); choose another folder with --out"
else
    "$python" "$scripts/tailr_oracle_text.py" text ${text:+--text "$text"} \
        ${max_sentences:+--max-sentences "$max_sentences"} >&2
    printf '%s\n' "$settings" >settings
fi

cat >model.yaml <<'END'
data:
  src_lang: go
  tgt_lang: text
  train: {format: text, src: text/train.src, tgt: text/train.tgt}
  dev: {format: text, src: text/dev.src, tgt: text/dev.tgt}
  max_length: 64
  max_length_ratio: 1000 # the source is one word
  drop_duplicates: false # how often a sentence is drawn is what the student should learn
tokenizer: {model_file: text/words.model}
model:
  {preset: transformer_tiny, num_encoder_layers: 1, num_decoder_layers: 2, dropout: 0.1}
optim:
  schedule: {name: linear, peak_lr: 3e-3}
training:
  batch_tokens: 4096
  select_by: nll
  keep_checkpoints: 1
decoding: {strategy: sampling, max_length_ratio: 0.0, max_length_constant: 1} # in training only the NLL is looked at
evaluation: {num_samples: 0}
runtime: {cache_folder: cache}
END

# train RUN OBJECTIVE STEPS FOLDER [arguments]: train.{src,tgt} and dev.{src,tgt} lie in FOLDER.
train() {
    run=$1 objective=$2 steps=$3 pairs=$4
    shift 4
    if [ -f "$run/evaluation/dev.json" ]; then
        echo "$run: finished before" >&2
        return
    fi
    echo "$run: training" >&2
    mt-train --config model.yaml --set "objective=$objective" --set "training.max_steps=$steps" \
        --set "optim.schedule.warmup_steps=$((steps / 10))" \
        --set "training.validate_every_steps=$(((steps + 9) / 10))" --set "runtime.run_folder=$run" \
        --set "data.train={format: text, src: $pairs/train.src, tgt: $pairs/train.tgt}" \
        --set "data.dev={format: text, src: $pairs/dev.src, tgt: $pairs/dev.tgt}" "$@" >&2
}

# draw RUN NUMBER SEED FILE: so many sentences, drawn from the model.
draw() {
    [ ! -f "$4" ] || return 0
    echo "$1: drawing $2 sentences" >&2
    yes go | head -n "$2" >"$4.src"
    mt-translate --run "$1" --input "$4.src" --output "$4" --set runtime.seed="$3" --set decoding.strategy=sampling \
        --set decoding.max_length_ratio=0.0 --set decoding.max_length_constant=64
    rm "$4.src"
}

# take FIRST LAST NAME: these lines of the oracle's text become samples/NAME.{src,tgt}.
take() {
    sed -n "$1,$2p" samples/drawn >"samples/$3.tgt"
    yes go | head -n $(($2 - $1 + 1)) >"samples/$3.src"
}

train oracle '{name: cross_entropy}' "$oracle_steps" text "$@"

num_dev=$(((num_train + 9) / 10))
draw oracle $((num_train + num_dev + 2 * num_test)) 42 samples/drawn
take 1 "$num_train" train
take $((num_train + 1)) $((num_train + num_dev)) dev
take $((num_train + num_dev + 1)) $((num_train + num_dev + num_test)) test
take $((num_train + num_dev + num_test + 1)) $((num_train + num_dev + 2 * num_test)) oracle

students=cross_entropy
train students/cross_entropy '{name: cross_entropy}' "$student_steps" samples "$@"
for gamma in $gammas; do
    students="$students tailr_$gamma"
    train "students/tailr_$gamma" "{name: tailr, gamma: $gamma, min_weight: 0.2, epsilon: 0}" "$student_steps" \
        samples "$@"
done
for student in $students; do
    draw "students/$student" "$num_test" 43 "samples/$student.tgt"
done

# shellcheck disable=SC2086 # one argument for each student
exec "$python" "$scripts/tailr_oracle.py" . $students
