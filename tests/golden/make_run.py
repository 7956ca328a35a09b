"""Writes the golden run of a release: `python tests/golden/make_run.py tests/golden/run_0.1.0`, once for each.

A few kilobytes: words of a made-up language are translated one by one. Later versions must load what it leaves, and
translate with it to the very same text; so the run of a release is never made again.
"""

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import sentencepiece

from mt_trainer.config import load_config
from mt_trainer.training.train import train

WORDS = {"sun": "tala", "moon": "rimo", "sea": "ve", "stone": "kodu", "bird": "pisi", "tree": "lenna"}

CONFIG = """\
data:
  src_lang: en
  tgt_lang: xx
  train: {format: text, src: train.en, tgt: train.xx}
  dev: {format: text, src: dev.en, tgt: dev.xx}
  max_length: 16
  drop_duplicates: false
tokenizer: {model_file: words.model}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 12, ffn_dim: 12, num_heads: 2, dropout: 0.0}
optim: {schedule: {name: linear, peak_lr: 2e-2, warmup_steps: 20}}
training: {batch_tokens: 512, max_steps: 400, validate_every_steps: 400, log_every_steps: 200, keep_checkpoints: 1}
decoding: {strategy: greedy}
runtime: {device: cpu, precision: fp32, threads: 1, run_folder: run, cache_folder: cache}
"""


def main() -> None:
    """Train in a temporary folder, and keep what a later version has to read."""
    out, work = Path(sys.argv[1]).absolute(), Path(tempfile.mkdtemp())
    os.chdir(work)
    rng = random.Random(1)
    for part, number in (("train", 400), ("dev", 10)):
        sentences = [rng.choices(list(WORDS), k=rng.randint(1, 5)) for _ in range(number)]
        Path(f"{part}.en").write_text("".join(f"{' '.join(words)}\n" for words in sentences))
        Path(f"{part}.xx").write_text("".join(f"{' '.join(map(WORDS.__getitem__, words))}\n" for words in sentences))
    sentencepiece.SentencePieceTrainer.train(
        input="train.en,train.xx",
        model_prefix="words",
        model_type="word",
        vocab_size=4 + 2 * len(WORDS),
        normalization_rule_name="identity",  # the usual rules alone have 240 kB
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
    )
    Path("words.yaml").write_text(CONFIG)
    train(load_config("words.yaml"), Path("run"), announce=print)
    for name in ("tensorboard", "translations", "evaluation"):
        shutil.rmtree(f"run/{name}")
    for name in ("timing.jsonl", "environment.json", "data.json"):
        Path("run", name).unlink()
    shutil.copytree("run", out)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
