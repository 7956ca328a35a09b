"""Section `optim`: AdamW, gradient clipping, and the learning rate as a function of the step."""

from typing import Annotated, Literal

from pydantic import Field

from mt_trainer.config.section import Section, required, setting

PEAK = "Learning rate at the end of warmup."
WARMUP = "Steps of linear rise; step 1 already has a positive rate."


class NoamSchedule(Section):
    """factor * d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5) (Vaswani et al., 2017)."""

    name: Literal["noam"] = required("The original Transformer's schedule.")
    factor: float = setting(1.0, "Multiplier.", gt=0.0)
    warmup_steps: int = setting(4000, WARMUP, unit="steps", ge=1)


class InverseSqrtSchedule(Section):
    """Linear warmup, then peak_lr * sqrt(warmup_steps / step)."""

    name: Literal["inverse_sqrt"] = required("Decay with the square root of the step.")
    peak_lr: float = setting(5e-4, PEAK, gt=0.0)
    warmup_steps: int = setting(4000, WARMUP, unit="steps", ge=1)


class LinearSchedule(Section):
    """Linear warmup, then a straight line to final_lr at training.max_steps."""

    name: Literal["linear"] = required("Straight decay; needs training.max_steps.")
    peak_lr: float = setting(5e-4, PEAK, gt=0.0)
    warmup_steps: int = setting(4000, WARMUP, unit="steps", ge=0)
    final_lr: float = setting(0.0, "Learning rate at the last step.", ge=0.0)


class CosineSchedule(Section):
    """Linear warmup, then half a cosine to final_lr at training.max_steps."""

    name: Literal["cosine"] = required("Half a cosine; needs training.max_steps.")
    peak_lr: float = setting(5e-4, PEAK, gt=0.0)
    warmup_steps: int = setting(4000, WARMUP, unit="steps", ge=0)
    final_lr: float = setting(0.0, "Learning rate at the last step.", ge=0.0)


class WsdSchedule(Section):
    """Warmup, a plateau at peak_lr, then a straight line to final_lr over the last decay_steps."""

    name: Literal["wsd"] = required("Warmup, stable, decay; needs training.max_steps.")
    peak_lr: float = setting(5e-4, PEAK, gt=0.0)
    warmup_steps: int = setting(4000, WARMUP, unit="steps", ge=0)
    decay_steps: int = setting(2000, "Steps of the final decay.", unit="steps", ge=1)
    final_lr: float = setting(0.0, "Learning rate at the last step.", ge=0.0)


class ConstantSchedule(Section):
    """Linear warmup, then peak_lr for ever."""

    name: Literal["constant"] = required("No decay.")
    peak_lr: float = setting(5e-4, PEAK, gt=0.0)
    warmup_steps: int = setting(4000, WARMUP, unit="steps", ge=0)


ScheduleConfig = Annotated[
    NoamSchedule | InverseSqrtSchedule | LinearSchedule | CosineSchedule | WsdSchedule | ConstantSchedule,
    Field(discriminator="name"),
]


class OptimConfig(Section):
    """AdamW (Loshchilov & Hutter, 2019); with weight_decay 0 it is Adam."""

    schedule: ScheduleConfig = setting(InverseSqrtSchedule(name="inverse_sqrt"), "Learning rate over the steps.")
    beta1: float = setting(0.9, "Decay of the first moment.", ge=0.0, lt=1.0)
    beta2: float = setting(0.98, "Decay of the second moment.", ge=0.0, lt=1.0)
    epsilon: float = setting(1e-9, "Added to the root of the second moment.", gt=0.0)
    weight_decay: float = setting(0.0, "Decoupled weight decay; not on norms and biases.", ge=0.0)
    clip_norm: float | None = setting(1.0, "Largest norm of the whole gradient; null for no clipping.", gt=0.0)
