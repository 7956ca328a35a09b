"""Counters, limits, the best so far and patience."""

import json
import math
from typing import Any

import pytest

from mt_trainer.config.training import TrainingConfig
from mt_trainer.data.loader import Position
from mt_trainer.training.progress import Progress


def limits(**values: Any) -> TrainingConfig:
    return TrainingConfig(**{"max_steps": None, **values})


def test_after_a_step() -> None:
    start = Progress(step=4, num_tokens=100, seconds=2.0)
    after = start.after_step(position=Position(1, 3), num_tokens=20, seconds=2.5)
    assert after == Progress(step=5, position=Position(1, 3), num_tokens=120, seconds=2.5)
    assert start.step == 4


def test_the_first_validation_is_the_best_and_an_equal_one_is_not() -> None:
    progress = Progress(step=10).after_validation(20.0, dev_nll=2.0)
    assert (progress.best_score, progress.best_step, progress.is_best) == (20.0, 10, True)
    later = Progress(**{**vars(progress), "step": 20}).after_validation(20.0, dev_nll=2.0)
    assert (later.best_step, later.validations_since_best, later.is_best) == (10, 1, False)
    better = Progress(**{**vars(later), "step": 30}).after_validation(20.1, dev_nll=2.0)
    assert (better.best_step, better.validations_since_best, better.is_best) == (30, 0, True)


def test_not_a_number_is_never_the_best() -> None:
    first = Progress(step=10).after_validation(math.nan, dev_nll=2.0)
    assert (first.best_score, first.is_best, first.validations_since_best) == (None, False, 1)
    progress = Progress(step=10).after_validation(-3.0, dev_nll=2.0).after_validation(math.nan, dev_nll=2.0)
    assert (progress.best_score, progress.validations_since_best) == (-3.0, 1)


def test_patience() -> None:
    progress = Progress(step=1).after_validation(5.0, dev_nll=2.0).after_validation(4.0, dev_nll=2.0)
    assert not progress.is_over(limits(patience=2, max_steps=100))
    assert progress.after_validation(5.0, dev_nll=2.0).is_over(limits(patience=2, max_steps=100))
    assert not progress.after_validation(5.1, dev_nll=2.0).is_over(limits(patience=2, max_steps=100))


@pytest.mark.parametrize(
    ("limit", "reached", "not_yet"),
    [
        ({"max_steps": 10}, Progress(step=10), Progress(step=9)),
        ({"max_epochs": 2}, Progress(position=Position(2, 0)), Progress(position=Position(1, 99))),
        ({"max_tokens": 1000}, Progress(num_tokens=1001), Progress(num_tokens=999)),
        ({"max_seconds": 60.0}, Progress(seconds=60.0), Progress(seconds=59.9)),
    ],
)
def test_each_limit_ends_a_run(limit: dict[str, Any], reached: Progress, not_yet: Progress) -> None:
    assert reached.is_over(limits(**limit))
    assert not not_yet.is_over(limits(**limit))


def test_the_nearest_limit_counts() -> None:
    progress = Progress(step=50, num_tokens=900)
    assert progress.fraction_done(limits(max_steps=100, max_tokens=1000), epoch_tokens=500) == 0.9


def test_an_epoch_counts_before_its_end() -> None:
    progress = Progress(step=50, num_tokens=250, position=Position(0, 50))
    assert progress.fraction_done(limits(max_steps=None, max_epochs=2), epoch_tokens=500) == 0.25


def test_json_and_back() -> None:
    progress = Progress(7, Position(1, 2), 345, 6.7890123456789, 12.3456789012345, 5, 2)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress
    assert Progress.from_json(json.loads(json.dumps(Progress().to_json()))) == Progress()


def test_the_clock() -> None:
    assert Progress(step=3, seconds=1.0).at(2.5) == Progress(step=3, seconds=2.5)
