"""The resolved config: written in full, loads back equal; its identity; differences."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import NOT_SET, config_digest, differences, to_yaml
from mt_trainer.config.settings import groups, settings_of

Load = Callable[..., TrainConfig]


def test_every_default_is_written_out(load: Load) -> None:
    written = yaml.safe_load(to_yaml(load()))
    for group in groups():
        if group.variant is None and group.path and "." not in group.path:
            assert list(written[group.path]) == list(settings_of(group.section))
    assert written["model"]["num_heads"] == 8
    assert written["objective"] == {
        "name": "label_smoothing",
        "epsilon": 0.1,
        "convention": "torch",
        "prior": "uniform",
        "prior_temperature": 1.0,
        "z_loss": 0.0,
    }


def test_text_that_looks_like_something_else_survives(load: Load, tmp_path: Path) -> None:
    odd = [
        "5e-4",
        "no",
        "010",
        "12:30 # x: [y",
        "null",
        "0x1F",
        "a\u2028b",
        "\x85",
        "😀 ü",
        "- x",
        "'",
        '"',
        " x ",
        "1_000",
    ]
    for text in odd:
        config = load("", f"runtime.run_folder={json.dumps(text)}", f"data.dev.src={json.dumps(text)}")
        assert config.runtime.run_folder == text
        (tmp_path / "again.yaml").write_text(to_yaml(config), encoding="utf-8")
        assert load_config(tmp_path / "again.yaml") == config


def test_the_digest_is_that_of_what_affects_the_run(load: Load) -> None:
    digest = config_digest(load())
    assert len(digest) == 64
    assert config_digest(load("", "runtime.run_folder=x", "runtime.cache_folder=y")) == digest
    assert config_digest(load("optim: {schedule: {peak_lr: 0.0005}}\n")) == digest
    for override in ("runtime.seed=2", "objective.epsilon=0.2", "data.train.src=other.en", "training.max_seconds=5"):
        assert config_digest(load("", override)) != digest


def test_differences_name_each_key(load: Load) -> None:
    a = load("", "runtime.seed=2")
    b = load("objective: {name: tailr}\n", "data.test={x: {format: tsv, path: a.tsv}}", "data.train.src=other.en")
    assert differences(a, a) == []
    assert differences(a, b) == [
        ("data.train.0.src", "train.en", "other.en"),
        ("data.test", {}, NOT_SET),
        ("data.test.x.format", NOT_SET, "tsv"),
        ("data.test.x.path", NOT_SET, "a.tsv"),
        ("data.test.x.src_column", NOT_SET, 1),
        ("data.test.x.tgt_column", NOT_SET, 2),
        ("objective.name", "label_smoothing", "tailr"),
        ("objective.convention", "torch", NOT_SET),
        ("objective.prior", "uniform", NOT_SET),
        ("objective.prior_temperature", 1.0, NOT_SET),
        ("objective.gamma", NOT_SET, 0.1),
        ("objective.min_weight", NOT_SET, 0.3),
        ("objective.weight_from", NOT_SET, "train"),
        ("runtime.seed", 2, 1),
    ]
    assert str(NOT_SET) == "(not set)"
