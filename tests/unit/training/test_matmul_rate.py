"""The rate of matrix products: what counts, what is not tried, and what it leaves alone."""

import pytest
import torch

from mt_trainer.training import matmul_rate
from mt_trainer.training.matmul_rate import measure_matmul_rate, show_rate

CPU = torch.device("cpu")


def tried(monkeypatch: pytest.MonkeyPatch, rates: dict[int, float]) -> list[int]:
    """The sizes that are tried, on a machine that multiplies matrices of each size at these rates."""
    sizes: list[int] = []

    def least_seconds(edge: int, device: torch.device, dtype: torch.dtype, *, for_seconds: float) -> float:
        sizes.append(edge)
        return 2 * edge**3 / rates[edge]

    monkeypatch.setattr(matmul_rate, "_least_seconds", least_seconds)
    monkeypatch.setattr(matmul_rate, "SECONDS", 1000.0)
    return sizes


def test_the_best_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = tried(monkeypatch, {512: 1e9, 1024: 3e9, 2048: 2e9})
    assert measure_matmul_rate(CPU, torch.float32) == pytest.approx(3e9)
    assert sizes == [512, 1024, 2048]


def test_what_would_take_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 x 2 x 1024^3 operations at 10 million a second are 429 s of 1,000; of 2048^3 they would be 3,436 s."""
    sizes = tried(monkeypatch, {512: 1e7, 1024: 1e7})
    assert measure_matmul_rate(CPU, torch.float32) == pytest.approx(1e7)
    assert sizes == [512, 1024]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_measuring_draws_no_random_number(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(matmul_rate, "EDGES", {"cpu": (8, 16)})
    monkeypatch.setattr(matmul_rate, "SECONDS", 1e-3)
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert measure_matmul_rate(CPU, dtype) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_rates_as_text() -> None:
    assert [show_rate(rate) for rate in (3.502e11, 1.2e12, 7.9e14)] == ["350 GFLOP/s", "1,200 GFLOP/s", "790 TFLOP/s"]
