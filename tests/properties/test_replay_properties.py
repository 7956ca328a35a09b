"""A replay comes to the numbers of the run, bit for bit, wherever the run began, was stopped or went back."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mt_trainer.config import load_config
from mt_trainer.errors import CheckpointError, DivergedError
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.diverging.replay import replay
from mt_trainer.training.train import train

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  max_length: 32
  subword_alpha: 0.3
tokenizer: {vocab_size: 320}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2, dropout: 0.1}
objective: {name: loss_truncation, fraction: 0.2, window: 60, min_count: 30}
optim:
  schedule: {name: inverse_sqrt, peak_lr: 3e-3, warmup_steps: 4}
training:
  batch_tokens: 768
  accumulation: 2
  max_steps: 12
  log_every_steps: 2
  validate_every_steps: 4
  max_skipped_steps: 0
  ema_decay: 0.9
decoding: {strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}
runtime: {device: cpu, precision: fp32, threads: 1, cache_folder: cache, run_folder: unused}
"""

Poison = Callable[..., None]


@pytest.fixture(scope="module")
def texts(made_up_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up pairs, of which an epoch has about four steps, and the config."""
    folder = shutil.copytree(made_up_pairs, tmp_path_factory.mktemp("texts"), dirs_exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(autouse=True)
def same_settings_afterwards(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(texts)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Make the loss infinite wherever some pairs are together in a batch, as if they overflowed."""
    forward = TeacherForcing.forward

    def prepare(*pairs: int, factor: float = float("inf")) -> None:
        def poisoned(self: Any, batch: Any, **options: Any) -> Any:
            sums = forward(self, batch, **options)
            is_hit = self.training and set(pairs) <= {pair for row in batch.rows for pair in row}
            return sums._replace(loss=sums.loss * factor) if is_hit else sums

        monkeypatch.setattr(TeacherForcing, "forward", poisoned)

    return prepare


def run(folder: Path, *overrides: str) -> None:
    train(load_config("config.yaml", overrides), folder, announce=lambda line: None)


def diverge(folder: Path, *overrides: str) -> Path:
    """The capsule of a run that diverges."""
    with pytest.raises(DivergedError) as caught:
        run(folder, *overrides)
    return Path(str(caught.value.problems[0].where))


def replayed(capsule: Path) -> dict[str, str]:
    told: dict[str, str] = {}
    replay(capsule, tell=lambda what, text: told.setdefault(what, text) and None)
    return told


def bits_are_same(told: dict[str, str]) -> bool:
    return any(what.startswith("step ") and "the bits of the capsule" in text for what, text in told.items())


@pytest.mark.parametrize("pair", [3, 77, 160])
def test_from_the_first_step_on_to_the_pair(pair: int, tmp_path: Path, poison: Poison, texts: Path) -> None:
    """No checkpoint was there yet; an epoch cuts the words anew, and the replay has those pieces."""
    poison(pair)
    capsule = diverge(tmp_path / "run")
    assert json.loads(capsule.read_text())["base"] is None
    told = replayed(capsule)
    assert bits_are_same(told)
    assert f"pair {pair} of the encoded corpus is not finite alone" in told["narrowed"]
    assert told["others"] == "0 of 8 other pairs of the step fail alone"
    assert told["first"] == "all that the model computes is finite; the objective is not"
    [row] = {int(place.rpartition(":")[2]) for place in told["from"].split(" | ")}
    assert told["from"] == f"train.en:{row} | train.de:{row}"
    assert pair + 1 <= row <= pair + 3, "cleaning may have dropped some before it"
    for side, path in (("src", "train.en"), ("tgt", "train.de")):
        line = (texts / path).read_text().splitlines()[row - 1]
        assert told[side].startswith(f"{line}  [")


def test_from_a_checkpoint_after_a_resumption(tmp_path: Path, poison: Poison) -> None:
    """The steps since the checkpoint were taken by two processes, and skipped steps lie among them."""
    setting = ("training.validate_every_steps=6", "training.max_skipped_steps=2")
    run(tmp_path / "run", *setting, "training.max_steps=6")
    poison(5)
    capsule = diverge(tmp_path / "run", *setting, "training.max_steps=30")
    content = json.loads(capsule.read_text())
    assert content["base"]["name"] != "step_00000000"
    assert content["step"] > int(content["base"]["name"][5:]) + 1
    told = replayed(capsule)
    assert bits_are_same(told)
    assert "pair 5 of" in told["narrowed"]


def test_after_going_back(tmp_path: Path, poison: Poison) -> None:
    """The capsule of the last divergence passes over what the run had left out by then."""
    run(tmp_path / "run", "training.max_steps=4")
    poison(9)
    capsule = diverge(
        tmp_path / "run", "training.on_divergence=roll_back", "training.max_roll_backs=1", "training.max_steps=30"
    )
    assert json.loads(capsule.read_text())["left_out"]
    assert bits_are_same(replayed(capsule))
    others = [path for path in capsule.parent.iterdir() if path != capsule]
    assert len(others) == 1
    assert bits_are_same(replayed(others[0]))


def test_pairs_that_fail_only_together_are_not_blamed_alone(tmp_path: Path, poison: Poison, texts: Path) -> None:
    run(tmp_path / "probe", "training.max_steps=1")
    poison(3)
    content = json.loads(diverge(tmp_path / "one").read_text())
    (rows,) = [rows for rows in content["micro_batches"] if any(3 in row for row in rows)]
    other = next(pair for row in rows for pair in row if 3 not in row)
    poison(3, other)
    told = replayed(diverge(tmp_path / "two"))
    assert bits_are_same(told)
    assert "no single pair is, and neither half" in told["narrowed"]
    assert "from" not in told


def test_weights_that_fail_on_everything(tmp_path: Path, poison: Poison) -> None:
    poison()
    told = replayed(diverge(tmp_path / "run"))
    assert told["others"] == "8 of 8 other pairs of the step fail alone: the weights are to blame, not a pair"


def test_an_explosion_is_gone_through_with_its_finite_numbers(tmp_path: Path) -> None:
    setting = ("training.max_ppl_ratio=1.000001", "optim.schedule.peak_lr=0.5", "training.max_steps=40")
    capsule = diverge(tmp_path / "run", *setting)
    assert "perplexity" in json.loads(capsule.read_text())["reason"]
    told = replayed(capsule)
    assert bits_are_same(told)
    assert "no pair stands out" in told["finite"]


def test_what_is_not_as_it_was_is_refused_or_told(tmp_path: Path, poison: Poison) -> None:
    poison(3)
    capsule = diverge(tmp_path / "run")
    content = capsule.read_text()

    def changed(**values: Any) -> None:
        capsule.write_text(json.dumps(json.loads(content) | values))

    hashes = json.loads(content)["hashes"]
    changed(hashes=hashes | {"corpus": "0" * 64})
    with pytest.raises(CheckpointError, match=r"MT121.*not as it was when the capsule was written: corpus"):
        replayed(capsule)
    changed(base={"name": "step_00000004", "manifest_sha256": "0" * 64})
    with pytest.raises(CheckpointError):
        replayed(capsule)
    machine = json.loads(content)["machine"]
    changed(machine=machine | {"versions": machine["versions"] | {"torch": "1.0"}})
    told = replayed(capsule)
    assert told["differs"].startswith("torch was 1.0, here it is")
    for values in ({"step": 10**6}, {"step": 0}):
        changed(**values)
        with pytest.raises(CheckpointError, match="MT121"):
            replayed(capsule)
    changed(micro_batches=[[[1, 2]]])
    with pytest.raises(DivergedError, match="MT122"):
        replayed(capsule)
    moved = tmp_path / "elsewhere" / "crash" / "step_00000001.json"
    moved.parent.mkdir(parents=True)
    moved.write_text(content)
    with pytest.raises(CheckpointError, match="MT104"):
        replayed(moved)


def test_another_number_of_threads_is_set_back(tmp_path: Path, poison: Poison) -> None:
    """The run had the default number; the replay is started where that is another one."""
    poison(3)
    torch.set_num_threads(2)
    capsule = diverge(tmp_path / "run", "runtime.threads=null")
    assert json.loads(capsule.read_text())["machine"]["threads"] == 2
    torch.set_num_threads(1)
    told = replayed(capsule)
    assert bits_are_same(told)
    assert "2 threads" in told["machine"]
