"""Numbers with intervals, from resampling the sentences that they are means over (Efron, 1979; Koehn, 2004).

The resamples of one text are always the same, so that the difference of two numbers over the same sentences, in the
same order, is a paired one. Another text has resamples of its own: the difference of two numbers over different
sentences is one of independent samples.

Shapes: S sentences, R resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A number, and what it becomes in each resample."""

    value: float
    resampled: Numbers  # [R]

    @classmethod
    def ratio(cls, numerators: Numbers, denominators: Numbers, *, of: str) -> "Estimate":
        """The sum of the numerators over that of the denominators, one of each for every sentence [S].

        Args:
            of: name of the text whose sentences they are.
        """
        weights = _resamples(len(numerators), of)
        return cls(numerators.sum() / denominators.sum(), (weights @ numerators) / (weights @ denominators))

    @classmethod
    def mean(cls, values: Numbers, *, of: str) -> "Estimate":
        """The mean over sentences [S] of a text."""
        return cls.ratio(values, np.ones_like(values), of=of)

    def map(self, function: Callable[[Numbers], Numbers]) -> "Estimate":
        """A function of the number."""
        return Estimate(float(function(np.array(self.value))), function(self.resampled))

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.resampled - other.resampled)

    @property
    def interval(self) -> tuple[float, float]:
        """2.5 % and 97.5 % of the resamples lie below."""
        low, high = np.percentile(self.resampled, [2.5, 97.5])
        return float(low), float(high)

    def show(self, digits: int, *, sign: str = "") -> str:
        """Such as `12.31 [12.02, 12.64]`."""
        low, high = self.interval
        return f"{self.value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


@cache
def _resamples(num_sentences: int, text: str) -> Numbers:
    """How often each sentence is drawn in each resample, [R, S]."""
    rng = np.random.default_rng([1, *text.encode()])
    return rng.multinomial(num_sentences, np.full(num_sentences, 1 / num_sentences), size=NUM_RESAMPLES).astype(float)
