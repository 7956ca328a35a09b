"""An objective in words: formula, source, what it equals, and the target distribution that it pulls towards."""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from mt_trainer.config import TrainConfig
from mt_trainer.config.objective import (
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    NumberSchedule,
    RDropConfig,
    SingleObjective,
    StagesConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective_checks import objectives_of
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.building.check import target_vocab_size
from mt_trainer.objectives.building.published import equal_to
from mt_trainer.objectives.building.varying import at_step
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic
from mt_trainer.objectives.objective import AnyObjective, Objective, Source
from mt_trainer.objectives.token_inputs import TokenInputs
from mt_trainer.tokenizer import PAD_ID

PROBABILITIES = (0.001, 0.1, 0.9)
"""Probabilities of the label at which a target that depends on it is shown."""

Shown = list[tuple[str, float]]
"""Probabilities of the label, each with what it stands for."""


def explain_objective(config: TrainConfig) -> str:
    """Some lines for each stage, without reading the training text.

    Raises:
        ConfigError: MT028, a file of the objective cannot be used.
        TokenizerError: MT081, the tokenizer's file cannot be used.
    """
    vocab_size = target_vocab_size(config.tokenizer)
    spans = [(1, config.training.max_steps)]
    if isinstance(config.objective, StagesConfig):
        ends = [stage.until_step for stage in config.objective.stages[:-1]]
        spans = [((before or 0) + 1, end) for before, end in pairwise([0, *ends, config.training.max_steps])]
    return "\n\n".join(
        "\n".join(_lines(path, each, first_step, last_step, vocab_size))
        for (path, each), (first_step, last_step) in zip(objectives_of(config.objective), spans, strict=True)
    )


def _lines(
    path: str, config: SingleObjective, first_step: int, last_step: int | None, vocab_size: int
) -> Iterator[str]:
    yield f"{path}  {_build(config, vocab_size).formula}"
    yield f"source     {config.source}"
    equal = equal_to(config)
    if equal is not None:
        yield f"equals     {equal.text}"
    plain = config.model_copy(update={"z_loss": 0.0}) if equal is None or equal.other is None else equal.other
    of_pass = "for each pass: " if isinstance(config, RDropConfig) and plain.name != "r_drop" else ""
    yield from (f"target     {of_pass}{line}" for line in _targets(plain, first_step, last_step, vocab_size))
    if config.z_loss != 0:
        yield "target     beside it, the z-loss draws logsumexp to 0"


def _build(config: SingleObjective, vocab_size: int) -> AnyObjective:
    third = torch.arange(vocab_size) % 3  # an even text: a third of the pieces on either side alone, a third on both
    return build_objective(
        config, vocab_size=vocab_size, pad_id=PAD_ID, target_counts=third.ne(0).int(), source_counts=third.ne(1).int()
    )


def _targets(config: SingleObjective, first_step: int, last_step: int | None, vocab_size: int) -> Iterator[str]:
    """The target at the first step, and where it is another one in the end, that one too."""
    match config:
        case LabelSmoothingConfig(prior="unigram"):
            yield "by how often pieces occur in the training text, which is counted once it is encoded"
            return
        case LabelSmoothingConfig(prior="target_side") | WeightedLabelSmoothingConfig(groups="counts"):
            yield (
                "by how often pieces occur in the training text, which is counted once it is encoded; till then, the "
                "formula is that of an even text"
            )
            return
    objective = _build(config, vocab_size)
    settled = max([first_step, *_changes(config)])
    end = settled if last_step is None else min(settled, last_step)
    first, last = (list(_target(objective.at(step), _shown(config, step), vocab_size)) for step in (first_step, end))
    if first == last:
        yield from first
        return
    yield from (f"at step {first_step}: {line}" for line in first)
    since = f"from step {end} on" if end == settled else f"at step {end}, the last"
    yield from (f"{since}: {line}" for line in last)


def _changes(config: SingleObjective) -> Iterator[int]:
    """First steps from which on one of the numbers stays as it is."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, NumberSchedule):
            yield value.end_step
        elif name == "start_step":
            yield value + 1


def _shown(config: SingleObjective, step: int) -> Shown:
    """One probability in each band of graduated smoothing, else some."""
    if not isinstance(config, GraduatedLabelSmoothingConfig):
        return [(f"p_y = {p:g}", p) for p in PROBABILITIES]
    low, high = at_step(config.low_threshold, step), at_step(config.high_threshold, step)
    bands = [
        (f"p_y < {low:g}", 0.0, low),
        (f"{low:g} <= p_y <= {high:g}", low, high),
        (f"p_y > {high:g}", high, 1.0),
    ]
    return [(text, (start + end) / 2) for text, start, end in bands if start < end]


def _target(objective: AnyObjective, shown: Shown, vocab_size: int) -> Iterator[str]:
    """The q of -sum_v q_v log p_v with the same gradient, where there is one."""
    if not isinstance(objective, Objective) or objective.source not in (Source.LABELS, Source.EVALUATION_PASS):
        yield "none that is fixed: the gradient depends on another distribution, or on other pieces"
        return
    without_dropout = " without dropout" if objective.source is Source.EVALUATION_PASS else ""
    truncation = objective.truncation
    left_out = ""
    if truncation is not None and truncation.fraction > 0:
        left_out = f"; nothing in the {truncation.fraction:g} of {truncation.unit}s that are left out"
    for label_is, label in _labels(objective.constants.per_label):
        try:
            masses = {text: _masses(objective, p, label) for text, p in shown}
        except KeyError:  # so answers a statistic that is none of the three given
            yield "none that is fixed: the gradient depends on more than the label's probability"
            return
        first = next(iter(masses.values()))
        if all(math.isclose(a, b) for each in masses.values() for a, b in zip(each, first, strict=True)):
            masses = {"": first}
        for text, mass in masses.items():
            conditions = " and ".join(filter(None, (label_is, text and text + without_dropout)))
            where = f"where {conditions}: " if conditions else ""
            yield f"{where}{_distribution(*mass, objective, vocab_size)}{left_out}"


def _labels(per_label: Tensor | None) -> list[tuple[str, int]]:
    """Labels with the least and the largest weight, if labels have weights that differ."""
    if per_label is None or per_label.min() == per_label.max():
        return [("", 0)]
    return [
        (f"w_y = {per_label[label].item():g}", label) for label in map(int, (per_label.argmin(), per_label.argmax()))
    ]


def _masses(objective: Objective, p: float, label: int) -> tuple[float, float]:
    """What the label and what the prior get: the slopes of the objective by their logits."""
    logits = torch.tensor([math.log(p), -10.0], dtype=torch.float64, requires_grad=True)
    values = {
        Statistic.LOGSUMEXP: logits.new_zeros(1),
        Statistic.TARGET_LOGIT: logits[:1],
        Statistic.PRIOR_LOGIT: logits[1:],
    }
    statistics = LogitStatistics(values, TokenInputs(torch.tensor([label])), objective.constants)
    own, prior = torch.autograd.grad(objective.function(statistics).sum(), logits)[0].neg().tolist()
    return own, prior


def _distribution(label: float, mass: float, objective: Objective, vocab_size: int) -> str:
    prior, total = objective.constants.prior, f"{label + mass:.6g} in all"
    if prior is None or mass == 0:
        return f"{label:.6g} on the label, nothing on the others; {total}"
    shares = mass * prior
    padding = f"padding {shares[PAD_ID].item():.3g}"
    support = shares[prior > 0]
    if torch.allclose(support, support[0], atol=0):
        each = support[0].item()
        is_any_label = (prior[torch.arange(vocab_size) != PAD_ID] > 0).all()
        own = f"{label + each:.6g} on the label" + ("" if is_any_label else f" if the prior has it, else {label:.6g}")
        return f"{own}, {each:.3g} on each of {len(support) - 1:,} others ({padding}); {total}"
    low, high = shares.min().item(), shares.max().item()
    by = "the prior" if objective.constants.per_label is None else "its weight"
    return f"{label:.6g} on the label, and on each piece {low:.3g} to {high:.3g} by {by} ({padding}); {total}"
