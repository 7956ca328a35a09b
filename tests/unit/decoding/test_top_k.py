"""The blocked selection against torch's own."""

import pytest
import torch

from mt_trainer.decoding.top_k import BLOCK, top_k


@pytest.mark.parametrize("length", [1, 7, BLOCK, 6 * BLOCK, 6 * BLOCK + 1, 40 * BLOCK - 1])
@pytest.mark.parametrize("k", [1, 5, 39])
def test_it_is_the_top_k_of_torch(length: int, k: int) -> None:
    # A permutation of distinct numbers: there are no ties.
    generator = torch.Generator().manual_seed(length)
    table = torch.stack([torch.randperm(length, generator=generator).float() for _ in range(4)])
    values, places = top_k(table, k)
    number = min(k, length)
    expected = table.topk(number)
    assert torch.equal(values[:, :number], expected.values)
    assert torch.equal(places[:, :number], expected.indices)
    assert values.shape == places.shape == (4, k)
    assert (values[:, number:] == -torch.inf).all()


def test_the_largest_may_all_stand_in_one_block_or_behind_the_last() -> None:
    table = torch.zeros(2, 8 * BLOCK + 3)
    table[0, BLOCK : BLOCK + 4] = torch.tensor([1.0, 4.0, 3.0, 2.0])
    table[1, -3:] = torch.tensor([1.0, 3.0, 2.0])
    table[1, 0] = 0.5
    values, places = top_k(table, 4)
    assert values.tolist() == [[4.0, 3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.5]]
    assert places[0].tolist() == [BLOCK + 1, BLOCK + 2, BLOCK + 3, BLOCK]
    assert places[1].tolist() == [8 * BLOCK + 1, 8 * BLOCK + 2, 8 * BLOCK, 0]


def test_rows_with_fewer_finite_entries_than_k() -> None:
    table = torch.full((1, 10 * BLOCK), -torch.inf)
    table[0, 5 * BLOCK] = 0.0
    values, places = top_k(table, 3)
    assert values.tolist() == [[0.0, -torch.inf, -torch.inf]]
    assert places[0, 0] == 5 * BLOCK
