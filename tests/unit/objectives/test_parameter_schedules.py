import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt_trainer.objectives.building.schedules import number_at

SCHEDULES = ["linear", "cosine", "step"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", {1: 0.0, 100: 0.0, 150: 0.05, 200: 0.1, 300: 0.2, 1000: 0.2}),
        ("cosine", {1: 0.0, 100: 0.0, 150: 0.1 * (1 - math.sqrt(0.5)), 200: 0.1, 300: 0.2, 1000: 0.2}),
        ("step", {1: 0.0, 100: 0.0, 299: 0.0, 300: 0.2, 1000: 0.2}),
    ],
)
def test_a_written_table(schedule: Any, expected: dict[int, float]) -> None:
    settings = {"start": 0.0, "end": 0.2, "start_step": 100, "end_step": 300}
    for step, value in expected.items():
        assert number_at(step, schedule=schedule, **settings) == pytest.approx(value), step  # type: ignore[arg-type]


def test_both_ends_are_exact() -> None:
    for schedule in SCHEDULES:
        for step, value in ((5, 0.3), (17, 0.1)):
            settings = {"schedule": schedule, "start": 0.3, "end": 0.1, "start_step": 5, "end_step": 17}
            assert number_at(step, **settings) == value  # type: ignore[arg-type]


def test_rounding_does_not_leave_the_bounds() -> None:
    """Half of 0.3 and half of 0.3 by a cosine would be 0.29999999999999993."""
    assert number_at(1, schedule="cosine", start=0.3, end=0.3, start_step=0, end_step=2) == 0.3


@given(st.sampled_from(SCHEDULES), st.floats(0, 1), st.floats(0, 1), st.integers(0, 50), st.integers(1, 50), st.data())
def test_a_number_goes_from_start_to_end_and_never_beyond(
    schedule: Any, start: float, end: float, start_step: int, length: int, data: st.DataObject
) -> None:
    settings = {"start": start, "end": end, "start_step": start_step, "end_step": start_step + length}
    steps = sorted(data.draw(st.tuples(st.integers(1, 120), st.integers(1, 120))))
    first, second = (number_at(step, schedule=schedule, **settings) for step in steps)  # type: ignore[arg-type]
    tolerance = 1e-15
    for number in (first, second):
        assert min(start, end) <= number <= max(start, end)
    assert (second - first) * (end - start) >= -tolerance
