"""`extends` and `--set`: what is merged, what is replaced, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mt_trainer.config import TrainConfig
from mt_trainer.config.data import PhrasebookSource, TextSource
from mt_trainer.config.objective import LabelSmoothingConfig, TaiLrConfig
from mt_trainer.errors import ConfigError

Load = Callable[..., TrainConfig]
Refusal = Callable[..., ConfigError]


def test_mappings_merge_and_values_replace(load: Load, required: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(required + "training: {max_steps: 7000, patience: 3}\n")
    config = load("extends: base.yaml\ntraining: {patience: null, log_every_steps: 9}\n")
    assert (config.training.max_steps, config.training.patience, config.training.log_every_steps) == (7000, None, 9)


def test_another_variant_replaces_the_whole_mapping(load: Load, required: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(required + "objective: {name: label_smoothing, convention: fairseq}\n")
    assert load("extends: base.yaml\nobjective: {name: tailr}\n").objective == TaiLrConfig(name="tailr")
    same = load("extends: base.yaml\nobjective: {name: label_smoothing, epsilon: 0.2}\n").objective
    assert same == LabelSmoothingConfig(name="label_smoothing", epsilon=0.2, convention="fairseq")


def test_another_preset_replaces_the_sizes_of_the_first(load: Load, required: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(required + "model: {preset: transformer_big, d_model: 2048}\n")
    assert load("extends: base.yaml\nmodel: transformer_tiny\n").model.d_model == 128
    assert load("extends: base.yaml\nmodel: {dropout: 0.3}\n").model.d_model == 2048


def test_a_variant_that_nobody_named_is_the_default(load: Load, required: str, tmp_path: Path) -> None:
    assert load("objective: {epsilon: 0.3}\n").objective == LabelSmoothingConfig(name="label_smoothing", epsilon=0.3)
    (tmp_path / "base.yaml").write_text(required + "objective: {convention: fairseq}\n")
    assert load("extends: base.yaml\nobjective: {name: tailr}\n").objective == TaiLrConfig(name="tailr")


def test_a_chain_is_relative_to_each_file(load: Load, required: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "middle.yaml").write_text("extends: base.yaml\ntraining: {max_steps: 6000}\n")
    (tmp_path / "sub" / "base.yaml").write_text(required + "training: {max_steps: 5000, patience: 2}\n")
    config = load("extends: sub/middle.yaml\n")
    assert (config.training.max_steps, config.training.patience) == (6000, 2)


def test_a_problem_below_is_located_in_the_file_that_has_it(refusal: Refusal, required: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text(required + "training: {max_stps: 6000}\n")
    error = refusal("extends: sub/base.yaml\ntraining: {patience: 0}\n")
    assert [problem.where for problem in error.problems] == ["ende.yaml:2:22", "sub/base.yaml:6:12"]


def test_a_shipped_recipe_can_be_extended_from_anywhere(load: Load) -> None:
    config = load("extends: demo.yaml\ntraining: {max_seconds: 7}\n")
    assert isinstance(config.data.dev, PhrasebookSource)
    assert config.training.max_seconds == 7


def test_a_circle_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("extends: ende.yaml\n")
    [problem] = refusal("extends: other.yaml\n").problems
    assert problem.code == "MT027"
    assert problem.where == "other.yaml:1:10"
    assert "ende.yaml -> other.yaml -> ende.yaml" in problem.message
    [problem] = refusal("extends: ende.yaml\n").problems
    assert problem.code == "MT027"


@pytest.mark.parametrize("value", ["[a, b]", "5", "null", "''", "missing.yaml", '"a\\0b"'])
def test_a_bad_extends_is_refused(refusal: Refusal, value: str) -> None:
    assert refusal(f"extends: {value}\n").problems[0].code == "MT027"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("training.max_steps=2000", "training.max_steps", 2000),
        ("optim.clip_norm=null", "optim.clip_norm", None),
        ("optim.schedule.peak_lr=5e-4", "optim.schedule.peak_lr", 0.0005),
        ("optim.schedule.peak_lr=5", "optim.schedule.peak_lr", 5.0),
        ("data.tgt_lang=no", "data.tgt_lang", "no"),
        ("model=transformer_tiny", "model.d_model", 128),
        ("model.preset=transformer_tiny", "model.d_model", 128),
        ("objective.epsilon=0.3", "objective.epsilon", 0.3),
        ("objective.name=tailr", "objective.min_weight", 0.3),
        ("objective={name: tailr, gamma: 0.2}", "objective.gamma", 0.2),
        ("evaluation.lowercase=true", "evaluation.lowercase", True),
        ("runtime.run_folder=a=b", "runtime.run_folder", "a=b"),
        ("runtime.run_folder= spaced ", "runtime.run_folder", "spaced"),
    ],
)
def test_an_override_sets_one_value(load: Load, override: str, key: str, value: object) -> None:
    found: Any = load("", override)
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_later_overrides_win(load: Load) -> None:
    assert load("", "runtime.seed=2", "runtime.seed=3").runtime.seed == 3


def test_sources_are_set_by_index_or_alone(load: Load) -> None:
    for key in ("data.train.0.src", "data.train.src"):
        assert load("", f"{key}=x.en").data.train == (TextSource(format="text", src="x.en", tgt="train.de"),)
    phrasebook = PhrasebookSource(format="phrasebook", split="train")
    assert load("", "data.train.1={format: phrasebook, split: train}").data.train[1] == phrasebook
    assert load("", "data.train=[{format: phrasebook, split: train}]").data.train == (phrasebook,)
    assert load("", "data.train={format: phrasebook, split: train}").data.train == (phrasebook,)


def test_a_list_of_sources_needs_an_index(refusal: Refusal) -> None:
    two = "data.train.1={format: phrasebook, split: train}"
    [problem] = refusal("", two, "data.train.src=x").problems
    assert problem.code == "MT002"
    assert problem.help == "say which, as in `data.train.0.src`"
    [problem] = refusal("", "data.train.5.src=x").problems
    assert "there is no number 5" in problem.message


@pytest.mark.parametrize(
    "override",
    ["", "=", "training", "=5", "training.=5", ".a=5", "a..b=5", "a b=5", "training.max_steps=", "training.max_steps= ",
     "training.max_epochs=[1", "a={b: 1, b: 2}", "a=b: c", "a=- b", "a=*b", "a=&b c", "a=!!str b", "a=\x07"],
)  # fmt: skip
def test_an_override_that_cannot_be_read_is_refused(refusal: Refusal, override: str) -> None:
    [problem] = refusal("", override).problems
    assert problem.code == "MT002"
    assert problem.where is not None
    assert problem.where.startswith("--set ")
    assert problem.where.isprintable()


def test_problems_of_overrides_come_last_and_are_located_there(refusal: Refusal) -> None:
    error = refusal("training: {patience: 0}\n", "training.max_stps=3", "model.num_heads=3")
    assert [(problem.code, problem.where) for problem in error.problems] == [
        ("MT024", "ende.yaml:6:22"),
        ("MT021", "--set training.max_stps=3"),
        ("MT026", "--set model.num_heads=3"),
    ]
    assert all(problem.excerpt is None for problem in error.problems[1:])
