"""The experiments of scripts/ through the real commands, at a size that says nothing about their results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TINY_RUN = """\
extends: demo.yaml
data:
  train: {max_pairs: 300}
  dev: {max_pairs: 10}
  test:
    phrasebook_test: {max_pairs: 10}
tokenizer: {vocab_size: 300, byte_fallback: false}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2}
optim: {schedule: {warmup_steps: 2}}
training: {batch_tokens: 256, max_steps: 20, validate_every_steps: 10, log_every_steps: 1}
decoding: {strategy: greedy}
runtime: {threads: 1, device: cpu}
"""

TINY_MODEL = [f"--set=model.{key}=16" for key in ("d_model", "ffn_dim")] + ["--set=model.num_heads=2"]
TINY_MODEL += ["--set=training.batch_tokens=512", "--set=runtime.threads=1", "--set=training.log_every_steps=1"]


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with mt-train, mt-translate and python, each of this environment, installed or not."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (
        ("python", ""),
        ("mt-train", "-m mt_trainer.cli.train"),
        ("mt-translate", "-m mt_trainer.cli.translate"),
    ):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def call(command: list[str], folder: Path, *, commands: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.environ["PATH"] if commands is None else f"{commands}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_oracle_experiment_explains_itself_and_refuses_what_it_does_not_know(
    commands: Path, tmp_path: Path
) -> None:
    script = str(ROOT / "scripts" / "tailr_oracle.sh")
    shown = call([script, "--help"], tmp_path)
    assert shown.returncode == 0
    assert "usage: tailr_oracle.sh [--text FILE]" in shown.stdout
    for arguments, said in [
        (["--seed", "1"], "unknown option --seed"),
        (["--out"], "--out needs a value"),
        (["--num-train", "many"], "not a number above 0: many"),
        (["--oracle-steps", "0"], "not a number above 0: 0"),
        (["--text", "nowhere.txt"], "no file nowhere.txt"),
    ]:
        refused = call([script, *arguments], tmp_path, commands=commands)
        assert refused.returncode == 2
        assert said in refused.stderr
    assert list(tmp_path.iterdir()) == [commands]


@pytest.mark.slow
def test_the_oracle_experiment_from_text_to_tables_and_on_from_where_it_was(commands: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a text.txt").write_text("".join(f"The {w} dog sees {n} cats.\n" for w in "abcde" for n in range(20)))
    command = [str(ROOT / "scripts" / "tailr_oracle.sh"), "--text", "a text.txt", "--out", "an out", "--gammas", "1e-3"]
    command += ["--num-train", "60", "--num-test", "20", "--oracle-steps", "20", "--student-steps", "4"]
    done = call([*command, "--", *TINY_MODEL], tmp_path, commands=commands)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "an out"
    assert done.stdout == (folder / "results.md").read_text()
    assert (folder / "corruption.png").read_bytes().startswith(b"\x89PNG")
    names = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert names[:5] == ["run", "---", "oracle", "cross_entropy", "tailr_1e-3"]
    assert names[5:11] == ["model", "---", "oracle", "cross_entropy", "tailr_1e-3", "tailr_1e-3 - cross_entropy"]
    assert names[11:] == [
        "corruption",
        "---",
        *(c for c in ("repetition", "deletion", "substitution") for _ in range(4)),
    ]
    sizes = {path.name: len(path.read_text().splitlines()) for path in (folder / "samples").glob("*.tgt")}
    assert sizes == {"train.tgt": 60, "dev.tgt": 6} | dict.fromkeys(
        ("test.tgt", "oracle.tgt", "cross_entropy.tgt", "tailr_1e-3.tgt"), 20
    )
    assert (folder / "samples" / "test.tgt").read_text() != (folder / "samples" / "oracle.tgt").read_text()

    (folder / "samples" / "tailr_1e-3.tgt").unlink()
    again = call([*command, "--", *TINY_MODEL], tmp_path, commands=commands)
    assert again.stdout == done.stdout
    assert again.stderr.count("finished before") == 3
    assert again.stderr.count("drawing 20 sentences") == 1

    other = call([*command, "--num-test", "30", "--", *TINY_MODEL], tmp_path, commands=commands)
    assert other.returncode == 2
    assert "belongs to other settings" in other.stderr


@pytest.mark.slow
def test_objectives_are_compared_through_the_real_command(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY_RUN)
    command = [sys.executable, str(ROOT / "scripts" / "compare_objectives.py"), "tiny.yaml", "--steps", "10"]
    done = call(command, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == [
        "| cross_entropy",
        "| label_smoothing",
        "| tailr",
        "| cross_entropy_then_brier",
    ]
    assert all(0 < float(row[3]) < 20 for row in rows[2:])
    again = call(command, tmp_path)
    assert again.stdout == done.stdout
    assert again.stderr.count("finished before") == 4

    timed = call(
        [*command[:3], "--minutes", "0.01", "--out", "timed", "--objective", "a={name: focal, gamma: 1}"], tmp_path
    )
    assert timed.returncode == 0, timed.stderr
    assert "minutes of steps, counted by the speed of short runs beforehand: a " in timed.stdout
