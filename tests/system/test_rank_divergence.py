"""Two processes under torchrun, and numbers that are not finite on one of them: both do the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  max_length: 32
tokenizer: {vocab_size: 320}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2, dropout: 0.1}
objective: {name: loss_truncation, fraction: 0.2, window: 60, min_count: 30}
optim:
  schedule: {name: inverse_sqrt, peak_lr: 3e-3, warmup_steps: 4}
training:
  batch_tokens: 768
  max_steps: 12
  log_every_steps: 2
  validate_every_steps: 4
  ema_decay: 0.9
decoding: {strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}
runtime: {device: cpu, precision: fp32, threads: 1, rank_timeout_seconds: 60}
"""

# What each process runs: a command in which the loss of one pair overflows on the rank that has it.
PROGRAM = """\
import sys
from mt_trainer.teacher_forcing import TeacherForcing

forward, poisoned = TeacherForcing.forward, int(sys.argv.pop(1))

def overflowing(self, batch, **options):
    sums = forward(self, batch, **options)
    is_hit = self.training and any(poisoned in row for row in batch.rows)
    return sums._replace(loss=sums.loss * float("inf")) if is_hit else sums

TeacherForcing.forward = overflowing
if sys.argv[1] == "replay":
    from mt_trainer.cli.run import main
else:
    from mt_trainer.cli.train import main
main()
"""
POISONED = 7


@pytest.fixture
def folder(made_up_pairs: Path, tmp_path: Path) -> Path:
    """The made-up pairs, the config and the program."""
    shutil.copytree(made_up_pairs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "small.yaml").write_text(CONFIG)
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def call(
    folder: Path, *arguments: str, processes: int = 1, poisoned: int = POISONED
) -> "subprocess.CompletedProcess[str]":
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), "program.py", str(poisoned), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def log(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()]


def assert_same_log(folder: Path) -> None:
    """Of two processes and of one: the numbers to the last places, all else exactly."""
    for ours, theirs in zip(log(folder, "two"), log(folder, "one"), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            expected = pytest.approx(theirs[name], rel=1e-4) if isinstance(value, float) else theirs[name]
            assert value == expected, (ours["step"], ours["part"], name)


def settings(**training: Any) -> list[str]:
    return [part for key, value in training.items() for part in ("--set", f"training.{key}={value}")]


@pytest.mark.slow
def test_both_go_back_together_and_the_capsule_of_the_end_is_replayed(folder: Path) -> None:
    """The pair comes once an epoch: twice the run goes back, then it stops. One process does the same."""
    common = settings(on_divergence="roll_back", max_roll_backs=2, max_skipped_steps=0, max_steps=40)
    two = ["--set", "runtime.run_folder=runs/two"]
    one = ["--set", "runtime.run_folder=runs/one", *settings(accumulation=2)]
    for processes, own in ((2, two), (1, one)):
        done = call(folder, "--config", "small.yaml", *settings(max_steps=4), *own, processes=processes, poisoned=-1)
        assert done.returncode == 0, done.stderr
    done = call(folder, "--config", "small.yaml", *common, *two, processes=2)
    assert done.returncode == 1, "torchrun's own, whatever the ranks end with"
    assert done.stderr.count("error[MT120]") >= 1, done.stderr
    assert "the run went back 2 times before" in done.stderr
    alone = call(folder, "--config", "small.yaml", *common, *one)
    assert alone.returncode == 3, alone.stderr
    assert_same_log(folder)
    assert [line["number"] for line in log(folder, "two") if line["part"] == "roll_back"][-1] == 2
    capsules = [sorted((folder / "runs" / name / "crash").iterdir()) for name in ("two", "one")]
    assert [path.name for path in capsules[0]] == [path.name for path in capsules[1]]
    for pair in zip(*capsules, strict=True):
        positions = [json.loads(path.read_text()) for path in pair]
        assert positions[0]["micro_batches"] == positions[1]["micro_batches"], "of both processes"
        assert positions[0]["position"] == positions[1]["position"]
    replayed = call(folder, "replay", str(capsules[0][0].relative_to(folder)))
    assert f"pair {POISONED} of the encoded corpus is not finite alone" in replayed.stdout, replayed.stderr
    assert replayed.returncode == 0, replayed.stderr


@pytest.mark.slow
def test_both_skip_the_step_that_is_not_finite_on_one(folder: Path) -> None:
    """Weights, moments, average and quantiles stay the same on both, or the log would tell."""
    two = ["--set", "runtime.run_folder=runs/two"]
    one = ["--set", "runtime.run_folder=runs/one", *settings(accumulation=2)]
    done = call(folder, "--config", "small.yaml", *two, processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is skipped: its loss or gradient is not finite (1 of 10 borne)") == 1
    assert call(folder, "--config", "small.yaml", *one).returncode == 0
    assert [line["part"] for line in log(folder, "two")].count("skipped") >= 2
    assert_same_log(folder)
