"""Numbers of an objective that may change with training: a plain number, or a mapping that says how it goes.

A schedule is a function of the step alone, so a resumed run goes on as if it had never stopped. Each kind of number has
its bounds once; they hold for the plain number and for both ends of a schedule.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from mt_trainer.config.section import Bounds, Section, required, setting


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


def largest(number: float | NumberSchedule) -> float:
    """The largest value that a number takes."""
    return max(number.start, number.end) if isinstance(number, NumberSchedule) else number


def smallest(number: float | NumberSchedule) -> float:
    """The smallest value that a number takes."""
    return min(number.start, number.end) if isinstance(number, NumberSchedule) else number


def _form(value: Any) -> str:
    return "schedule" if isinstance(value, dict | NumberSchedule) else "number"


FORM = Discriminator(_form)
"""A mapping is a schedule, anything else a number."""

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class ShareSchedule(NumberSchedule):
    """A schedule of a share that cannot be all."""

    start: Share = required("Value at the beginning.")
    end: Share = required("Value at the end.")


ScheduledShare = Annotated[Annotated[Share, Tag("number")] | Annotated[ShareSchedule, Tag("schedule")], FORM]
"""0 <= x < 1, or a schedule within it."""

Part = Annotated[float, Field(gt=0.0, lt=1.0)]


class PartSchedule(NumberSchedule):
    """A schedule of a share that can be neither nothing nor all."""

    start: Part = required("Value at the beginning.")
    end: Part = required("Value at the end.")


ScheduledPart = Annotated[Annotated[Part, Tag("number")] | Annotated[PartSchedule, Tag("schedule")], FORM]
"""0 < x < 1, or a schedule within it."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class FractionSchedule(NumberSchedule):
    """A schedule of a fraction."""

    start: Fraction = required("Value at the beginning.")
    end: Fraction = required("Value at the end.")


ScheduledFraction = Annotated[Annotated[Fraction, Tag("number")] | Annotated[FractionSchedule, Tag("schedule")], FORM]
"""0 <= x <= 1, or a schedule within it."""

Amount = Annotated[float, Field(ge=0.0)]


class AmountSchedule(NumberSchedule):
    """A schedule of an amount."""

    start: Amount = required("Value at the beginning.")
    end: Amount = required("Value at the end.")


ScheduledAmount = Annotated[Annotated[Amount, Tag("number")] | Annotated[AmountSchedule, Tag("schedule")], FORM]
"""x >= 0, or a schedule within it."""

PositiveAmount = Annotated[float, Field(gt=0.0, le=1000.0)]


class PositiveAmountSchedule(NumberSchedule):
    """A schedule of an amount that cannot be nothing."""

    start: PositiveAmount = required("Value at the beginning.")
    end: PositiveAmount = required("Value at the end.")


ScheduledPositiveAmount = Annotated[
    Annotated[PositiveAmount, Tag("number")] | Annotated[PositiveAmountSchedule, Tag("schedule")], FORM
]
"""0 < x <= 1000, or a schedule within it."""

ErrorNorm = Annotated[float, Field(gt=0.0, le=1.415)]


class ErrorNormSchedule(NumberSchedule):
    """A schedule of the length of an error vector, which is at most the root of two."""

    start: ErrorNorm = required("Value at the beginning.")
    end: ErrorNorm = required("Value at the end.")


ScheduledErrorNorm = Annotated[
    Annotated[ErrorNorm, Tag("number")] | Annotated[ErrorNormSchedule, Tag("schedule")], FORM
]
"""0 < x <= 1.415, or a schedule within it."""


def _zero_or_at_least_one(exponent: float) -> float:
    if 0 < exponent < 1:
        raise ValueError("the slope is infinite where p = 1")
    return exponent


Exponent = Annotated[float, Field(ge=0.0), AfterValidator(_zero_or_at_least_one), Bounds("x = 0 or x >= 1")]


class ExponentSchedule(NumberSchedule):
    """A schedule of an exponent of 1 - p, whose slope is infinite at p = 1 between 0 and 1."""

    start: Exponent = required("Value at the beginning.")
    end: Exponent = required("Value at the end.")


ScheduledExponent = Annotated[Annotated[Exponent, Tag("number")] | Annotated[ExponentSchedule, Tag("schedule")], FORM]
"""x = 0 or x >= 1, or a schedule that keeps to it."""
