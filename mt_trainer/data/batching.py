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

    Best-fit decreasing on both sides: the pair with the most tokens first, each into a row where it leaves the least
    room on the target side, and of these the least on the source side. Pairs of equal length keep the order of
    `indexes`, so a shuffled input gives different neighbours every epoch.

    Args:
        indexes: the pairs to pack.
        src_lengths, tgt_lengths: tokens of each of these pairs, special tokens included.
        row_length: tokens a row can hold on either side.

    Raises:
        ValueError: if a pair is longer than a row.
    """
    rows: list[Row] = []
    # open_rows[t][s] holds the rows with room for t target and s source tokens; bit s of src_rooms[t] says whether
    # there is one, bit t of tgt_rooms whether src_rooms[t] has any bit.
    open_rows: list[list[list[int]]] = [[[] for _ in range(row_length + 1)] for _ in range(row_length + 1)]
    src_rooms, tgt_rooms = [0] * (row_length + 1), 0
    for i in sorted(range(len(indexes)), key=lambda i: -src_lengths[i] - tgt_lengths[i]):
        src_length, tgt_length = src_lengths[i], tgt_lengths[i]
        if max(src_length, tgt_length) > row_length:
            raise ValueError(f"a pair of {src_length} and {tgt_length} tokens does not fit into rows of {row_length}")
        src_room = tgt_room = row_length
        row = len(rows)
        for t in set_bits(tgt_rooms >> tgt_length, first=tgt_length):
            enough = src_rooms[t] >> src_length
            if enough:
                src_room, tgt_room = next(set_bits(enough, first=src_length)), t
                row = open_rows[tgt_room][src_room].pop()
                if not open_rows[tgt_room][src_room]:
                    src_rooms[tgt_room] ^= 1 << src_room
                    tgt_rooms ^= (not src_rooms[tgt_room]) << tgt_room
                break
        if row == len(rows):
            rows.append([])
        rows[row].append(indexes[i])
        src_room, tgt_room = src_room - src_length, tgt_room - tgt_length
        open_rows[tgt_room][src_room].append(row)
        src_rooms[tgt_room] |= 1 << src_room
        tgt_rooms |= 1 << tgt_room
    return rows


def set_bits(mask: int, *, first: int) -> Iterator[int]:
    """The numbers of the bits that are set, rising; the lowest bit of `mask` has the number `first`."""
    while mask:
        lowest = mask & -mask
        yield first + lowest.bit_length() - 1
        mask ^= lowest


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
