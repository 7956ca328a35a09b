"""Objectives that change with the step: numbers on a schedule, stages, and what is added to any objective."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from mt_trainer.config.objective import NumberSchedule
from mt_trainer.objectives.building.schedules import number_at
from mt_trainer.objectives.formulas.scores import z_loss
from mt_trainer.objectives.logit_statistics import LogitStatistics
from mt_trainer.objectives.objective import (
    AnyObjective,
    LogitPair,
    Objective,
    PairFunction,
    PairObjective,
    TokenFunction,
)

OfNumbers = Callable[..., AnyObjective]
"""Numbers by the names that they have in the config -> the objective with these filled in.

It is called for every step of a schedule: what is large, such as a prior, it holds and does not build.
"""


def scheduled(objective_of: OfNumbers, numbers: Mapping[str, float | NumberSchedule | None]) -> AnyObjective:
    """`objective_of(**numbers)` with each number as it stands at the step.

    Args:
        objective_of: what it makes may change with the step beside its numbers.
        numbers: of the config; None where it says `null`.
    """
    schedules = {name: number for name, number in numbers.items() if isinstance(number, NumberSchedule)}
    if not schedules:
        return objective_of(**numbers)

    def numbers_at(step: int) -> dict[str, float]:
        return {name: at_step(schedule, step) for name, schedule in schedules.items()}

    def at(step: int) -> AnyObjective:
        current = numbers_at(step)
        return replace(objective_of(**{**numbers, **current}).at(step), parameters=current, varies=None)

    course = ", ".join(f"{name} {in_words(schedule)}" for name, schedule in schedules.items())
    formula = objective_of(**{**numbers, **numbers_at(1)}).formula
    return replace(at(1), formula=f"{formula}  [at step 1; {course}]", varies=at)


def at_step(number: float | NumberSchedule, step: int) -> float:
    """A number of a config as it stands at a step."""
    return number_at(step, **number.model_dump()) if isinstance(number, NumberSchedule) else number


def in_words(schedule: NumberSchedule) -> str:
    """The course of a number, for people."""
    ends = f"from {schedule.start:g} to {schedule.end:g}"
    if schedule.schedule == "step":
        return f"{ends} at step {schedule.end_step}"
    return f"{schedule.schedule} {ends} over steps {schedule.start_step} to {schedule.end_step}"


def after(start_step: int, before: Objective, then: Objective) -> Objective:
    """`before` up to and with `start_step`, `then` afterwards."""
    if start_step == 0:
        return then
    formula = f"{then.formula}  [after step {start_step}]"
    return replace(before, formula=formula, varies=lambda step: before if step <= start_step else then)


def in_stages(stages: Sequence[tuple[int | None, AnyObjective]]) -> AnyObjective:
    """One objective after another, each with the last step of its stage; the last one's is None.

    The log gets the number of the stage, counted from 1, as the parameter `stage`.
    """

    def at(step: int) -> AnyObjective:
        for number, (until_step, objective) in enumerate(stages, start=1):
            if until_step is None or step <= until_step:
                current = objective.at(step)
                return replace(current, parameters={"stage": float(number), **current.parameters}, varies=None)
        raise ValueError("the last stage has no end")

    formulas = [
        f"stage {number}{f' until step {until_step}' if until_step else ''}: {objective.formula}"
        for number, (until_step, objective) in enumerate(stages, start=1)
    ]
    return replace(at(1), formula="; ".join(formulas), varies=at)


def with_z_loss(objective: AnyObjective, coefficient: float) -> AnyObjective:
    """The objective plus `coefficient` times the square of logsumexp, of both distributions if both are learnt."""
    if coefficient == 0:
        return objective
    is_of_both = isinstance(objective, PairObjective) and objective.other == "dropout"
    formula = _plus(objective.formula, f"{coefficient:g} logsumexp^2{' of each pass' if is_of_both else ''}")
    varies = objective.varies and (lambda step: with_z_loss(objective.at(step), coefficient))
    if isinstance(objective, Objective):
        function = partial(_plus_z_loss, function=objective.function, coefficient=coefficient)
        return replace(objective, function=function, formula=formula, varies=varies)
    pair_function = partial(
        _pair_plus_z_loss, function=objective.function, coefficient=coefficient, other=objective.other
    )
    return replace(objective, function=pair_function, formula=formula, varies=varies)


def _plus(formula: str, term: str) -> str:
    """A formula with one more term, before what it says of its names."""
    total, gap, said = formula.partition("  ")
    comma = "," if total.endswith(",") else ""
    return f"{total.removesuffix(',')} + {term}{comma}{gap}{said}"


def _plus_z_loss(statistics: LogitStatistics, *, function: TokenFunction, coefficient: float) -> Tensor:
    return function(statistics) + z_loss(statistics, coefficient=coefficient)


def _pair_plus_z_loss(pair: LogitPair, *, function: PairFunction, coefficient: float, other: str) -> Tensor:
    learnt = [pair.logits, pair.other] if other == "dropout" else [pair.logits]
    squares = [logits.logsumexp(dim=-1).square() for logits in learnt]
    return function(pair) + coefficient * sum(squares)
