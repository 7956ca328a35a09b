"""Objectives through the real mt-train command: those that read or remember more than labels, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  max_length: 32
tokenizer: {vocab_size: 300}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 32, num_heads: 2}
optim:
  schedule: {peak_lr: 1e-2, warmup_steps: 4}
training:
  batch_tokens: 512
  accumulation: 2
  max_steps: 12
  log_every_steps: 1
  validate_every_steps: 6
decoding: {strategy: greedy, max_length_ratio: 1.0, max_length_constant: 3}
evaluation: {num_samples: 1}
runtime: {device: cpu, precision: fp32, threads: 1}
"""

STAGES = """\
objective:
  - {name: label_smoothing, prior: unigram, until_step: 2,
     epsilon: {schedule: linear, start: 0.0, end: 0.2, end_step: 4}}
  - {name: r_drop, until_step: 3}
  - {name: error_norm_truncation, fraction: 0.5, window: 1000, min_count: 300, until_step: 6}
  - {name: unlikelihood, until_step: 7}
  - {name: distillation, teacher: runs/teacher, divergence: js, until_step: 8}
  - {name: sparse_distillation, teacher: runs/teacher, until_step: 9}
  - {name: tailr, weight_from: eval, until_step: 10}
  - {name: emo, until_step: 11}
  - {name: brier, z_loss: 1e-4}
"""


def write_inputs(folder: Path) -> None:
    """Text of one pattern, the config of a teacher, and that of a student of all its lessons."""
    for part, numbers in (("train", range(120)), ("dev", range(120, 126))):
        for side, words in (("en", "the dog sees house number"), ("de", "der Hund sieht das Haus Nummer")):
            (folder / f"{part}.{side}").write_text("".join(f"{words} {number}.\n" for number in numbers))
    (folder / "teacher.yaml").write_text(CONFIG.replace("d_model: 16", "d_model: 32"))
    (folder / "student.yaml").write_text(CONFIG + STAGES)
    (folder / "plain.yaml").write_text(CONFIG)


def call(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mt_trainer.cli.train", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and every empty folder, with its content."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files | {str(path.relative_to(folder)): b"" for path in folder.rglob("*") if path.is_dir()}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A working folder after a teacher and its student were trained, and what the student's run told."""
    folder = tmp_path_factory.mktemp("work")
    write_inputs(folder)
    for name in ("teacher", "student"):
        done = call(folder, "--config", f"{name}.yaml")
        assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.fixture
def copied(taught: tuple[Path, str], tmp_path: Path) -> Path:
    """That folder, to be changed."""
    shutil.copytree(taught[0], tmp_path / "work")
    return tmp_path / "work"


def test_the_summary_and_the_log_follow_the_stages(taught: tuple[Path, str]) -> None:
    folder, told = taught
    for text in (
        "stage 2 until step 3: R-Drop",
        "of tokens that have the largest ||p - onehot(y)||",
        "0.0001 logsumexp^2",
    ):
        assert text in told
    lines = [json.loads(line) for line in (folder / "runs/student/metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["part"] == "train"]
    assert [line["objective.stage"] for line in train] == [1, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9]
    assert [line.get("objective.epsilon") for line in train[:3]] == [0.05, 0.1, None]
    left_out = [line["share_at_floor"] for line in train[3:6]]
    assert left_out[0] == 0
    assert all(0 < share < 1 for share in left_out[1:])
    assert [line["mean_weight"] for line in train[3:6]] == pytest.approx([1 - share for share in left_out])
    assert all(("mean_weight" in line) == (line["step"] in (4, 5, 6, 10)) for line in train)
    assert train[2]["loss"] > 2 * train[2]["nll"] * 0.9, "R-Drop counts both passes"
    assert train[-1]["loss"] < 0.1 < train[-1]["nll"], "Brier is no log-likelihood"
    dev = [line for line in lines if line["part"] == "dev"]
    assert [line["step"] for line in dev] == [6, 12]
    assert dev[1]["nll"] < dev[0]["nll"]


def test_the_run_says_who_taught_it(taught: tuple[Path, str]) -> None:
    folder = taught[0]
    [start] = json.loads((folder / "runs/student/environment.json").read_text())
    best = json.loads((folder / "runs/teacher/evaluation/dev.json").read_text())["checkpoint"]
    manifest = json.loads((folder / f"runs/teacher/checkpoints/{best}/MANIFEST.json").read_text())
    sha256 = manifest["files"]["model.safetensors"]["sha256"]
    assert start["teacher"] == {"run": "runs/teacher", "checkpoint": best, "sha256": sha256}
    state = json.loads((folder / "runs/student/checkpoints/step_00000012/state.json").read_text())
    assert state["teacher"] == sha256


def test_another_teacher_cannot_go_on(copied: Path) -> None:
    """The folder is the same, its model is not."""
    shutil.rmtree(copied / "runs/teacher")
    done = call(copied, "--config", "teacher.yaml", "--set", "runtime.seed=2")
    assert done.returncode == 0, done.stderr
    before = listing(copied)
    done = call(copied, "--config", "student.yaml", "--set", "training.max_epochs=99")
    assert done.returncode == 2, done.stderr
    assert "error[MT100]: the teacher is not the one that this run was started with" in done.stderr
    assert listing(copied) == before


def test_a_changed_prior_cannot_go_on(copied: Path) -> None:
    prior = copied / "prior.txt"
    prior.write_text(f"{1 / 300!r}\n" * 300)
    command = ("--config", "plain.yaml", "--set", "objective={name: label_smoothing, prior: prior.txt}")
    done = call(copied, *command, "--set", "training.max_epochs=1")
    assert done.returncode == 0, done.stderr
    before = prior.read_text()
    prior.write_text(f"{2 / 300!r}\n" * 150 + "0\n" * 150)
    done = call(copied, *command)
    assert done.returncode == 2, done.stderr
    assert "error[MT100]: a file that the objective reads is not the one that this run was started with" in done.stderr
    prior.write_text(before)
    assert call(copied, *command).returncode == 0


DISTILLATION = "objective={name: distillation, teacher: runs/teacher}"

Change = Callable[[Path], None]


def nothing(folder: Path) -> None:
    pass


def without_teacher(folder: Path) -> None:
    shutil.rmtree(folder / "runs/teacher")


def without_checkpoints(folder: Path) -> None:
    shutil.rmtree(folder / "runs/teacher/checkpoints")


def prior(*numbers: float) -> Change:
    return lambda folder: (folder / "prior.txt").write_text("".join(f"{number}\n" for number in numbers)) and None


PRIOR = "objective={name: label_smoothing, prior: prior.txt}"

FAULTS: list[tuple[str, Change, list[str], list[str]]] = [
    ("a teacher that is not there", without_teacher, [DISTILLATION], ["MT104", "`objective.teacher`", "runs/teacher"]),
    (
        "a teacher with another tokenizer, which is found when it is trained",
        nothing,
        [DISTILLATION, "tokenizer.vocab_size=290"],
        ["MT030", "another tokenizer", "tokenizer.model_file=runs/teacher/tokenizer.model", "nothing was written"],
    ),
    (
        "a teacher with another tokenizer than the one given",
        lambda folder: (
            (folder / "other.model").write_bytes((folder / "runs/other/tokenizer.model").read_bytes()) and None
        ),
        [DISTILLATION, "tokenizer={model_file: other.model, vocab_size: 8000}"],
        ["MT030", "another tokenizer", "nothing was written"],
    ),
    (
        "a teacher of other languages",
        nothing,
        [DISTILLATION, "data.src_lang=fr"],
        ["MT030", "translates en-de, but this run fr-de"],
    ),
    (
        "a text that is too long for the teacher",
        nothing,
        [DISTILLATION, "data.max_length=600", "training.batch_tokens=1200"],
        ["MT030", "1,024", "1,200", "data.max_length <= 512"],
    ),
    (
        "two teachers",
        nothing,
        [
            "objective=[{name: distillation, teacher: runs/teacher, until_step: 2}, "
            "{name: sparse_distillation, teacher: runs/other}]"
        ],
        ["MT026", "runs/teacher", "runs/other"],
    ),
    ("a prior of the wrong size", prior(0.5, 0.5), [PRIOR], ["MT028", "2 lines", "300 pieces", "nothing was written"]),
    ("a prior that sums to two", prior(2.0, *[0.0] * 299), [PRIOR], ["MT028", "sums to 2", "nothing was written"]),
    ("no number", nothing, ["objective={name: tailr, gamma: .nan}"], ["gamma", "nothing was written"]),
    ("a fraction of 1", nothing, ["objective={name: loss_truncation, fraction: 1.0}"], ["MT024", "fraction"]),
    ("no such convention", nothing, ["objective={convention: marian}"], ["MT024", "convention"]),
]


@pytest.fixture(scope="module")
def with_teachers(taught: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the teacher, another run whose tokenizer is another one, and no cache."""
    folder = tmp_path_factory.mktemp("teachers")
    write_inputs(folder)
    shutil.copytree(taught[0] / "runs/teacher", folder / "runs/teacher")
    options = ("tokenizer.vocab_size=290", "training.max_steps=1", "runtime.run_folder=runs/other")
    done = call(folder, "--config", "plain.yaml", *(part for option in options for part in ("--set", option)))
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "runs/cache")
    return folder


@pytest.mark.parametrize(("name", "change", "options", "said"), FAULTS)
def test_bad_objectives_are_told_and_nothing_is_written(
    with_teachers: Path, tmp_path: Path, name: str, change: Change, options: list[str], said: list[str]
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(with_teachers, folder)
    change(folder)
    before = listing(folder)
    done = call(folder, "--config", "plain.yaml", *(part for option in options for part in ("--set", option)))
    assert done.returncode == 2, done.stderr
    for text in said:
        assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert listing(folder) == before


def test_a_teacher_without_a_checkpoint_is_told(with_teachers: Path, tmp_path: Path) -> None:
    shutil.copytree(with_teachers, tmp_path / "work")
    without_checkpoints(tmp_path / "work")
    done = call(tmp_path / "work", "--config", "plain.yaml", "--set", DISTILLATION)
    assert done.returncode == 4, done.stderr
    assert "error[MT101]: `objective.teacher`: no checkpoint `best`" in done.stderr


def test_a_dry_run_reads_the_teacher_and_leaves_nothing(with_teachers: Path, tmp_path: Path) -> None:
    shutil.copytree(with_teachers, tmp_path / "work")
    before = listing(tmp_path / "work")
    done = call(tmp_path / "work", "--config", "student.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout
    assert listing(tmp_path / "work") == before
