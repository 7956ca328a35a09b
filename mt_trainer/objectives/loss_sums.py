"""Sums of a loss and what is told beside it, over the target tokens of a batch, a step or a whole set."""

import math
from typing import NamedTuple

from torch import Tensor


class LossSums(NamedTuple):
    """Sums over the tokens that are not padding; 0-dimensional tensors, so that adding batches and ranks is `+`.

    Attributes:
        loss: the objective, in nats; the only one that carries a graph.
        nll: -log p of the labels, in nats, whatever the objective.
        num_correct: tokens whose label has the largest logit; a tie counts, but with diagnostics the first piece wins.
        num_tokens: tokens that are not padding.
        entropy: entropy of the model's distribution, in nats; only with diagnostics.
        confidence: the largest probability; only with diagnostics.
        weight: token weights of the objective, if it weights tokens or leaves some out; one that is left out has 0.
        num_at_floor: tokens whose weight is the least possible, or that are left out; likewise.
    """

    loss: Tensor
    nll: Tensor
    num_correct: Tensor
    num_tokens: Tensor
    entropy: Tensor | None
    confidence: Tensor | None
    weight: Tensor | None
    num_at_floor: Tensor | None

    def as_numbers(self) -> dict[str, float]:
        """Those that were summed, by name; this waits for the device."""
        return {name: float(value.detach()) for name, value in self._asdict().items() if value is not None}


def add_sums(a: LossSums | None, b: LossSums) -> LossSums:
    """The sums over both, without graph; None is nothing yet."""
    if a is None:
        return LossSums(*(None if value is None else value.detach() for value in b))  # type: ignore[arg-type]
    return LossSums(*(None if x is None or y is None else x + y.detach() for x, y in zip(a, b, strict=True)))  # type: ignore[arg-type]


def per_token(sums: dict[str, float]) -> dict[str, float]:
    """What a log line tells of a window or a validation: means over target tokens, in nats.

    Returns:
        `loss` (the objective), `nll` (true, never smoothed), `ppl` = exp(nll), `accuracy`, and where they were summed
        `entropy`, `confidence`, `mean_weight`, `share_at_floor`.
    """
    tokens = max(1.0, sums["num_tokens"])
    nll = sums["nll"] / tokens
    means = {
        "loss": sums["loss"] / tokens,
        "nll": nll,
        "ppl": math.exp(min(nll, 700.0)),
        "accuracy": sums["num_correct"] / tokens,
    }
    names = {
        "entropy": "entropy",
        "confidence": "confidence",
        "weight": "mean_weight",
        "num_at_floor": "share_at_floor",
    }
    return means | {name: sums[key] / tokens for key, name in names.items() if key in sums}
