"""Sums over the lengths of pairs."""

import numpy as np

from mt_trainer.data.lengths import LengthSums


def test_sums_by_hand() -> None:
    sums = LengthSums.of([3, 1], [2, 5])
    assert sums == LengthSums(src=4, tgt=7, src_src=9 + 1, tgt_tgt=4 + 25, tgt_src=6 + 5)
    assert LengthSums.of([], []) == LengthSums()


def test_two_sets_of_pairs_put_together() -> None:
    assert LengthSums.of([3], [2]) + LengthSums.of([1], [5]) == LengthSums.of([3, 1], [2, 5])


def test_long_sentences_do_not_overflow() -> None:
    """Lengths are int32, their squares are not."""
    lengths = np.full(2, 65536, dtype=np.int32)
    assert LengthSums.of(lengths, lengths).src_src == 2 * 65536**2
