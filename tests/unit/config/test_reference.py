"""The generated files are fresh, and say of the shipped configs what the loader says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mt_trainer.config.objective import NumberSchedule
from mt_trainer.config.reference import configuration_page, json_schema, write
from mt_trainer.config.settings import groups, settings_of
from mt_trainer.config.yaml_reader import read_file, read_text
from mt_trainer.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
REGENERATE = "run `python -m mt_trainer.config.reference`"


def listed(value: Any) -> Any:
    """Tuples as the lists that a JSON schema knows."""
    if isinstance(value, dict):
        return {key: listed(entry) for key, entry in value.items()}
    return [listed(entry) for entry in value] if isinstance(value, tuple) else value


def faults(text: str) -> list[str]:
    return [
        error.message
        for error in Draft202012Validator(json_schema()).iter_errors(listed(read_text(text, "x").root.plain()))
    ]


def test_the_configuration_page_is_fresh() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == configuration_page(), REGENERATE


def test_the_schema_is_fresh() -> None:
    assert json.loads((ROOT / "configs" / "schema.json").read_text(encoding="utf-8")) == json_schema(), REGENERATE


def test_both_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs").mkdir()
    write(tmp_path)
    assert (tmp_path / "docs" / "configuration.md").read_text(encoding="utf-8") == configuration_page()
    assert json.loads((tmp_path / "configs" / "schema.json").read_text(encoding="utf-8")) == json_schema()


def test_the_page_has_every_key() -> None:
    page = configuration_page()
    for group in groups():
        for setting in group.settings if group.path else ():
            assert f"| `{setting.name}` |" in page
            assert setting.description.replace("<unk>", "`<unk>`") in page
    for setting in settings_of(NumberSchedule).values():
        assert f"| `{setting.name}` |" in page
        assert setting.description in page


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_fit_the_schema(path: Path) -> None:
    document = read_file(path, path.name)
    assert [
        error.message for error in Draft202012Validator(json_schema()).iter_errors(listed(document.root.plain()))
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "model: transformer_tiny",
        "optim: {schedule: {peak_lr: 5}}",
        "objective: {epsilon: 0.2}",
        "objective: {name: tailr, gamma: 0.2}",
        "objective: {epsilon: {schedule: linear, start: 0, end: 0.1, end_step: 5}}",
        "objective: [{name: cross_entropy, until_step: 5}, {name: brier, epsilon: 0}]",
        "objective: {name: stages, stages: [{until_step: 5, objective: {name: emo}}, {objective: {name: focal}}]}",
        "training: {max_steps: null, max_seconds: 60}",
        "data: {src_lang: en, tgt_lang: de, dev: {format: phrasebook, split: dev}, train: [{format: tsv, path: a}]}",
        "extends: demo.yaml\ndata: {dev: {max_pairs: 50}}",
    ],
)
def test_the_schema_takes_what_the_loader_takes(load: Callable[..., object], required: str, text: str) -> None:
    load(text)
    assert faults(text if text.startswith(("data", "extends")) else required + text) == []


@pytest.mark.parametrize(
    "text",
    [
        "model: transformer_huge",
        "training: {max_steps: 0}",
        "training: {max_stps: 1}",
        "objective: {gamma: 0.2}",
        "objective: {epsilon: {schedule: lin, start: 0, end: 0.1, end_step: 5}}",
        "objective: {epsilon: {schedule: linear, start: 0, end: 1, end_step: 5}}",
        "objective: [{name: cross_entropi, until_step: 5}, {name: brier}]",
        "objective: [{until_step: 5}, {name: brier}]",
        "objective: {name: stages, stages: [{objective: {epsilon: 0.1}}]}",
        "objective: {name: label_smoothing, gamma: 0.2}",
        "optim: {schedule: {name: cosine, factor: 2}}",
        "runtime: {seed: true}",
        "data: {src_lang: en}",
        "data: {src_lang: en, tgt_lang: de, train: [], dev: {format: phrasebook, split: dev}}",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(load: Callable[..., object], required: str, text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)
    assert faults(text if text.startswith("data") else required + text) != []
