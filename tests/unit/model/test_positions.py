"""Positions against numbers worked out by hand."""

import math

import pytest
import torch

from mt_trainer.model.positions import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    positions_of,
    sinusoidal_table,
)


def test_positions_restart_in_every_segment() -> None:
    segments = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 2, 2, 3, 3, 3, 3]])
    assert positions_of(segments).tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 0, 1, 0, 1, 2, 3]]


def test_positions_of_one_token_a_row() -> None:
    assert positions_of(torch.tensor([[1], [0]])).tolist() == [[0], [0]]


def test_sinusoidal_table_of_width_four() -> None:
    # Rates 10000^0 = 1 and 10000^(-2/4) = 0.01; sines first, then cosines.
    expected = [
        [0.0, 0.0, 1.0, 1.0],
        [0.841471, 0.01, 0.540302, 0.99995],
        [0.909297, 0.019999, -0.416147, 0.9998],
    ]
    torch.testing.assert_close(sinusoidal_table(3, 4), torch.tensor(expected), atol=1e-6, rtol=0)


def test_sinusoidal_table_of_odd_width() -> None:
    # Rates 1 and 10000^(-2/3) = 0.00215443; the second cosine has no place.
    expected = [math.sin(1), math.sin(0.002154435), math.cos(1)]
    torch.testing.assert_close(sinusoidal_table(2, 3)[1], torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("module", [SinusoidalPositions(8, 4), LearnedPositions(8, 4)])
def test_added_positions_look_up_the_position_not_the_place(module: torch.nn.Module) -> None:
    added = module(torch.zeros(1, 3, 4), torch.tensor([[5, 0, 5]]))[0]
    torch.testing.assert_close(added[0], added[2])
    assert not torch.allclose(added[0], added[1])


def test_fixed_positions_are_no_part_of_a_checkpoint() -> None:
    assert SinusoidalPositions(8, 4).state_dict() == {}
    assert RotaryPositions(8, 4).state_dict() == {}
    assert list(LearnedPositions(8, 4).state_dict()) == ["embedding.weight"]


def test_rotary_turns_each_plane_by_its_own_rate() -> None:
    # K = 4: planes (0, 2) and (1, 3), rates 1 and 10000^(-2/4) = 0.01. At position 3: angles 3 and 0.03.
    x = torch.tensor([1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 4)
    turned = RotaryPositions(8, 4)(x, torch.tensor([[3]])).flatten()
    expected = [math.cos(3), -2 * math.sin(0.03), math.sin(3), 2 * math.cos(0.03)]
    torch.testing.assert_close(turned, torch.tensor(expected))


def test_rotary_products_depend_on_the_distance_only() -> None:
    torch.manual_seed(1)
    rotary = RotaryPositions(64, 8)
    query, key = torch.randn(1, 2, 1, 8), torch.randn(1, 2, 1, 8)

    def products(query_position: int, key_position: int) -> torch.Tensor:
        turned_query = rotary(query, torch.tensor([[query_position]]))
        return (turned_query * rotary(key, torch.tensor([[key_position]]))).sum(-1).flatten()

    torch.testing.assert_close(products(7, 4), products(50, 47))
    torch.testing.assert_close(products(4, 4), (query * key).sum(-1).flatten())
    assert not torch.allclose(products(7, 4), products(4, 7))


def test_rotary_rotates_in_float32_and_rounds_once() -> None:
    torch.manual_seed(1)
    rotary, positions = RotaryPositions(64, 8), torch.arange(64)[None]
    x = torch.randn(1, 2, 64, 8).bfloat16()
    turned = rotary(x, positions)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, rotary(x.float(), positions).bfloat16())
