"""A run whose weights overflow on one sentence: mt-train stops with a capsule, and mt-run replay finds the sentence."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mt_trainer.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train:
    - {format: phrasebook, split: train, max_pairs: 40}
    - {format: text, src: own.en, tgt: own.de}
  dev: {format: phrasebook, split: dev, max_pairs: 10}
  max_length: 48
tokenizer: {vocab_size: 330, joint: false, character_coverage: 1.0}
model:
  num_encoder_layers: 1
  num_decoder_layers: 1
  d_model: 16
  ffn_dim: 32
  num_heads: 2
  dropout: 0.1
  share_embeddings: decoder
optim: {schedule: {peak_lr: 1e-3, warmup_steps: 10}}
training:
  batch_tokens: 768
  accumulation: 2
  max_steps: 40
  log_every_steps: 5
  validate_every_steps: 20
  keep_checkpoints: 1
  max_skipped_steps: 0
decoding: {strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}
runtime: {device: cpu, precision: fp32, threads: 1}
"""
POISONED = "the dog sees house number 37, ¿ or not."


def call(folder: Path, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the package in a folder."""
    return subprocess.run(
        [sys.executable, "-m", f"mt_trainer.cli.{module}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run after one step, whose embedding of the one character that a single sentence has is huge, but finite."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "small.yaml").write_text(CONFIG)
    english = [f"the dog sees house number {number}." for number in range(60)]
    english[37] = POISONED
    (folder / "own.en").write_text("".join(f"{line}\n" for line in english))
    (folder / "own.de").write_text("".join(f"der Hund sieht das Haus Nummer {number}.\n" for number in range(60)))
    done = call(folder, "train", "--config", "small.yaml", "--set", "training.max_steps=1")
    assert done.returncode == 0, done.stderr

    from mt_trainer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder / "runs/small/tokenizer.src.model")
    others = {piece for line in english if line != POISONED for piece in tokenizer.encode([line])[0]}
    (own,) = set(tokenizer.encode(["¿"])[0]) - others
    checkpoint = load_checkpoint(folder / "runs/small/checkpoints/step_00000001")
    weights, state = checkpoint.model(), checkpoint.state
    weights["src_embedding.weight"][own] = 3e38
    save_checkpoint(
        checkpoint.path.parent,
        checkpoint.name,
        model=weights,
        optimizer=checkpoint.optimizer(),
        state=state,
        origin=checkpoint.origin,
    )
    return folder


@pytest.fixture(scope="module")
def stopped(work: Path) -> "subprocess.CompletedProcess[str]":
    return call(work, "train", "--config", "small.yaml", "--set", "training.max_steps=40")


def test_training_stops_with_a_capsule(work: Path, stopped: "subprocess.CompletedProcess[str]") -> None:
    assert stopped.returncode == 3, stopped.stderr
    (capsule,) = (work / "runs/small/crash").iterdir()
    assert f"mt-run replay runs/small/crash/{capsule.name}" in stopped.stderr
    assert "error[MT120]" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_the_replay_has_the_same_bits_and_names_the_pair(
    work: Path, stopped: "subprocess.CompletedProcess[str]"
) -> None:
    (capsule,) = (work / "runs/small/crash").iterdir()
    done = call(work, "run", "replay", str(capsule.relative_to(work)))
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert re.fullmatch(r"step_00000001, verified; [1-9]\d* steps? before step \d+", told["start"])
    assert "the bits of the capsule" in done.stdout
    assert "is not finite alone" in told["narrowed"]
    assert told["others"].startswith("0 of 8")
    assert told["src"].startswith(POISONED)
    assert told["from"] == "own.en:38 | own.de:38"
    assert told["first"] == "the output of src_positions is the first that is not finite"


def test_other_numbers_than_those_of_the_capsule_are_told(
    work: Path, stopped: "subprocess.CompletedProcess[str]"
) -> None:
    (capsule,) = (work / "runs/small/crash").glob("step_????????.json")
    content = json.loads(capsule.read_text())
    content["sums"]["num_tokens"]["bits"] = "0" * 16
    altered = capsule.with_name("altered.json")
    altered.write_text(json.dumps(content))
    done = call(work, "run", "replay", str(altered.relative_to(work)))
    altered.unlink()
    assert done.returncode == 3
    assert "error[MT122]" in done.stderr
    assert "not those of the capsule" in done.stdout


def test_what_is_no_capsule_is_refused(work: Path) -> None:
    done = call(work, "run", "replay", "small.yaml")
    assert (done.returncode, "error[MT121]" in done.stderr) == (4, True), done.stderr
    assert "Traceback" not in done.stderr
