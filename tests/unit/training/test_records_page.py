"""docs/records.md names the keys that a run writes, all of them and no others."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mt_trainer.config import load_config
from mt_trainer.training import train as module

PAGE = (Path(__file__).parents[3] / "docs/records.md").read_text(encoding="utf-8")

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  max_length: 32
tokenizer: {vocab_size: 320}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2}
objective: {name: tailr, gamma: {schedule: linear, start: 0.0, end: 0.1, end_step: 6}}
optim: {schedule: {name: inverse_sqrt, peak_lr: 3e-3, warmup_steps: 4}}
training:
  batch_tokens: 768
  max_steps: 6
  log_every_steps: 2
  validate_every_steps: 4
  on_divergence: roll_back
  max_skipped_steps: 1
decoding: {strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}
runtime: {device: cpu, precision: fp32, threads: 1, cache_folder: cache}
"""

ONLY_SOMETIMES = {"passed_over", "other_settings"}


@pytest.fixture(scope="module")
def folder(made_up_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose third step is skipped and whose sixth, not finite either, makes it go back to the fourth."""
    texts = shutil.copytree(made_up_pairs, tmp_path_factory.mktemp("texts"), dirs_exist_ok=True)
    (texts / "config.yaml").write_text(CONFIG)
    take_step, calls, threads = module.train_step, [], torch.get_num_threads()

    def arranged(teacher_forcing: Any, *arguments: Any, **settings: Any) -> Any:
        calls.append(settings["step"])
        if len(calls) not in (3, 6):
            return take_step(teacher_forcing, *arguments, **settings)
        bias = teacher_forcing.model.encoder[0].feed_forward.output.bias
        before = bias.detach().clone()
        with torch.no_grad():
            bias[0] = math.inf
        result = take_step(teacher_forcing, *arguments, **settings)
        with torch.no_grad():
            bias.copy_(before)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(texts)
        patch.setattr(module, "train_step", arranged)
        module.train(load_config("config.yaml"), texts / "run", announce=lambda line: None)
    torch.set_num_threads(threads)
    return texts / "run"


def documented(title: str) -> set[str]:
    """The keys in the table of a section, whose heading is given with its marks."""
    (section,) = re.findall(rf"^{re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    keys: list[str] = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(set(keys)) == len(keys) > 0
    return set(keys)


def written(path: Path) -> dict[str, set[str]]:
    """By part, the keys of all its lines but `step` and `part`; those of an objective's numbers as one."""
    found: dict[str, set[str]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        keys = {re.sub(r"^objective\..*", "objective.*", key) for key in line}
        assert keys >= {"step", "part"}
        found.setdefault(line["part"], set()).update(keys - {"step", "part"})
    return found


def test_keys_of_metrics(folder: Path) -> None:
    found = written(folder / "metrics.jsonl")
    assert documented("## metrics.jsonl") == {"step", "part"}
    assert found == {part: documented(f"### `{part}`") for part in ("train", "dev", "skipped", "roll_back")}


def test_keys_of_timing(folder: Path) -> None:
    found = written(folder / "timing.jsonl")
    assert found.pop("skipped") == found.pop("roll_back") == set()
    assert found == {part: documented(f"### Timing of `{part}`") for part in ("train", "dev")}


def test_keys_of_an_evaluation(folder: Path) -> None:
    record = json.loads((folder / "evaluation/dev.json").read_text())
    assert documented("## evaluation/SET.json") - record.keys() == ONLY_SOMETIMES
    assert record.keys() <= documented("## evaluation/SET.json")
    assert record["likelihood"].keys() == documented("### `likelihood`")


def test_epochs_and_means_are_what_the_page_says(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["part"] == "train"]
    assert train[0]["epoch"] == 0
    assert [line["num_skipped"] for line in train] == [0, 1, 0]
    for line in (line for line in lines if "nll" in line):
        assert line["ppl"] == math.exp(line["nll"])
