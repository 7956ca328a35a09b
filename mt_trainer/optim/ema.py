"""Exponential moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """average <- d * average + (1 - d) * weights, with d = min(decay, (1 + step) / (10 + step)).

    The bound on d lets the average follow quickly while it is young.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = dict(model.named_parameters())
        self.average: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int, *, is_finite: Tensor) -> None:
        """Move on after optimizer step `step`, counted from 1.

        Args:
            is_finite: bool, on the device of the weights; False for a step that was skipped, which leaves the average
                as it is. It is not waited for.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        share = is_finite * (1.0 - decay)
        torch._foreach_lerp_(list(self.average.values()), list(self._weights.values()), [share] * len(self.average))

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Take the average from a checkpoint."""
        for name, tensor in self.average.items():
            tensor.copy_(average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the model has the average for its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            weights = weight.clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(weights)
