"""The list of settings: every key is described, and described as the section classes have it."""

from typing import Literal, get_args

import pytest

from mt_trainer.config.data import DataConfig, PhrasebookSource, TextSource
from mt_trainer.config.objective import FocalConfig, LabelSmoothingConfig, StagesConfig, TaiLrConfig
from mt_trainer.config.optim import InverseSqrtSchedule, OptimConfig
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.section import Section
from mt_trainer.config.settings import default_tags, groups, settings_of, shown_value, tag_of, variants
from mt_trainer.config.training import TrainingConfig


@pytest.mark.parametrize(
    ("section", "name", "allowed"),
    [
        (LabelSmoothingConfig, "epsilon", "number or schedule, 0 <= x < 1, default 0.1"),
        (TaiLrConfig, "gamma", "number or schedule, 0 <= x <= 1, default 0.1"),
        (FocalConfig, "gamma", "number or schedule, x = 0 or x >= 1, default 1"),
        (StagesConfig, "stages", "list of sections, not empty, required"),
        (InverseSqrtSchedule, "peak_lr", "number, x > 0, default 0.0005"),
        (TrainingConfig, "max_steps", "integer or null, x >= 1, in steps, default 100000"),
        (TrainingConfig, "select_by", "one of `bleu`, `nll`, default bleu"),
        (DataConfig, "src_lang", "text, not empty, required"),
        (DataConfig, "drop_identical", "true or false, default true"),
        (TextSource, "format", "`text`, required"),
        (TrainConfig, "model", "section"),
    ],
)
def test_what_is_allowed_is_said_in_one_line(section: type[Section], name: str, allowed: str) -> None:
    assert settings_of(section)[name].allowed == allowed


def test_every_section_and_variant_is_listed_once() -> None:
    places = [(group.path, group.variant) for group in groups()]
    assert len(places) == len(set(places))
    assert ("optim.schedule", "cosine") in places
    assert ("data.test.<name>", "tsv") in places
    schedules = [group.variant for group in groups() if group.path == "optim.schedule"]
    assert schedules[0] == "inverse_sqrt"
    assert sorted(filter(None, schedules)) == ["constant", "cosine", "inverse_sqrt", "linear", "noam", "wsd"]


def test_the_objectives_are_not_listed_again_inside_the_stages() -> None:
    objectives = [group.variant for group in groups() if group.path == "objective"]
    assert objectives[0] == "label_smoothing"
    assert set(objectives) == set(variants(TrainConfig.model_fields["objective"].annotation))
    assert [group.path for group in groups() if group.path.startswith("objective.")] == ["objective.stages"]


def test_every_setting_has_a_sentence() -> None:
    for group in groups():
        assert group.section.__doc__
        for setting in group.settings:
            assert setting.description[:-1].strip(), group.key(setting)
            assert setting.description.endswith((".", "...")), group.key(setting)


def test_default_variants_are_those_of_the_schema() -> None:
    assert default_tags() == {
        ("objective",): ("name", "label_smoothing"),
        ("optim", "schedule"): ("name", "inverse_sqrt"),
    }


def test_variants_are_told_apart_by_their_tag() -> None:
    assert tag_of(PhrasebookSource) == "format"
    assert tag_of(DataConfig) is None
    members = variants(OptimConfig.model_fields["schedule"].annotation)
    assert members["inverse_sqrt"] is InverseSqrtSchedule
    assert variants(int | None) == {}
    assert variants(Literal["a"]) == {}
    for name, member in members.items():
        assert get_args(member.model_fields["name"].annotation) == (name,)


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "null"), (True, "true"), (1e-9, "1e-09"), (3.0, "3"), ({}, "none")]
)
def test_values_are_shown_as_yaml_has_them(value: object, shown: str) -> None:
    assert shown_value(value) == shown
