"""What the ranks of a run do together. One process alone is the simplest case, and needs nothing for it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor

Value = TypeVar("Value")


class Ranks:
    """The processes of a run, seen from one of them; this class is a process that is alone.

    All ranks call the same methods in the same order. What they decide together is the same on all of them.

    Attributes:
        rank: the number of this process, from 0. Rank 0 is the main one: it alone writes and speaks.
        world_size: how many there are.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes the run folder."""
        return self.rank == 0

    def begin_step(self, step: int) -> None:
        """Say which step is under way; it is told when a rank is lost."""

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Turn each tensor into its sum over the ranks, in place, with the same bits on all of them."""

    def interleave(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """What all ranks have of a list, each every world_size-th entry of it, as the whole list.

        Args:
            parts: as many on every rank; one-dimensional, of one type, of any lengths.
        """
        return list(parts)

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """The largest of each number over the ranks. It waits for no GPU."""
        return numbers

    def from_main(self, compute: Callable[[], Value]) -> Value:
        """What `compute` returns on the main rank, where alone it is called; the others wait for it, however long.

        Args:
            compute: returns what JSON can hold: numbers, texts, lists, dicts with texts as keys, None.
        """
        return compute()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main rank goes through the block first, and then the others; all leave it together."""
        yield

    def require_same(self, facts: Mapping[str, str | None]) -> None:
        """Compare what must be the same on all ranks, by name.

        Raises:
            ConfigError: MT161, on a rank that differs from the main one.
        """


ALONE = Ranks()
"""The one process of a run that was started without a launcher."""
