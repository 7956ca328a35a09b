"""An objective in words: formula, source, what it equals, and the target distribution that it pulls towards."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from mt_trainer.config import TrainConfig
from mt_trainer.config.objective import (
    ConfidencePenaltyConfig,
    LabelSmoothingConfig,
    SingleObjective,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective_checks import objectives_of
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.building.check import target_vocab_size
from mt_trainer.objectives.building.published import SOURCES, published_as
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic
from mt_trainer.objectives.objective import AnyObjective, Objective, Source
from mt_trainer.objectives.token_inputs import TokenInputs
from mt_trainer.tokenizer import PAD_ID

PROBABILITIES = (0.001, 0.1, 0.9)
"""Probabilities of the label at which a target that depends on it is shown."""


def explain_objective(config: TrainConfig) -> str:
    """Some lines for each stage, without reading the training text.

    Raises:
        ConfigError: MT028, a file of the objective cannot be used.
        TokenizerError: MT081, the tokenizer's file cannot be used.
    """
    vocab_size = target_vocab_size(config.tokenizer)
    return "\n\n".join("\n".join(_lines(path, each, vocab_size)) for path, each in objectives_of(config.objective))


def _lines(path: str, config: SingleObjective, vocab_size: int) -> Iterator[str]:
    third = torch.arange(vocab_size) % 3  # an even text: a third of the pieces on either side alone, a third on both
    objective = build_objective(
        config, vocab_size=vocab_size, pad_id=PAD_ID, target_counts=third.ne(0).int(), source_counts=third.ne(1).int()
    )
    yield f"{path}  {objective.formula}"
    yield f"source     {SOURCES[type(config)]}"
    if equal := published_as(config):
        yield f"equals     {equal}"
    if _reads_counts(config):
        yield "target     by how often pieces occur in the training text, which is counted once it is encoded"
    else:
        yield from (f"target     {line}" for line in _target(objective, vocab_size))


def _reads_counts(config: SingleObjective) -> bool:
    match config:
        case LabelSmoothingConfig():
            return config.prior in ("unigram", "target_side")
        case WeightedLabelSmoothingConfig():
            return config.groups == "counts"
        case _:
            return isinstance(config, ConfidencePenaltyConfig) and config.prior == "unigram"


def _target(objective: AnyObjective, vocab_size: int) -> Iterator[str]:
    """The q of -sum_v q_v log p_v with the same gradient, where there is one."""
    if not isinstance(objective, Objective) or objective.source not in (Source.LABELS, Source.EVALUATION_PASS):
        yield "none that is fixed: the gradient depends on another distribution, or on other pieces"
    elif objective.needs - {Statistic.PRIOR_LOGIT} or objective.constants.per_label is not None:
        yield "none that is fixed: the gradient depends on more than the label's probability"
    else:
        shown = [_masses(objective, p) for p in PROBABILITIES]
        if all(math.isclose(mass, first) for masses in shown for mass, first in zip(masses, shown[0], strict=True)):
            yield _distribution(*shown[0], objective.constants.prior, vocab_size)
            return
        for p, masses in zip(PROBABILITIES, shown, strict=True):
            yield f"where p_y = {p:g}: {_distribution(*masses, objective.constants.prior, vocab_size)}"


def _masses(objective: Objective, p: float) -> tuple[float, float]:
    """What the label and what the prior get: the slopes of the objective by their logits."""
    logits = torch.tensor([math.log(p), -10.0], dtype=torch.float64, requires_grad=True)
    values = {
        Statistic.LOGSUMEXP: logits.new_zeros(1),
        Statistic.TARGET_LOGIT: logits[:1],
        Statistic.PRIOR_LOGIT: logits[1:],
    }
    statistics = LogitStatistics(values, TokenInputs(torch.tensor([0])), objective.constants)
    label, prior = torch.autograd.grad(objective.function(statistics).sum(), logits)[0].neg().tolist()
    return label, prior


def _distribution(label: float, mass: float, prior: Tensor | None, vocab_size: int) -> str:
    total = f"{label + mass:.6g} in all"
    if prior is None or mass == 0:
        return f"{label:.6g} on the label, nothing on the others; {total}"
    shares = mass * prior
    padding = f"padding {shares[PAD_ID].item():.3g}"
    support = shares[prior > 0]
    if torch.allclose(support, support[0]):
        each = support[0].item()
        return (
            f"{label + each:.6g} on the label, {each:.3g} on each of {len(support) - 1:,} others ({padding}); {total}"
        )
    low, high = shares.min().item(), shares.max().item()
    return f"{label:.6g} on the label, and on each piece {low:.3g} to {high:.3g} by the prior ({padding}); {total}"
