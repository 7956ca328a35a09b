"""What may change on resuming: every key is classified."""

from collections.abc import Callable

import pytest

from mt_trainer.config import TrainConfig
from mt_trainer.config.resume import (
    RESUMPTION,
    SCHEDULES_TO_AN_END,
    refused_on_resume,
    resumption_of,
    told_on_resume,
)
from mt_trainer.config.settings import groups

Load = Callable[..., TrainConfig]


def test_every_key_is_classified() -> None:
    keys = [group.key(setting) for group in groups() if group.path for setting in group.settings]
    unclassified = [key for key in keys if not any(f"{key}.".startswith(f"{each}.") for each in RESUMPTION)]
    assert unclassified == []


def test_only_keys_that_exist_are_classified() -> None:
    keys = {group.key(setting) for group in groups() for setting in group.settings}
    assert set(RESUMPTION) <= keys


def test_a_new_key_is_not_classified_by_chance() -> None:
    with pytest.raises(KeyError):
        resumption_of("training.new_setting")
    with pytest.raises(KeyError):
        resumption_of("new_section.key")


@pytest.mark.parametrize(
    ("override", "is_refused"),
    [
        ("training.max_steps=5000", False),
        ("training.max_seconds=60", False),
        ("training.keep_checkpoints=9", False),
        ("training.patience=9", False),
        ("training.max_skipped_steps=0", False),
        ("training.on_divergence=roll_back", False),
        ("training.average_checkpoints=5", True),
        ("training.log_every_steps=10", True),
        ("runtime.cache_folder=elsewhere", False),
        ("data.test={x: {format: tsv, path: a.tsv}}", False),
        ("evaluation.num_samples=9", False),
        ("data.train.src=other.en", True),
        ("objective.epsilon=0.2", True),
        ("objective.name=tailr", True),
        ("optim.schedule.peak_lr=1", True),
        ("decoding.beam_size=4", True),
        ("evaluation.tokenize=intl", True),
        ("runtime.threads=3", True),
        ("runtime.seed=2", True),
    ],
)
def test_changes_are_refused_or_not(load: Load, override: str, is_refused: bool) -> None:
    changes = refused_on_resume(load(), load("", override))
    assert bool(changes) == is_refused


@pytest.mark.parametrize("schedule", SCHEDULES_TO_AN_END)
def test_max_steps_is_fixed_where_the_rate_depends_on_it(load: Load, schedule: str) -> None:
    override = f"optim.schedule.name={schedule}"
    changes = refused_on_resume(load("", override), load("", override, "training.max_steps=50000"))
    assert changes == [("training.max_steps", 100000, 50000)]


@pytest.mark.parametrize(
    ("override", "is_told"),
    [
        ("training.max_steps=5000", True),
        ("training.max_seconds=60", True),
        ("training.max_epochs=3", True),
        ("training.max_tokens=10000", True),
        ("training.patience=9", True),
        ("training.keep_checkpoints=9", False),
        ("evaluation.num_samples=9", False),
        ("optim.schedule.peak_lr=1", False),
    ],
)
def test_changed_limits_are_taken_and_told(load: Load, override: str, is_told: bool) -> None:
    assert bool(told_on_resume(load(), load("", override))) == is_told


def test_a_key_is_refused_or_told_or_neither(load: Load) -> None:
    old, new = load(), load("", "training.max_steps=5000", "optim.clip_norm=3", "runtime.cache_folder=x")
    assert [key for key, _, _ in refused_on_resume(old, new)] == ["optim.clip_norm"]
    assert [key for key, _, _ in told_on_resume(old, new)] == ["training.max_steps"]
