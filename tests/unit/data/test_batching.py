"""Packing pairs into rows: by hand on a few pairs, and over pools that are smaller than the corpus."""

import numpy as np
import pytest

from mt_trainer.data import batching
from mt_trainer.data.batching import epoch_batches, pack_rows


def test_best_fit_decreasing_by_hand() -> None:
    # Longest first: 6, 5, 4, 3, 2 into rows of 10. 6 opens row 0 (4 left), 5 opens row 1 (5 left); 4 fits row 0 best
    # (0 left); 3 goes to row 1 (2 left), 2 fills it.
    lengths = [4, 6, 2, 5, 3]
    assert pack_rows([10, 11, 12, 13, 14], lengths, lengths, 10) == [[11, 10], [13, 14, 12]]


def test_a_row_has_room_only_if_both_sides_have() -> None:
    # The sources 6 + 4 fit into 10, the targets 7 + 4 do not.
    assert pack_rows([0, 1], [6, 4], [7, 4], 10) == [[0], [1]]
    assert pack_rows([0, 1], [6, 4], [6, 4], 10) == [[0, 1]]


def test_sides_of_unlike_lengths_fill_a_row_together() -> None:
    # 7 + 3 sources and 3 + 7 targets fill both sides of one row.
    assert pack_rows([0, 1], [7, 3], [3, 7], 10) == [[0, 1]]


def test_the_tightest_target_side_is_chosen_and_then_the_tightest_source_side() -> None:
    # 0 (5 and 8), 1 (6 and 6) and 2 (6 and 6) open a row each; 3 (1 and 2) fits all, and fills the targets of row 0.
    assert pack_rows(range(4), [5, 6, 6, 1], [8, 6, 6, 2], 10) == [[0, 3], [1], [2]]
    # 0 (9 and 6) and 1 (8 and 6) have room for 4 targets each: 2 (1 and 3) goes where it fills the sources.
    assert pack_rows(range(3), [9, 8, 1], [6, 6, 3], 10) == [[0, 2], [1]]


def test_pairs_of_equal_length_keep_the_order_given() -> None:
    assert pack_rows([7, 3, 9, 1], [5] * 4, [5] * 4, 10) == [[7, 3], [9, 1]]


def test_a_pair_can_fill_a_row_but_not_more() -> None:
    assert pack_rows([0], [10], [1], 10) == [[0]]
    with pytest.raises(ValueError, match="a pair of 1 and 11 tokens does not fit into rows of 10"):
        pack_rows([0], [1], [11], 10)


def test_no_pairs_no_rows() -> None:
    assert pack_rows([], [], [], 10) == []


def test_rows_go_from_pool_to_pool_and_only_the_last_batch_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "POOL_PAIRS", 5)
    lengths = np.full(23, 5, dtype=np.int32)
    batches = list(epoch_batches(lengths, lengths, row_length=5, rows_per_batch=4, seed=1, epoch=0))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert sorted(pair for batch in batches for row in batch for pair in row) == list(range(23))


def test_a_batch_tells_nothing_about_the_length_of_its_pairs() -> None:
    """Rows are shuffled after packing: else the first batches would hold the longest pairs."""
    lengths = np.repeat(np.array([20, 5], dtype=np.int32), 200)
    batches = list(epoch_batches(lengths, lengths, row_length=20, rows_per_batch=25, seed=1, epoch=0))
    long_rows = [sum(len(row) == 1 for row in batch) for batch in batches]
    assert min(long_rows) > 0
    assert max(long_rows) < 25
