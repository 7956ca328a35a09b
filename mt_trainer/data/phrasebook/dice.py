"""A source of choices that is the same on every machine and in every version of Python."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

MASK = 2**64 - 1
MULTIPLIER = 6364136223846793005  # the linear congruential generator of Knuth's MMIX
INCREMENT = 1442695040888963407


class Dice:
    """A 64-bit linear congruential generator; only its upper 31 bits, the good ones, decide."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        """Two dice with one seed make the same choices."""
        self._state = seed & MASK

    def roll(self, sides: int) -> int:
        """A number from 0 to ``sides`` - 1."""
        self._state = state = (self._state * MULTIPLIER + INCREMENT) & MASK
        return (state >> 33) % sides

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        self._state = state = (self._state * MULTIPLIER + INCREMENT) & MASK
        return options[(state >> 33) % len(options)]

    def chance(self, percent: int) -> bool:
        """True in ``percent`` of a hundred cases."""
        self._state = state = (self._state * MULTIPLIER + INCREMENT) & MASK
        return (state >> 33) % 100 < percent
