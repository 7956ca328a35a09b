"""AdamW: one step by hand, what is decayed, and its state by name."""

import math

import pytest
import torch
from torch import nn

from mt_trainer.config.optim import OptimConfig
from mt_trainer.optim import build_optimizer, load_optimizer_tensors, optimizer_tensors


class Numbers(nn.Module):
    """A matrix, a vector and a matrix that never gets a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[2.0]]))
        self.vector = nn.Parameter(torch.tensor([2.0]))
        self.idle = nn.Parameter(torch.tensor([[2.0]]))


def step(model: Numbers, optimizer: torch.optim.AdamW, *, gradient: float, lr: float) -> None:
    model.matrix.grad, model.vector.grad = torch.tensor([[gradient]]), torch.tensor([gradient])
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()


def test_two_steps_by_hand() -> None:
    """Loshchilov & Hutter (2019), algorithm 2, with gradients 3 and -1."""
    beta1, beta2, lr, decay = 0.9, 0.98, 0.1, 0.5
    model = Numbers()
    optimizer = build_optimizer(OptimConfig(beta1=beta1, beta2=beta2, epsilon=1e-8, weight_decay=decay), model)
    step(model, optimizer, gradient=3.0, lr=lr)
    # Bias correction makes the first step one of length lr: 2 - 0.1 * 0.5 * 2 - 0.1 * 3 / 3; the vector is not decayed.
    assert model.matrix.item() == pytest.approx(1.8, abs=1e-6)
    assert model.vector.item() == pytest.approx(1.9, abs=1e-6)
    step(model, optimizer, gradient=-1.0, lr=lr)
    mean = (beta1 * (1 - beta1) * 3 - (1 - beta1)) / (1 - beta1**2)
    square = (beta2 * (1 - beta2) * 9 + (1 - beta2)) / (1 - beta2**2)
    moved = lr * mean / math.sqrt(square)
    assert model.vector.item() == pytest.approx(1.9 - moved, abs=1e-6)
    assert model.matrix.item() == pytest.approx(1.8 - lr * decay * 1.8 - moved, abs=1e-6)


def test_vectors_are_not_decayed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(5, 4))
    optimizer = build_optimizer(OptimConfig(weight_decay=0.1), model)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [({names[id(p)] for p in group["params"]}, group["weight_decay"]) for group in optimizer.param_groups]
    assert groups == [({"0.weight", "2.weight"}, 0.1), ({"0.bias", "1.weight", "1.bias"}, 0.0)]


def test_the_settings_arrive() -> None:
    optimizer = build_optimizer(OptimConfig(beta1=0.8, beta2=0.95, epsilon=1e-6), Numbers())
    assert {(group["betas"], group["eps"], group["fused"]) for group in optimizer.param_groups} == {
        ((0.8, 0.95), 1e-6, True)
    }


def test_state_by_name_goes_there_and_back() -> None:
    model = Numbers()
    optimizer = build_optimizer(OptimConfig(), model)
    assert optimizer_tensors(optimizer, model) == {}
    step(model, optimizer, gradient=3.0, lr=0.1)
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, model).items()}
    assert set(saved) == {f"{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in ("matrix", "vector")}
    assert saved["exp_avg.matrix"].item() == pytest.approx(0.3)

    other = Numbers()
    other.load_state_dict(model.state_dict())
    restored = build_optimizer(OptimConfig(), other)
    load_optimizer_tensors(restored, other, saved)
    step(model, optimizer, gradient=-1.0, lr=0.1)
    step(other, restored, gradient=-1.0, lr=0.1)
    assert torch.equal(model.matrix, other.matrix)
    assert torch.equal(model.vector, other.vector)
