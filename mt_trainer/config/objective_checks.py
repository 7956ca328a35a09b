"""Settings of an objective that contradict each other: one small check a contradiction.

A check is given an objective and the way to write its keys, which depends on whether it stands alone or in a stage.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from mt_trainer.config.contradiction import Check, Contradiction
from mt_trainer.config.objective import (
    ConfidencePenaltyConfig,
    DistillationConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    LossTruncationConfig,
    NumberSchedule,
    ObjectiveConfig,
    RDropConfig,
    SingleObjective,
    SparseDistillationConfig,
    StagesConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective.scheduled import largest, smallest
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.section import Section

Key = Callable[[str], str]
"""The full key, in backticks, of a setting of the objective that is looked at."""

Ask = Callable[[Any, Key], Contradiction | None]

CHECKS: list[tuple[type[Section], tuple[str, ...], Ask]] = []


def check(section: type[Section], *keys: str) -> Callable[[Ask], None]:
    """Enter the function below into `CHECKS`, for objectives of one class."""

    def enter(ask: Ask) -> None:
        CHECKS.append((section, keys, ask))

    return enter


def objective_checks(config: TrainConfig) -> Iterator[Check]:
    """All checks that apply to the objectives of a config."""
    if isinstance(config.objective, StagesConfig):
        for index in range(len(config.objective.stages)):
            own, before = f"objective.stages.{index}", f"objective.stages.{index - 1}"
            of_stage = (f"{own}.until_step", f"{own}.objective.name", f"{before}.until_step", "training.max_steps")
            yield Check(of_stage, partial(_stage_fits, index))
    for path, objective in objectives_of(config.objective):
        key = partial(_key, path)
        for section, keys, ask in CHECKS:
            if isinstance(objective, section):
                yield Check(tuple(f"{path}.{name}" for name in keys), _asking(ask, objective, key))
        if isinstance(objective, WeightedLabelSmoothingConfig):
            yield Check((f"{path}.groups", f"{path}.name", "tokenizer.joint"), partial(_vocabulary_is_joint, key))
        if isinstance(objective, RDropConfig):
            dropouts = ("model.dropout", "model.attention_dropout", "model.activation_dropout")
            yield Check((f"{path}.name", *dropouts), _two_passes_differ)
        for name in type(objective).model_fields:
            if isinstance(number := getattr(objective, name), NumberSchedule):
                start, end, schedule = (f"{path}.{name}.{part}" for part in ("start_step", "end_step", "schedule"))
                of_number = partial(_key, f"{path}.{name}")
                yield Check((end, start, schedule), _asking(_schedule_goes_forward, number, of_number))
                yield Check((start, schedule), _asking(_start_step_has_an_effect, number, of_number))


def objectives_of(config: ObjectiveConfig) -> Iterator[tuple[str, SingleObjective]]:
    """Each objective of the section with its key: itself, or those of its stages."""
    if not isinstance(config, StagesConfig):
        yield "objective", config
        return
    for index, stage in enumerate(config.stages):
        yield f"objective.stages.{index}.objective", stage.objective


def _key(path: str, name: str) -> str:
    return f"`{path}.{name}`"


def _asking(ask: Ask, section: Section, key: Key) -> Callable[[TrainConfig], Contradiction | None]:
    return lambda _: ask(section, key)


def _stage_fits(index: int, config: TrainConfig) -> Contradiction | None:
    """Whether a stage ends after the one before it, the last one not at all, and all of them are reached."""
    assert isinstance(config.objective, StagesConfig)
    ends, max_steps = [stage.until_step for stage in config.objective.stages], config.training.max_steps
    key, end, is_last = f"`objective.stages.{index}.until_step`", ends[index], index == len(ends) - 1
    before = ends[index - 1] or 0 if index else 0
    if is_last and end is not None:
        return Contradiction(f"{key} {end} ends the last stage, and nothing follows", "leave it out, or add a stage")
    if is_last and max_steps is not None and before >= max_steps:
        return Contradiction(
            f"the last stage of the objective begins after step {before}, but `training.max_steps` is {max_steps}",
            f"end the stage before it earlier, or set `training.max_steps` to more than {before}",
        )
    if not is_last and end is None:
        return Contradiction(f"{key} is missing, but another stage follows", "say with which step the stage ends")
    if end is not None and end <= before:
        return Contradiction(
            f"{key} {end} is not after step {before}, with which the stage before ends",
            "order the stages by `until_step`",
        )
    return None


def _vocabulary_is_joint(key: Key, config: TrainConfig) -> Contradiction | None:
    if config.tokenizer.joint:
        return None
    return Contradiction(
        f"{key('groups')}: pieces of either side share a vocabulary only where it is joint, but `tokenizer.joint` is "
        "false",
        "set `tokenizer.joint: true`, or take another objective",
    )


def _two_passes_differ(config: TrainConfig) -> Contradiction | None:
    model = config.model
    if model.dropout or model.attention_dropout or model.activation_dropout:
        return None
    return Contradiction(
        "R-Drop draws two passes with different dropout to each other, but all dropout of the model is 0: both are one",
        "set `model.dropout`, such as 0.3, or take another objective",
    )


def _schedule_goes_forward(schedule: NumberSchedule, key: Key) -> Contradiction | None:
    if schedule.schedule == "step" or schedule.end_step > schedule.start_step:
        return None
    return Contradiction(
        f"{key('end_step')} {schedule.end_step} does not come after `start_step` {schedule.start_step}",
        f"end_step > {schedule.start_step}",
    )


def _start_step_has_an_effect(schedule: NumberSchedule, key: Key) -> Contradiction | None:
    if schedule.schedule != "step" or schedule.start_step == 0:
        return None
    return Contradiction(
        f"{key('start_step')} {schedule.start_step} has no effect: the schedule `step` jumps at `end_step`",
        "leave `start_step` out",
    )


@check(LabelSmoothingConfig, "convention", "prior")
def _convention_fits_prior(objective: LabelSmoothingConfig, key: Key) -> Contradiction | None:
    match objective.prior:
        case "uniform":
            allowed = ["torch", "fairseq", "no_pad", "kl"]
        case "target_side":
            allowed = ["torch", "fairseq"]
        case _:
            allowed = ["torch"]
    if objective.convention in allowed:
        return None
    listed = " or ".join(f"`{convention}`" for convention in allowed)
    return Contradiction(
        f"{key('convention')} `{objective.convention}` is not defined for the prior `{objective.prior}`",
        f"set `convention` to {listed}, or take the uniform prior",
    )


@check(LabelSmoothingConfig, "prior_temperature", "prior")
def _temperature_has_an_effect(objective: LabelSmoothingConfig, key: Key) -> Contradiction | None:
    if objective.prior == "unigram" or objective.prior_temperature == 1:
        return None
    return Contradiction(
        f"{key('prior_temperature')} {objective.prior_temperature:g} has no effect: the prior is `{objective.prior}`",
        "leave it out, or set `prior: unigram`",
    )


@check(WeightedLabelSmoothingConfig, "target_share", "common_share", "source_share")
def _shares_are_the_whole(objective: WeightedLabelSmoothingConfig, key: Key) -> Contradiction | None:
    total = objective.target_share + objective.common_share + objective.source_share
    if math.isclose(total, 1, abs_tol=1e-6):
        return None
    return Contradiction(
        f"{key('target_share')}, `common_share` and `source_share` sum to {total:g}, not to one", "change one of them"
    )


@check(GraduatedLabelSmoothingConfig, "high_threshold", "low_threshold")
def _thresholds_are_ordered(objective: GraduatedLabelSmoothingConfig, key: Key) -> Contradiction | None:
    low, high = objective.low_threshold, objective.high_threshold
    if isinstance(low, float) and isinstance(high, float):
        if low <= high:
            return None
        return Contradiction(f"{key('high_threshold')} {high:g} is less than `low_threshold` {low:g}", "exchange them")
    # Apart at both ends, two numbers that go the same course are apart all the way.
    is_apart = all(lower <= upper for lower, upper in zip(_ends(low), _ends(high), strict=True))
    if (is_apart and _course(low) == _course(high)) or largest(low) <= smallest(high):
        return None
    return Contradiction(
        f"{key('high_threshold')} may fall below `low_threshold`, which goes as far as {largest(low):g}",
        "keep them apart, or let both follow the same schedule between the same steps",
    )


def _course(number: float | NumberSchedule) -> tuple[str, int, int] | None:
    """What share of its way a number has gone at any step; None for a plain one."""
    return (number.schedule, number.start_step, number.end_step) if isinstance(number, NumberSchedule) else None


def _ends(number: float | NumberSchedule) -> tuple[float, float]:
    return (number.start, number.end) if isinstance(number, NumberSchedule) else (number, number)


@check(FocalConfig, "gamma")
def _exponent_keeps_out_of_the_gap(objective: FocalConfig, key: Key) -> Contradiction | None:
    gamma = objective.gamma
    if not isinstance(gamma, NumberSchedule) or gamma.schedule == "step" or smallest(gamma) >= 1 or largest(gamma) == 0:
        return None
    return Contradiction(
        f"{key('gamma')} goes through the values between 0 and 1, where the slope is infinite at p = 1",
        "let it go from 1 upwards, or jump with `schedule: step`",
    )


@check(ConfidencePenaltyConfig, "threshold", "prior")
def _threshold_is_of_the_entropy(objective: ConfidencePenaltyConfig, key: Key) -> Contradiction | None:
    if objective.threshold is None or objective.prior == "uniform":
        return None
    return Contradiction(
        f"{key('threshold')} bounds the entropy, but with the prior `{objective.prior}` the penalty is a divergence",
        "leave it out, or set `prior: uniform`",
    )


@check(ErrorNormTruncationConfig, "threshold", "fraction", "name")
def _threshold_or_fraction(objective: ErrorNormTruncationConfig, key: Key) -> Contradiction | None:
    if (objective.threshold is None) != (objective.fraction is None):
        return None
    found = "neither is given" if objective.threshold is None else "both are given"
    return Contradiction(
        f"error norm truncation takes {key('threshold')} or `fraction`, but {found}", "give one of the two"
    )


@check(ErrorNormTruncationConfig, "window", "min_count", "threshold")
def _window_is_of_a_fraction(objective: ErrorNormTruncationConfig, key: Key) -> Contradiction | None:
    fields = ErrorNormTruncationConfig.model_fields
    changed = [name for name in ("window", "min_count") if getattr(objective, name) != fields[name].default]
    if objective.fraction is not None or not changed:
        return None
    return Contradiction(
        f"{key(changed[0])} has no effect without `fraction`", f"leave `{changed[0]}` out, or give `fraction`"
    )


def _enough_are_remembered(
    objective: ErrorNormTruncationConfig | LossTruncationConfig, key: Key
) -> Contradiction | None:
    if objective.min_count <= objective.window:
        return None
    return Contradiction(
        f"{key('min_count')} {objective.min_count} is never reached: `window` remembers {objective.window}",
        f"min_count <= {objective.window}, or a larger window",
    )


check(ErrorNormTruncationConfig, "min_count", "window")(_enough_are_remembered)
check(LossTruncationConfig, "min_count", "window")(_enough_are_remembered)


@check(DistillationConfig, "skew", "divergence")
def _skew_has_an_effect(objective: DistillationConfig, key: Key) -> Contradiction | None:
    if objective.skew is None or objective.divergence not in ("forward_kl", "reverse_kl", "tv"):
        return None
    return Contradiction(
        f"{key('skew')} has no effect: the divergence is `{objective.divergence}`",
        "leave it out, or take a skewed divergence, `symmetric_kl` or `js`",
    )


@check(SparseDistillationConfig, "ghost", "method")
def _ghost_is_of_the_best(objective: SparseDistillationConfig, key: Key) -> Contradiction | None:
    if not objective.ghost or objective.method == "top":
        return None
    return Contradiction(
        f"{key('ghost')} stands for the pieces that are not among the best, but `method` is `{objective.method}`",
        "leave it out, or set `method: top`",
    )
