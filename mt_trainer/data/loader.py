"""Rows of pairs -> tensors. The position in the data is the epoch and the number of its steps that were consumed.

R rows of a batch, L row_length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mt_trainer.data.batching import Row, epoch_batches
from mt_trainer.data.corpus import Pairs
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
    num_tokens: int
    """Target tokens to predict, EOS included."""
    num_pairs: int
    rows: list[Row]
    """Indexes of the pairs in each row, in order."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def collate(pairs: Pairs, rows: list[Row], *, row_length: int, pad_id: int, bos_id: int, eos_id: int) -> Batch:
    """The tensors of a batch."""
    shape = (len(rows), row_length)
    src_tokens, tgt_inputs, tgt_labels = (np.full(shape, pad_id, dtype=np.int64) for _ in range(3))
    src_segments, tgt_segments = (np.zeros(shape, dtype=np.int64) for _ in range(2))
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
    return Batch(
        src_tokens=torch.from_numpy(src_tokens),
        src_segments=torch.from_numpy(src_segments),
        tgt_inputs=torch.from_numpy(tgt_inputs),
        tgt_labels=torch.from_numpy(tgt_labels),
        tgt_segments=torch.from_numpy(tgt_segments),
        num_tokens=int((tgt_segments != 0).sum()),
        num_pairs=sum(map(len, rows)),
        rows=rows,
    )


@dataclass(frozen=True, order=True)
class Position:
    """Where training stands in the data: everything before it was consumed exactly once an epoch.

    What comes later in the data is greater.
    """

    epoch: int = 0
    step_in_epoch: int = 0


@dataclass(frozen=True)
class StepBatches:
    """The micro-batches of one optimizer step, and where the data stands after it."""

    micro_batches: tuple[Batch, ...]
    after: Position

    @property
    def num_tokens(self) -> int:
        """Target tokens of the whole step: the one denominator of its loss."""
        return sum(batch.num_tokens for batch in self.micro_batches)


class Loader:
    """Endless steps over a corpus, from any position, in an order that depends on the seed alone.

    Args:
        sampler: cuts the corpus into other pieces every epoch; None leaves it as it is.
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
    ) -> None:
        self.corpus, self.row_length, self.rows_per_step = corpus, row_length, rows_per_step
        self.accumulation, self.seed = accumulation, seed
        self.pad_id, self.bos_id, self.eos_id = pad_id, bos_id, eos_id
        self.sampler = sampler

    def steps(self, start: Position) -> Iterator[StepBatches]:
        """The steps after `start`, epoch after epoch, without end."""
        epoch, skip = start.epoch, start.step_in_epoch
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
            done = 0
            while upcoming is not None:
                rows, upcoming = upcoming, next(batches, None)
                done += 1
                if done > skip:
                    after = Position(epoch, done) if upcoming is not None else Position(epoch + 1, 0)
                    yield StepBatches(self._micro_batches(pairs, rows), after)
            epoch, skip = epoch + 1, 0

    def pairs_of(self, epoch: int) -> Pairs:
        """The pairs as an epoch has them."""
        return self.corpus if self.sampler is None else self.sampler.draw(epoch)

    def batch(self, pairs: Pairs, rows: list[Row]) -> Batch:
        """The tensors of some rows of pairs."""
        return collate(
            pairs, rows, row_length=self.row_length, pad_id=self.pad_id, bos_id=self.bos_id, eos_id=self.eos_id
        )

    def _micro_batches(self, pairs: Pairs, rows: list[Row]) -> tuple[Batch, ...]:
        """The rows of a step, dealt out to `accumulation` micro-batches in order."""
        size = -(-len(rows) // self.accumulation)
        iterator = iter(rows)
        parts = iter(lambda: list(islice(iterator, size)), [])
        return tuple(self.batch(pairs, part) for part in parts)


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
