"""Rows of pairs -> tensors. The position in the data is the epoch and the number of its pairs that were consumed.

R rows of a batch, L row_length, N target tokens.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mt_trainer.data.batching import Row, epoch_batches
from mt_trainer.data.corpus import Pairs
from mt_trainer.data.lengths import LengthSums
from mt_trainer.data.subword_sampling import SubwordSampler


@dataclass(frozen=True)
class Batch:
    """Packed rows. Segments count the sentences of a row from 1; 0 is padding."""

    src_tokens: Tensor
    """int64 [R, L]: pieces and EOS of every segment."""
    src_segments: Tensor
    """int64 [R, L]."""
    tgt_inputs: Tensor
    """int64 [R, L]: BOS and pieces of every segment."""
    tgt_labels: Tensor
    """int64 [R, L]: pieces and EOS of every segment: what each input position should predict."""
    tgt_segments: Tensor
    """int64 [R, L]."""
    tgt_places: Tensor
    """int64 [N]: where target tokens stand among the R L positions; a GPU that looked for them would be waited for."""
    num_tokens: int
    """Target tokens to predict, EOS included: N."""
    longest_tgt: int
    """Those of the longest sentence."""
    num_pairs: int
    lengths: LengthSums
    """Of its pairs."""
    rows: list[Row]
    """Indexes of the pairs in each row, in order."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return self.with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def with_tensors(self, made_of: Callable[[Tensor], Tensor]) -> "Batch":
        """The same batch with what is made of each of its tensors."""
        made: dict[str, Any] = {name: made_of(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **made)


def collate(pairs: Pairs, rows: list[Row], *, row_length: int, pad_id: int, bos_id: int, eos_id: int) -> Batch:
    """The tensors of a batch."""
    shape = (len(rows), row_length)
    src_tokens, tgt_inputs, tgt_labels = (np.full(shape, pad_id, dtype=np.int64) for _ in range(3))
    src_segments, tgt_segments = (np.zeros(shape, dtype=np.int64) for _ in range(2))
    longest_tgt = 0
    for r, row in enumerate(rows):
        src_start = tgt_start = 0
        for segment, pair in enumerate(row, start=1):
            src, tgt = pairs.src(pair), pairs.tgt(pair)
            src_end, tgt_end = src_start + len(src), tgt_start + len(tgt)
            src_tokens[r, src_start:src_end], src_tokens[r, src_end] = src, eos_id
            tgt_inputs[r, tgt_start], tgt_inputs[r, tgt_start + 1 : tgt_end + 1] = bos_id, tgt
            tgt_labels[r, tgt_start:tgt_end], tgt_labels[r, tgt_end] = tgt, eos_id
            src_start, tgt_start = src_end + 1, tgt_end + 1
            src_segments[r, src_start - len(src) - 1 : src_start] = segment
            tgt_segments[r, tgt_start - len(tgt) - 1 : tgt_start] = segment
            longest_tgt = max(longest_tgt, len(tgt) + 1)
    indexes = [pair for row in rows for pair in row]
    tgt_places = np.flatnonzero(tgt_segments)
    return Batch(
        src_tokens=torch.from_numpy(src_tokens),
        src_segments=torch.from_numpy(src_segments),
        tgt_inputs=torch.from_numpy(tgt_inputs),
        tgt_labels=torch.from_numpy(tgt_labels),
        tgt_segments=torch.from_numpy(tgt_segments),
        tgt_places=torch.from_numpy(tgt_places),
        num_tokens=len(tgt_places),
        longest_tgt=longest_tgt,
        num_pairs=len(indexes),
        lengths=length_sums(pairs, indexes),
        rows=rows,
    )


def length_sums(pairs: Pairs, indexes: Sequence[int]) -> LengthSums:
    """Of some of the pairs."""
    return LengthSums.of(*(lengths[list(indexes)] + 1 for lengths in (pairs.src_lengths, pairs.tgt_lengths)))


@dataclass(frozen=True, order=True)
class Position:
    """Where training stands in the data: everything before it was consumed exactly once an epoch.

    What comes later in the data is greater.

    Attributes:
        epoch: from 0.
        pairs: of this epoch that were consumed, by all ranks together. It is always a border between two steps.
    """

    epoch: int = 0
    pairs: int = 0


@dataclass(frozen=True)
class StepBatches:
    """The micro-batches that a rank has of one optimizer step, and where the data stands after it.

    Of the micro-batches of the whole step, rank r of R has those of number r, r + R, ...

    Attributes:
        micro_batches: those of this rank; all ranks have the same number of them.
        after: the position after the whole step.
        rank, world_size: r and R.
        elsewhere: of the pairs that the other ranks have.
    """

    micro_batches: tuple[Batch, ...]
    after: Position
    rank: int = 0
    world_size: int = 1
    elsewhere: LengthSums = LengthSums()

    @property
    def num_tokens(self) -> int:
        """Target tokens of the whole step: the one denominator of its loss."""
        return self.elsewhere.tgt + sum(batch.num_tokens for batch in self.micro_batches)

    @property
    def lengths(self) -> LengthSums:
        """Of all pairs of the step, whatever rank has them."""
        return sum((batch.lengths for batch in self.micro_batches), start=self.elsewhere)

    @property
    def indexes(self) -> range:
        """The numbers of these micro-batches in the whole step: what is drawn at random for each depends on its own."""
        return range(self.rank, self.rank + len(self.micro_batches) * self.world_size, self.world_size)


class Loader:
    """Endless steps over a corpus, from any position, in an order that depends on the seed alone.

    Args:
        rows_per_step: rows of a step, over all ranks.
        accumulation: micro-batches that each rank has of a step.
        sampler: cuts the corpus into other pieces every epoch; None leaves it as it is.
        is_filled_up: whether the last step of an epoch has rows without tokens too, and so the shapes of all others.
        rank, world_size: which of how many processes reads; each collates its own micro-batches alone.
    """

    def __init__(
        self,
        corpus: Pairs,
        *,
        row_length: int,
        rows_per_step: int,
        accumulation: int,
        seed: int,
        pad_id: int,
        bos_id: int,
        eos_id: int,
        sampler: SubwordSampler | None,
        is_filled_up: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.corpus, self.row_length, self.rows_per_step = corpus, row_length, rows_per_step
        self.accumulation, self.seed = accumulation, seed
        self.pad_id, self.bos_id, self.eos_id = pad_id, bos_id, eos_id
        self.sampler, self.is_filled_up = sampler, is_filled_up
        self.rank, self.world_size = rank, world_size

    def steps(self, start: Position) -> Iterator[StepBatches]:
        """The steps after `start`, epoch after epoch, without end.

        Raises:
            ValueError: `start` lies inside a step.
        """
        epoch, skip = start.epoch, start.pairs
        while True:
            pairs = self.pairs_of(epoch)
            batches = epoch_batches(
                pairs.src_lengths + 1,
                pairs.tgt_lengths + 1,
                row_length=self.row_length,
                rows_per_batch=self.rows_per_step,
                seed=self.seed,
                epoch=epoch,
            )
            upcoming = next(batches, None)
            consumed = 0
            while upcoming is not None:
                rows, upcoming = upcoming, next(batches, None)
                before, consumed = consumed, consumed + sum(map(len, rows))
                if before < skip < consumed:
                    raise ValueError(f"no step begins after {skip} pairs of epoch {epoch}: one ends after {before}")
                if before >= skip:
                    after = Position(epoch, consumed) if upcoming is not None else Position(epoch + 1, 0)
                    yield self._deal(pairs, rows, after)
            epoch, skip = epoch + 1, 0

    def of_all_ranks(self) -> "Loader":
        """One that has all micro-batches of a step."""
        whole = copy.copy(self)
        whole.accumulation, whole.rank, whole.world_size = self.accumulation * self.world_size, 0, 1
        return whole

    def pairs_of(self, epoch: int) -> Pairs:
        """The pairs as an epoch has them."""
        return self.corpus if self.sampler is None else self.sampler.draw(epoch)

    def batch(self, pairs: Pairs, rows: list[Row]) -> Batch:
        """The tensors of some rows of pairs."""
        return collate(
            pairs, rows, row_length=self.row_length, pad_id=self.pad_id, bos_id=self.bos_id, eos_id=self.eos_id
        )

    def _deal(self, pairs: Pairs, rows: list[Row], after: Position) -> StepBatches:
        """What this rank has of a step, whose rows are dealt out in order to micro-batches.

        At the end of an epoch there may be too few for all: a rank then has one row without tokens instead, so that
        all ranks do the same things.
        """
        if self.is_filled_up:
            rows = [*rows, *([] for _ in range(self.rows_per_step - len(rows)))]
        size = -(-len(rows) // (self.accumulation * self.world_size))
        parts = [rows[first : first + size] for first in range(0, len(rows), size)]
        own = parts[self.rank :: self.world_size]
        own += [[[]]] * (-(-len(parts) // self.world_size) - len(own))
        elsewhere = [
            pair
            for index, part in enumerate(parts)
            if index % self.world_size != self.rank
            for row in part
            for pair in row
        ]
        return StepBatches(
            tuple(self.batch(pairs, part) for part in own),
            after,
            rank=self.rank,
            world_size=self.world_size,
            elsewhere=length_sums(pairs, elsewhere),
        )


def pad_pairs(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, batch_tokens: int, pad_id: int, bos_id: int, eos_id: int
) -> list[Batch]:
    """Batches of one pair a row, sorted by length, for evaluation.

    Args:
        pairs: ids of both sides, without special tokens.
        batch_tokens: positions of the longer side, padding included, in a batch; a longer pair is a batch of its own.
    """
    corpus = PairList(pairs)
    longest = np.maximum(corpus.src_lengths, corpus.tgt_lengths) + 1
    batches: list[list[int]] = []
    for pair in np.argsort(longest, kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * longest[pair] > batch_tokens:
            batches.append([])
        batches[-1].append(pair)
    return [
        collate(
            corpus,
            [[pair] for pair in batch],
            row_length=int(longest[batch].max()),
            pad_id=pad_id,
            bos_id=bos_id,
            eos_id=eos_id,
        )
        for batch in batches
    ]


class PairList:
    """Encoded pairs in memory, read like a corpus."""

    def __init__(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
        self._pairs = pairs
        self.src_lengths = np.array([len(src) for src, _ in pairs], dtype=np.int32)
        self.tgt_lengths = np.array([len(tgt) for _, tgt in pairs], dtype=np.int32)

    def src(self, pair: int) -> Sequence[int]:
        """Source ids of a pair."""
        return self._pairs[pair][0]

    def tgt(self, pair: int) -> Sequence[int]:
        """Target ids of a pair."""
        return self._pairs[pair][1]
