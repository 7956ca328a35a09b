from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.errors import ConfigError, MtError
from mt_trainer.objectives.building.check import check_objective, objective_files_hash
from mt_trainer.tokenizer import Tokenizer

DATA = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: phrasebook, split: train}
  dev: {format: phrasebook, split: dev}
"""
Load = Callable[..., TrainConfig]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, *overrides: str) -> TrainConfig:
        Path("run.yaml").write_text(DATA + text)
        return load_config("run.yaml", ["tokenizer.vocab_size=20", *overrides])

    return load_text


def test_most_objectives_read_no_file(load: Load) -> None:
    for text in (
        "",
        "objective: {name: brier}",
        "objective: {prior: unigram}",
        "objective: {name: weighted_label_smoothing}",
    ):
        check_objective(load(text, "tokenizer.model_file=absent.model", "tokenizer.vocab_size=8000"))


def test_files_that_fit_are_taken(load: Load) -> None:
    Path("prior.txt").write_text("0.05\n" * 20)
    Path("weights.txt").write_text("1\n" * 20)
    Path("groups.txt").write_text("target\ncommon\nsource\n" + "none\n" * 17)
    for text in (
        "objective: {prior: prior.txt}",
        "objective: {name: class_weighted, weights: weights.txt}",
        "objective: {name: weighted_label_smoothing, groups: groups.txt}",
    ):
        check_objective(load(text))


def test_every_problem_of_every_stage_comes_at_once(load: Load) -> None:
    Path("prior.txt").write_text("0.1\n" * 19)
    Path("weights.txt").write_text("1\n" * 19 + "nan\n")
    Path("groups.txt").write_text("target\n" * 20)
    config = load(
        "objective:\n"
        "  - {name: label_smoothing, prior: prior.txt, until_step: 1}\n"
        "  - {name: class_weighted, weights: weights.txt, until_step: 2}\n"
        "  - {name: weighted_label_smoothing, groups: groups.txt, until_step: 3}\n"
        "  - {name: label_smoothing, prior: absent.txt}\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_objective(config)
    assert [problem.where for problem in caught.value.problems] == [
        "prior.txt:20",
        "weights.txt:20",
        "groups.txt",
        "groups.txt",
        "absent.txt",
    ]
    assert caught.value.exit_code == 2
    assert "note: 4 more problems follow; nothing was written" in caught.value.render()


@pytest.mark.parametrize(
    "overrides", [["model_file=x.model"], ["joint=false", "src_model_file=y", "tgt_model_file=x.model"]]
)
def test_a_given_tokenizer_says_the_size(load: Load, monkeypatch: pytest.MonkeyPatch, overrides: list[str]) -> None:
    """That of the target side."""
    Path("prior.txt").write_text("0.05\n" * 20)
    sizes = {"x.model": 20, "y": 99}
    monkeypatch.setattr(Tokenizer, "load", lambda path: SimpleNamespace(vocab_size=sizes[path]))
    settings = ["tokenizer.vocab_size=8000", *(f"tokenizer.{each}" for each in overrides)]
    config = load("objective: {prior: prior.txt}\nmodel: {share_embeddings: decoder}\n", *settings)
    check_objective(config)
    sizes["x.model"] = 21
    with pytest.raises(ConfigError, match="has 20 lines, but the vocabulary has 21 pieces"):
        check_objective(config)


def test_a_given_tokenizer_that_is_none_is_refused(load: Load) -> None:
    Path("prior.txt").write_text("0.05\n" * 20)
    Path("broken.model").write_text("no tokenizer")
    config = load("objective: {prior: prior.txt}", "tokenizer.model_file=broken.model", "tokenizer.vocab_size=8000")
    with pytest.raises(MtError) as caught:
        check_objective(config)
    assert caught.value.problems[0].code == "MT081"


def test_the_hash_is_that_of_what_the_files_hold(load: Load) -> None:
    stages = "objective: [{name: class_weighted, weights: w.txt, until_step: 5}, {name: label_smoothing, prior: p.txt}]"
    assert objective_files_hash(load("objective: {name: brier}")) is None
    assert objective_files_hash(load("objective: {prior: unigram}")) is None
    Path("w.txt").write_text("1\n" * 20)
    Path("p.txt").write_text("0.05\n" * 20)
    config = load(stages)
    before = objective_files_hash(config)
    Path("w.txt").write_text("2\n" * 20)
    changed = objective_files_hash(config)
    assert len({before, changed, None}) == 3
    Path("w.txt").write_text("1\n" * 20)
    assert objective_files_hash(config) == before
