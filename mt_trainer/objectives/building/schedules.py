"""Numbers that change with training: pure functions of the step, so that a resumed run continues exactly."""

import math
from typing import Literal, assert_never


def number_at(
    step: int,
    *,
    schedule: Literal["linear", "cosine", "step"],
    start: float,
    end: float,
    start_step: int,
    end_step: int,
) -> float:
    """The number at a step, counted from 1: `start` up to `start_step`, `end` from `end_step` on.

    Between them `linear` goes along a straight line, `cosine` along half a cosine wave, and `step` stays at `start`.
    """
    if step >= end_step:
        return end
    progress = max(0.0, (step - start_step) / (end_step - start_step))
    match schedule:
        case "linear":
            share = progress
        case "cosine":
            share = (1 - math.cos(math.pi * progress)) / 2
        case "step":
            share = 0.0
        case _:
            assert_never(schedule)
    number = (1 - share) * start + share * end
    return min(max(number, min(start, end)), max(start, end))  # rounding must not leave the bounds of the ends
