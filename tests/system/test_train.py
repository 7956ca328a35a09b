"""mt-train through the real command: a whole run, the same command again, and input that is refused."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mt_trainer.config import load_config

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train:
    - {format: phrasebook, split: train, max_pairs: 100}
    - {format: text, src: easy.en, tgt: easy.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  test:
    held_out: {format: phrasebook, split: test, max_pairs: 10}
  max_length: 48
tokenizer: {vocab_size: 400}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 32, num_heads: 2}
optim:
  schedule: {peak_lr: 1e-2, warmup_steps: 10}
training:
  batch_tokens: 768
  max_steps: 30
  log_every_steps: 5
  validate_every_steps: 10
decoding: {beam_size: 2, max_length_ratio: 1.0, max_length_constant: 3}
evaluation: {num_samples: 2, tokenize: char}
runtime: {device: cpu, precision: fp32, threads: 1}
"""


def write_inputs(folder: Path) -> None:
    """The config, and text of one pattern, so that a few steps are enough for a BLEU that is not 0."""
    (folder / "small.yaml").write_text(CONFIG)
    for part, numbers in (("easy", range(300)), ("dev", range(300, 320))):
        for side, words in (("en", "the dog sees house number"), ("de", "der Hund sieht das Haus Nummer")):
            (folder / f"{part}.{side}").write_text("".join(f"{words} {number}.\n" for number in numbers))


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


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and every empty folder, with its content."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files | {str(path.relative_to(folder)): b"" for path in folder.rglob("*") if path.is_dir()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A working folder after one run, and what the run printed."""
    folder = tmp_path_factory.mktemp("work")
    write_inputs(folder)
    done = call(folder, "train", "--config", "small.yaml")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def copied(trained: tuple[Path, str], tmp_path: Path) -> Path:
    """That folder, to be changed."""
    shutil.copytree(trained[0], tmp_path / "work")
    return tmp_path / "work"


def test_the_run_folder_has_everything(trained: tuple[Path, str]) -> None:
    run = trained[0] / "runs/small"
    for name in (
        "config.yaml",
        "environment.json",
        "tokenizer.model",
        "metrics.jsonl",
        "timing.jsonl",
        "translations/step_00000010.txt",
        "translations/step_00000030.txt",
        "evaluation/dev.json",
        "evaluation/dev.hyp.txt",
        "evaluation/held_out.json",
        "evaluation/held_out.hyp.txt",
        "checkpoints/step_00000030/model.safetensors",
        "checkpoints/step_00000030/optimizer.safetensors",
        "checkpoints/step_00000030/state.json",
        "checkpoints/step_00000030/MANIFEST.json",
    ):
        assert (run / name).is_file(), name
    assert any((run / "tensorboard").iterdir())
    assert load_config(run / "config.yaml") == load_config(trained[0] / "small.yaml")
    assert len((run / "translations/step_00000010.txt").read_text().splitlines()) == 20


def test_the_run_learns_and_logs(trained: tuple[Path, str]) -> None:
    lines = metrics(trained[0])
    train = [line for line in lines if line["part"] == "train"]
    assert [line["step"] for line in train] == [5, 10, 15, 20, 25, 30]
    assert train[-1]["nll"] < train[0]["nll"] - 0.5
    assert [line["lr"] for line in train][:2] == pytest.approx([5e-3, 1e-2])
    assert [line["step"] for line in lines if line["part"] == "dev"] == [10, 20, 30]


def test_every_log_line_has_its_speed_and_its_share_of_the_floor(trained: tuple[Path, str]) -> None:
    run = trained[0] / "runs/small"
    timing = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    train = [line for line in timing if line["part"] == "train"]
    assert len(train) == 6
    assert all(line["tokens_per_second"] > 0 and line["mfu"] > 0 for line in train)
    # whatever the speed: 6 operations for the vocabulary and the decoder, for the encoder and attention about as many
    [start] = json.loads((run / "environment.json").read_text())
    rate = start["matmul_operations_per_second"]
    operations = [rate * line["mfu"] / line["tokens_per_second"] for line in train]
    of_target = 6 * (16 * 400 + 6 * 16 * 16 + 2 * 16 * 32)
    assert all(of_target < each < 2 * of_target for each in operations)
    assert "mfu" not in (run / "metrics.jsonl").read_text()


def test_the_scores_are_printed(trained: tuple[Path, str]) -> None:
    out = trained[1]
    assert "held_out" in out
    assert "BLEU: nrefs:1|case:mixed" in out
    assert out.count("reference  ") == 2
    assert "run folder: runs/small" in out


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "runs/small/metrics.jsonl").read_text().splitlines()]


def test_the_best_checkpoint_has_one_score_wherever_it_is_told(trained: tuple[Path, str]) -> None:
    """In the log, in the run's own evaluation and by mt-eval: equal to the last digit."""
    folder = trained[0]
    own = json.loads((folder / "runs/small/evaluation/dev.json").read_text())
    step = int(own["checkpoint"].removeprefix("step_"))
    dev = {line["step"]: line for line in metrics(folder) if line["part"] == "dev"}
    assert dev[step]["bleu"] == max(line["bleu"] for line in dev.values())
    done = call(folder, "eval", "--run", "runs/small", "--json", "--output", "again")
    assert done.returncode == 0, done.stderr
    evaluated = {record["set"]: record for record in json.loads(done.stdout)}
    for place, name in enumerate(("bleu", "chrf")):
        values = [each["scores"][place]["value"] for each in (own, evaluated["dev"])]
        assert values == [dev[step][name]] * 2
        assert dev[step][name] > 0
    for name in ("nll", "ppl", "accuracy", "entropy", "confidence"):
        assert [each["likelihood"][name] for each in (own, evaluated["dev"])] == [dev[step][name]] * 2, name
    test = json.loads((folder / "runs/small/evaluation/held_out.json").read_text())
    assert test["likelihood"] == evaluated["held_out"]["likelihood"] != own["likelihood"]
    assert (test["likelihood"]["precision"], test["likelihood"]["num_cut"]) == ("fp32", 0)
    assert evaluated["dev"]["sha256"] == own["sha256"]
    assert (folder / "again/dev.hyp.txt").read_bytes() == (
        folder / f"runs/small/translations/step_{step:08d}.txt"
    ).read_bytes()


def test_every_score_has_its_overlap_and_the_hashes_of_what_was_compared(
    trained: tuple[Path, str], copied: Path
) -> None:
    own = json.loads((copied / "runs/small/evaluation/dev.json").read_text())
    assert own["sha256"].keys() == {"src", "ref", "hyp", "weights", "tokenizer"}
    for name, file in (("src", "dev.en"), ("ref", "dev.de"), ("hyp", "runs/small/evaluation/dev.hyp.txt")):
        assert own["sha256"][name] == hashlib.sha256((copied / file).read_bytes()).hexdigest()
    weights = copied / "runs/small/checkpoints" / own["checkpoint"] / "model.safetensors"
    assert own["sha256"]["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    tokenizer = (copied / "runs/small/tokenizer.model").read_bytes()
    assert own["sha256"]["tokenizer"] == hashlib.sha256(tokenizer).hexdigest()
    assert own["train_overlap"] == 0
    for digest in own["sha256"].values():
        assert digest[:12] in trained[1]

    # A set that the config does not know: five of its lines are in the training text.
    for side in ("en", "de"):
        lines = (copied / f"easy.{side}").read_text().splitlines()[:5] + (
            copied / f"dev.{side}"
        ).read_text().splitlines()
        (copied / f"other.{side}").write_text("".join(f"{line}\n" for line in lines))
    files = ("--run", "runs/small", "--src", "other.en", "--ref", "other.de")
    done = call(copied, "eval", *files, "--json")
    [record] = json.loads(done.stdout)
    assert (record["num_sentences"], record["train_overlap"]) == (25, 5)
    assert record["sha256"]["weights"] == own["sha256"]["weights"]
    shutil.rmtree(copied / "runs/cache")
    done = call(copied, "eval", *files)
    assert "not counted" in done.stdout


def test_the_text_of_a_run_is_checked_with_its_own_tokenizer(copied: Path) -> None:
    shutil.rmtree(copied / "runs/cache")
    done = call(copied, "data", "check", "--run", "runs/small", "--json", "report.json")
    assert done.returncode in (0, 4), done.stderr
    assert "training the tokenizer" not in done.stderr
    record = json.loads((copied / "report.json").read_text())
    assert record["parts"]["train"]["pairs"] == 400
    assert record["parts"].keys() == {"train", "dev", "held_out"}
    assert record["coverage"]["src"]["num_pieces"] > 0


def test_the_same_command_again_only_scores(trained: tuple[Path, str], copied: Path) -> None:
    done = call(copied, "train", "--config", "small.yaml")
    assert done.returncode == 0, done.stderr
    timeless = [[line.rsplit(None, 1)[0] for line in text.splitlines() if line] for text in (trained[1], done.stdout)]
    assert timeless[0] == timeless[1]
    before, after = listing(trained[0]), listing(copied)
    for name in before:
        if name.endswith(("metrics.jsonl", ".safetensors", ".hyp.txt")):
            assert before[name] == after[name], name


def test_another_config_is_refused(copied: Path) -> None:
    before = listing(copied)
    done = call(copied, "train", "--config", "small.yaml", "--set", "optim.schedule.peak_lr=0.02")
    assert done.returncode == 2
    assert "error[MT100]" in done.stderr
    assert "optim.schedule.peak_lr: 0.01 in the folder, 0.02 now" in done.stderr
    assert listing(copied) == before


def test_a_signal_stops_it_and_the_same_command_goes_on(tmp_path: Path, trained: tuple[Path, str]) -> None:
    """SIGTERM in the seventh step, as a scheduler may send it; resumed, the run ends as if nothing had been."""
    write_inputs(tmp_path)
    program = (
        "import os, signal, sys\n"
        "from mt_trainer.training import train as module\n"
        "take_step = module.train_step\n"
        "def step(*arguments, **settings):\n"
        "    if settings['step'] == 7:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return take_step(*arguments, **settings)\n"
        "module.train_step = step\n"
        "sys.argv = ['mt-train', '--config', 'small.yaml']\n"
        "from mt_trainer.cli.train import main\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    stopped = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert stopped.returncode == 143, stopped.stderr
    assert "stopped by a signal after step 7" in stopped.stderr
    assert [path.name for path in (tmp_path / "runs/small/checkpoints").iterdir()] == ["step_00000007"]
    done = call(tmp_path, "train", "--config", "small.yaml")
    assert done.returncode == 0, done.stderr
    assert "resumed after step 7" in done.stderr
    for name in (
        "metrics.jsonl",
        "checkpoints/step_00000030/model.safetensors",
        "checkpoints/step_00000030/optimizer.safetensors",
        "evaluation/held_out.hyp.txt",
    ):
        assert (tmp_path / "runs/small" / name).read_bytes() == (trained[0] / "runs/small" / name).read_bytes(), name


def test_printed_config_loads_back(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    before = listing(tmp_path)
    done = call(tmp_path, "train", "--config", "small.yaml", "--print-config", "--set", "model.dropout=0.25")
    assert (done.returncode, done.stderr) == (0, "")
    assert listing(tmp_path) == before
    (tmp_path / "printed.yaml").write_text(done.stdout)
    assert load_config(tmp_path / "printed.yaml") == load_config(tmp_path / "small.yaml", ["model.dropout=0.25"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--dry-run", "parameters,in matrix products,largest,speed,mfu,expected,disk,dry run: nothing was written"),
        (
            "--profile",
            "parameters,in matrix products,waiting for data,forward,backward,clip and update,matrix products,"
            "dropout masks,operator,the floor: real tokens,target tokens/s,mfu,profile: nothing was written",
        ),
    ],
)
def test_trying_a_run_out_leaves_nothing(tmp_path: Path, option: str, words: str) -> None:
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    write_inputs(work)
    before = listing(work)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "TMPDIR": str(temporary),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mt_trainer.cli.train", "--config", "small.yaml", option],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for word in words.split(","):
        assert word in done.stdout
    assert listing(work) == before
    assert not any(path.name.startswith("mt_trainer") for path in temporary.iterdir())


TEXT_CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
tokenizer: {vocab_size: 285}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 32, num_heads: 2}
training: {max_steps: 5}
runtime: {device: cpu, precision: fp32, threads: 1}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with text and `mine.yaml`, each test breaks one thing in it."""
    for part, number in (("train", 60), ("dev", 5)):
        for side, words in (("en", "a dog sees house"), ("de", "ein Hund sieht Haus")):
            lines = (f"{words} {part} {i} {words[i % 5 :]}\n" for i in range(number))
            (tmp_path / f"{part}.{side}").write_text("".join(lines))
    (tmp_path / "mine.yaml").write_text(TEXT_CONFIG)
    return tmp_path


def replaced(old: str, new: str) -> Callable[[Path], None]:
    """A fault of the config."""

    def change(folder: Path) -> None:
        text = (folder / "mine.yaml").read_text()
        assert old in text
        (folder / "mine.yaml").write_text(text.replace(old, new))

    return change


def appended(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "mine.yaml").write_text((folder / "mine.yaml").read_text() + text) and None


def missing_file(folder: Path) -> None:
    (folder / "train.de").unlink()


def unequal_files(folder: Path) -> None:
    with (folder / "train.de").open("a") as file:
        file.write("ein Satz zu viel\n")


def invalid_utf8(folder: Path) -> None:
    lines = (folder / "train.en").read_bytes().split(b"\n")
    lines[6] = b"caf\xe9"
    (folder / "train.en").write_bytes(b"\n".join(lines))


def truncated_gz(folder: Path) -> None:
    content = gzip.compress(os.urandom(3000).hex().encode() + (folder / "train.en").read_bytes())
    (folder / "train.en.gz").write_bytes(content[: len(content) // 2])
    replaced("src: train.en", "src: train.en.gz")(folder)


def nothing_left(folder: Path) -> None:
    for side in ("en", "de"):
        (folder / f"train.{side}").write_text("\n" * 60)


def foreign_folder(folder: Path) -> None:
    (folder / "runs/mine").mkdir(parents=True)
    (folder / "runs/mine/photo.jpg").write_bytes(b"\xff\xd8")


FAULTS: list[tuple[str, Callable[[Path], None], int, list[str]]] = [
    (
        "a misspelt key",
        appended("objective: {label_smoothin: 0.1}\n"),
        2,
        ["error[MT021]: unknown key `label_smoothin`", "mine.yaml:10:13", "nothing was written"],
    ),
    ("a wrong type", replaced("d_model: 16", "d_model: wide"), 2, ["error[MT023]", "mine.yaml:7:", "d_model"]),
    ("a doubled key", appended("training: {max_steps: 7}\n"), 2, ["error[MT025]", "training", "mine.yaml:10:1"]),
    ("smoothing 1.5", appended("objective: {epsilon: 1.5}\n"), 2, ["error[MT024]", "epsilon", "0 <= x < 1"]),
    ("gamma -1", appended("objective: {name: tailr, gamma: -1.0}\n"), 2, ["error[MT024]", "gamma", "0 <= x <= 1"]),
    ("heads", replaced("num_heads: 2", "num_heads: 3"), 2, ["error[MT026]", "num_heads", "does not divide"]),
    ("a missing file", missing_file, 2, ["error[MT050]", "train.de"]),
    ("unequal files", unequal_files, 2, ["error[MT051]", "60", "61"]),
    ("invalid UTF-8", invalid_utf8, 4, ["error[MT052]", "train.en:7"]),
    ("a truncated gz", truncated_gz, 4, ["error[MT053]", "train.en.gz"]),
    ("an empty corpus", nothing_left, 2, ["error[MT054]"]),
    ("a vocabulary too large", replaced("vocab_size: 285", "vocab_size: 90000"), 2, ["error[MT080]", "90,000"]),
    ("a foreign run folder", foreign_folder, 2, ["error[MT104]", "runs/mine"]),
    pytest.param(  # type: ignore[list-item]
        "cuda without CUDA",
        replaced("device: cpu", "device: cuda"),
        2,
        ["error[MT004]", "runtime.device"],
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available here"),
    ),
]


@pytest.mark.parametrize(("name", "break_it", "status", "said"), FAULTS)
def test_bad_input_is_told_and_nothing_is_written(
    project: Path, name: str, break_it: Callable[[Path], None], status: int, said: list[str]
) -> None:
    break_it(project)
    before = listing(project)
    done = call(project, "train", "--config", "mine.yaml")
    assert done.returncode == status, done.stderr
    for text in said:
        assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert listing(project) == before


def test_invalid_text_can_be_skipped(project: Path) -> None:
    invalid_utf8(project)
    options = ("--set", "data.on_invalid_text=skip", "--set", "training.max_steps=1")
    done = call(project, "train", "--config", "mine.yaml", *options)
    assert done.returncode == 0, done.stderr
    assert "invalid" in done.stderr


def test_divergence_has_an_exit_status_of_its_own(project: Path) -> None:
    """A learning rate beyond all measure: the loss is soon infinite or not a number."""
    options = ("optim.schedule.peak_lr=1e30", "optim.schedule.warmup_steps=1", "training.log_every_steps=1")
    done = call(project, "train", "--config", "mine.yaml", *(part for option in options for part in ("--set", option)))
    assert done.returncode == 3, done.stderr
    assert "error[MT120]" in done.stderr
    assert "Traceback" not in done.stderr
