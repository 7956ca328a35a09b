"""How long the sentences of a batch are, as far as the work that they make depends on it."""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class LengthSums:
    """Sums over pairs of S source and T target tokens, end marks included; + puts two sets of pairs together.

    Attributes:
        src, tgt: of S and T: the tokens of both sides.
        src_src, tgt_tgt, tgt_src: of S^2, T^2 and T S: the pairs of positions that may meet in attention.
    """

    src: int = 0
    tgt: int = 0
    src_src: int = 0
    tgt_tgt: int = 0
    tgt_src: int = 0

    @classmethod
    def of(cls, src_lengths: ArrayLike, tgt_lengths: ArrayLike) -> "LengthSums":
        """Those of pairs with these numbers of tokens [number of pairs], end marks included."""
        src, tgt = (np.asarray(lengths, dtype=np.int64) for lengths in (src_lengths, tgt_lengths))
        return cls(int(src.sum()), int(tgt.sum()), int(src @ src), int(tgt @ tgt), int(tgt @ src))

    def __add__(self, other: "LengthSums") -> "LengthSums":
        return LengthSums(*(one + another for one, another in zip(astuple(self), astuple(other), strict=True)))
