"""Learning rates against tables worked out by hand. The first step is 1."""

import math
from itertools import pairwise

import pytest

from mt_trainer.config.optim import (
    ConstantSchedule,
    CosineSchedule,
    InverseSqrtSchedule,
    LinearSchedule,
    NoamSchedule,
    ScheduleConfig,
    WsdSchedule,
)
from mt_trainer.optim import build_schedule
from mt_trainer.optim.schedules import warmup

PEAK = {"peak_lr": 8e-4, "warmup_steps": 100}
END = {**PEAK, "final_lr": 1e-4}

TABLE: list[tuple[ScheduleConfig, dict[int, float]]] = [
    # d_model 64: 64^-0.5 = 1/8; at the end of 100 steps of warmup 2 / 8 / 10; then with the root of the step.
    (
        NoamSchedule(name="noam", factor=2.0, warmup_steps=100),
        {1: 0.00025, 50: 0.0125, 100: 0.025, 400: 0.0125, 1000: 0.25 / math.sqrt(1000)},
    ),
    (
        InverseSqrtSchedule(name="inverse_sqrt", **PEAK),
        {1: 8e-6, 50: 4e-4, 100: 8e-4, 400: 4e-4, 900: 8e-4 / 3},
    ),
    # From 8e-4 at step 100 to 1e-4 at step 1000: a third of the way is step 400.
    (LinearSchedule(name="linear", **END), {1: 8e-6, 100: 8e-4, 400: 8e-4 - 7e-4 / 3, 1000: 1e-4, 2000: 1e-4}),
    # cos(pi / 3) = 1/2, so three quarters of the way down from the top remain; half-way (550) the mean of both ends.
    (
        CosineSchedule(name="cosine", **END),
        {1: 8e-6, 100: 8e-4, 400: 1e-4 + 0.75 * 7e-4, 550: 4.5e-4, 1000: 1e-4, 2000: 1e-4},
    ),
    (
        WsdSchedule(name="wsd", **END, decay_steps=200),
        {1: 8e-6, 100: 8e-4, 400: 8e-4, 800: 8e-4, 900: 4.5e-4, 1000: 1e-4, 2000: 1e-4},
    ),
    (ConstantSchedule(name="constant", **PEAK), {1: 8e-6, 50: 4e-4, 100: 8e-4, 400: 8e-4, 10**6: 8e-4}),
]


@pytest.mark.parametrize(("config", "rates"), TABLE, ids=[config.name for config, _ in TABLE])
def test_table(config: ScheduleConfig, rates: dict[int, float]) -> None:
    schedule = build_schedule(config, d_model=64, max_steps=1000)
    assert {step: schedule(step) for step in rates} == pytest.approx(rates, rel=1e-12)


@pytest.mark.parametrize(("config", "rates"), TABLE, ids=[config.name for config, _ in TABLE])
def test_never_zero_at_the_start_never_above_the_peak(config: ScheduleConfig, rates: dict[int, float]) -> None:
    schedule = build_schedule(config, d_model=64, max_steps=1000)
    steps = [schedule(step) for step in range(1, 1001)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(rates[100])
    assert all(a < b for a, b in pairwise(steps[:100]))
    assert all(a >= b for a, b in pairwise(steps[99:]))


def test_noam_is_the_formula_of_the_paper() -> None:
    """Vaswani et al. (2017), equation 3, for the base model: d_model 512, warmup 4000; the peak is about 7e-4."""
    schedule = build_schedule(NoamSchedule(name="noam"), d_model=512, max_steps=None)
    for step in (1, 10, 3999, 4000, 4001, 100_000):
        assert schedule(step) == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5), rel=1e-12)
    assert schedule(4000) == pytest.approx(6.99e-4, rel=1e-3)


@pytest.mark.parametrize("kind", [LinearSchedule, CosineSchedule, ConstantSchedule])
def test_without_warmup_the_first_step_is_at_the_peak(kind: type[LinearSchedule]) -> None:
    config = kind(name=kind.model_fields["name"].annotation.__args__[0], peak_lr=1e-3, warmup_steps=0)
    schedule = build_schedule(config, d_model=64, max_steps=10**9)
    assert schedule(1) == pytest.approx(1e-3, rel=1e-6)


def test_warmup() -> None:
    assert [warmup(step, 4) for step in (1, 2, 4, 5)] == [0.25, 0.5, 1.0, 1.0]
    assert warmup(1, 0) == 1.0
