"""Numbers of an objective that may change with training: a plain number, or a mapping that says how it goes.

A schedule is a function of the step alone, so a resumed run goes on as if it had never stopped.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from mt_trainer.config.section import Section, required, setting


class NumberSchedule(Section):
    """`start` up to `start_step`, `end` from `end_step` on, and between them what `schedule` says."""

    schedule: Literal["linear", "cosine", "step"] = required(
        "Between the two steps: `linear` along a straight line, `cosine` along half a cosine wave, flat at both ends, "
        "`step` not at all: it jumps at end_step."
    )
    start: float = required("Value at the beginning; the bounds are those of a plain number.")
    end: float = required("Value at the end; likewise.")
    start_step: int = setting(0, "Last step with the value of the beginning.", unit="steps", ge=0)
    end_step: int = required("First step with the value of the end.", unit="steps", ge=1)


class ShareSchedule(NumberSchedule):
    """A schedule of a share that cannot be all."""

    start: float = required("Value at the beginning.", ge=0.0, lt=1.0)
    end: float = required("Value at the end.", ge=0.0, lt=1.0)


class FractionSchedule(NumberSchedule):
    """A schedule of a fraction."""

    start: float = required("Value at the beginning.", ge=0.0, le=1.0)
    end: float = required("Value at the end.", ge=0.0, le=1.0)


class AmountSchedule(NumberSchedule):
    """A schedule of an amount."""

    start: float = required("Value at the beginning.", ge=0.0)
    end: float = required("Value at the end.", ge=0.0)


def _form(value: Any) -> str:
    return "schedule" if isinstance(value, dict | NumberSchedule) else "number"


ScheduledShare = Annotated[
    Annotated[float, Field(ge=0.0, lt=1.0), Tag("number")] | Annotated[ShareSchedule, Tag("schedule")],
    Discriminator(_form),
]
"""0 <= x < 1, or a schedule within it."""

ScheduledFraction = Annotated[
    Annotated[float, Field(ge=0.0, le=1.0), Tag("number")] | Annotated[FractionSchedule, Tag("schedule")],
    Discriminator(_form),
]
"""0 <= x <= 1, or a schedule within it."""

ScheduledAmount = Annotated[
    Annotated[float, Field(ge=0.0), Tag("number")] | Annotated[AmountSchedule, Tag("schedule")],
    Discriminator(_form),
]
"""x >= 0, or a schedule within it."""
