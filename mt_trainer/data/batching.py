"""From lengths to batches: whole pairs packed into rows of one size. Pure functions of lengths, seed and epoch.

A row holds several pairs, as long as both sides fit into row_length. All batches then have one shape, almost no
position is padding, and a batch's content says nothing about the length of its sentences.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

POOL_PAIRS = 1 << 16
"""Pairs shuffled and packed together: bounds memory and the time to the first batch on large corpora."""

Row = list[int]
"""Indexes of the pairs in one row, in order."""


def pack_rows(
    indexes: Sequence[int], src_lengths: Sequence[int], tgt_lengths: Sequence[int], row_length: int
) -> list[Row]:
    """Put pairs into rows so that each side of a row holds at most row_length tokens.

    Best-fit decreasing: the longest pair first, each into the fullest row that has room for its longer side. Pairs of
    equal length keep the order of `indexes`, so a shuffled input gives different neighbours every epoch.

    Args:
        indexes: the pairs to pack.
        src_lengths, tgt_lengths: tokens of each of these pairs, special tokens included.
        row_length: tokens a row can hold on either side.

    Raises:
        ValueError: if a pair is longer than a row.
    """
    rows: list[Row] = []
    room: list[tuple[int, int]] = []  # positions left in each row, source and target
    # open_rows[n] holds the rows with n positions left on their fuller side; bit n of `has_room` says whether any is.
    open_rows: list[list[int]] = [[] for _ in range(row_length + 1)]
    has_room = 0
    for i in sorted(range(len(indexes)), key=lambda i: -max(src_lengths[i], tgt_lengths[i])):
        src_length, tgt_length = src_lengths[i], tgt_lengths[i]
        needed = max(src_length, tgt_length)
        if needed > row_length:
            raise ValueError(f"a pair of {src_length} and {tgt_length} tokens does not fit into rows of {row_length}")
        enough = has_room >> needed
        if enough:
            left = needed + (enough & -enough).bit_length() - 1
            row = open_rows[left].pop()
            if not open_rows[left]:
                has_room ^= 1 << left
        else:
            row = len(rows)
            rows.append([])
            room.append((row_length, row_length))
        rows[row].append(indexes[i])
        room[row] = (room[row][0] - src_length, room[row][1] - tgt_length)
        left = min(room[row])
        open_rows[left].append(row)
        has_room |= 1 << left
    return rows


def epoch_batches(
    src_lengths: NDArray[np.int32],
    tgt_lengths: NDArray[np.int32],
    *,
    row_length: int,
    rows_per_batch: int,
    seed: int,
    epoch: int,
) -> Iterator[list[Row]]:
    """The batches of one epoch; every pair occurs exactly once.

    The order is a function of (seed, epoch) alone: all pairs are shuffled, packed pool by pool, and the rows of a
    pool are shuffled again. Rows that do not fill a batch go on into the next pool; the last batch may be smaller.

    Args:
        src_lengths, tgt_lengths: tokens of every pair, special tokens included.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(src_lengths))
    waiting: list[Row] = []
    for start in range(0, len(shuffled), POOL_PAIRS):
        pool = shuffled[start : start + POOL_PAIRS]
        rows = pack_rows(pool.tolist(), src_lengths[pool].tolist(), tgt_lengths[pool].tolist(), row_length)
        waiting += [rows[i] for i in random.permutation(len(rows))]
        full = len(waiting) - len(waiting) % rows_per_batch
        for first in range(0, full, rows_per_batch):
            yield waiting[first : first + rows_per_batch]
        del waiting[:full]
    if waiting:
        yield waiting
