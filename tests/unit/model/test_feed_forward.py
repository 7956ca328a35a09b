"""The feed-forward block in its three forms, on one number."""

import pytest
import torch

from mt_trainer.model.feed_forward import FeedForward


def set_to(parameter: torch.Tensor, values: list[list[float]] | list[float]) -> None:
    parameter.data = torch.tensor(values)


def test_relu_by_hand() -> None:
    block = FeedForward(1, 2, "relu", 0.0)
    set_to(block.inner.weight, [[1.0], [-1.0]])
    set_to(block.inner.bias, [1.0, -1.0])
    set_to(block.output.weight, [[2.0, 5.0]])
    set_to(block.output.bias, [0.5])
    # x = 2: relu(3, -3) = (3, 0); 2 * 3 + 0.5. x = -2: relu(-1, 1) = (0, 1); 5 + 0.5.
    assert block(torch.tensor([[[2.0], [-2.0]]])).flatten().tolist() == [6.5, 5.5]


def test_gelu_by_hand() -> None:
    block = FeedForward(1, 1, "gelu", 0.0)
    set_to(block.inner.weight, [[1.0]])
    set_to(block.inner.bias, [0.0])
    set_to(block.output.weight, [[1.0]])
    set_to(block.output.bias, [0.0])
    # x Phi(x) with the exact normal distribution: Phi(1) = 0.8413447.
    assert block(torch.ones(1, 1, 1)).item() == pytest.approx(0.8413447, abs=1e-6)


def test_swiglu_by_hand() -> None:
    block = FeedForward(1, 1, "swiglu", 0.0)
    set_to(block.inner.weight, [[0.5], [3.0]])
    set_to(block.output.weight, [[2.0]])
    # x = 2: gate 1, silu(1) = 1 / (1 + e^-1) = 0.7310586; value 6; 2 * 0.7310586 * 6.
    assert block(torch.full((1, 1, 1), 2.0)).item() == pytest.approx(8.772703, abs=1e-5)


def test_swiglu_has_three_matrices_and_no_biases() -> None:
    shapes = {name: tuple(p.shape) for name, p in FeedForward(4, 6, "swiglu", 0.0).named_parameters()}
    assert shapes == {"inner.weight": (12, 4), "output.weight": (4, 6)}


def test_dropout_stands_between_the_two_maps() -> None:
    torch.manual_seed(1)
    block = FeedForward(4, 64, "relu", 0.5)
    x = torch.randn(1, 1, 4)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))
