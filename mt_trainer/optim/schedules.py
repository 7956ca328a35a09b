"""Learning rates: pure functions of the step. The first step is 1 and already has a positive rate.

`warmup(step) = min(1, step / warmup_steps)`: the peak is reached at step warmup_steps exactly.
"""

import math
from collections.abc import Callable
from typing import assert_never

from mt_trainer.config.optim import (
    ConstantSchedule,
    CosineSchedule,
    InverseSqrtSchedule,
    LinearSchedule,
    NoamSchedule,
    ScheduleConfig,
    WsdSchedule,
)

Schedule = Callable[[int], float]
"""The learning rate of a step, counted from 1."""


def warmup(step: int, warmup_steps: int) -> float:
    """Share of the peak reached: rises linearly to 1 at warmup_steps and stays there."""
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0


def noam(step: int, *, factor: float, d_model: int, warmup_steps: int) -> float:
    """factor * d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5) (Vaswani et al., 2017, equation 3)."""
    return float(factor * d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5))


def inverse_sqrt(step: int, *, peak_lr: float, warmup_steps: int) -> float:
    """peak_lr * min(step / warmup_steps, sqrt(warmup_steps / step))."""
    return peak_lr * warmup(step, warmup_steps) * math.sqrt(warmup_steps / max(step, warmup_steps))


def decayed(step: int, *, start: int, end: int) -> float:
    """Share of a decay from step `start` to step `end` that is done: 0 before, 1 after."""
    return min(1.0, max(0.0, (step - start) / max(1, end - start)))


def linear(step: int, *, peak_lr: float, final_lr: float, warmup_steps: int, max_steps: int) -> float:
    """Warmup, then a straight line from peak_lr to final_lr at max_steps."""
    done = decayed(step, start=warmup_steps, end=max_steps)
    return warmup(step, warmup_steps) * (peak_lr + (final_lr - peak_lr) * done)


def cosine(step: int, *, peak_lr: float, final_lr: float, warmup_steps: int, max_steps: int) -> float:
    """Warmup, then half a cosine from peak_lr to final_lr at max_steps (Loshchilov & Hutter, 2017, one period)."""
    done = decayed(step, start=warmup_steps, end=max_steps)
    return warmup(step, warmup_steps) * (final_lr + (peak_lr - final_lr) * (1 + math.cos(math.pi * done)) / 2)


def wsd(step: int, *, peak_lr: float, final_lr: float, warmup_steps: int, decay_steps: int, max_steps: int) -> float:
    """Warmup, a plateau at peak_lr, and a straight line to final_lr over the last decay_steps.

    After Hu et al. (2024), whose decay is exponential; here it is a straight line.
    """
    done = decayed(step, start=max_steps - decay_steps, end=max_steps)
    return warmup(step, warmup_steps) * (peak_lr + (final_lr - peak_lr) * done)


def constant(step: int, *, peak_lr: float, warmup_steps: int) -> float:
    """Warmup, then peak_lr."""
    return peak_lr * warmup(step, warmup_steps)


def build_schedule(config: ScheduleConfig, *, d_model: int, max_steps: int | None) -> Schedule:
    """The schedule of a config. Those that decay to a fixed end need max_steps; the config refuses them without."""
    end = max_steps or 0
    match config:
        case NoamSchedule(factor=factor, warmup_steps=steps):
            return lambda step: noam(step, factor=factor, d_model=d_model, warmup_steps=steps)
        case InverseSqrtSchedule(peak_lr=peak, warmup_steps=steps):
            return lambda step: inverse_sqrt(step, peak_lr=peak, warmup_steps=steps)
        case LinearSchedule(peak_lr=peak, final_lr=final, warmup_steps=steps):
            return lambda step: linear(step, peak_lr=peak, final_lr=final, warmup_steps=steps, max_steps=end)
        case CosineSchedule(peak_lr=peak, final_lr=final, warmup_steps=steps):
            return lambda step: cosine(step, peak_lr=peak, final_lr=final, warmup_steps=steps, max_steps=end)
        case WsdSchedule(peak_lr=peak, final_lr=final, warmup_steps=steps, decay_steps=decay):
            return lambda step: wsd(
                step, peak_lr=peak, final_lr=final, warmup_steps=steps, decay_steps=decay, max_steps=end
            )
        case ConstantSchedule(peak_lr=peak, warmup_steps=steps):
            return lambda step: constant(step, peak_lr=peak, warmup_steps=steps)
        case never:
            assert_never(never)
