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


def on_a_full_gpu(monkeypatch: pytest.MonkeyPatch, *, first_too_large: int) -> list[str]:
    """A GPU that holds no matrix from this size on; returns what is done at the end."""
    done: list[str] = []

    def least_seconds(edge: int, device: torch.device, dtype: torch.dtype, *, for_seconds: float) -> float:
        if edge >= first_too_large:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * edge**3 / 1e12

    monkeypatch.setattr(matmul_rate, "_least_seconds", least_seconds)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: done.append("reset"))
    return done


@pytest.mark.parametrize("first_too_large", [8192, 10**6])
def test_what_a_gpu_does_not_hold_is_not_counted_nor_are_the_matrices_left_in_its_peak(
    monkeypatch: pytest.MonkeyPatch, first_too_large: int
) -> None:
    done = on_a_full_gpu(monkeypatch, first_too_large=first_too_large)
    assert measure_matmul_rate(torch.device("cuda"), torch.bfloat16) == pytest.approx(1e12)
    assert done == ["empty", "reset"]


def test_a_gpu_that_holds_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_full_gpu(monkeypatch, first_too_large=2048)
    with pytest.raises(torch.OutOfMemoryError):
        measure_matmul_rate(torch.device("cuda"), torch.bfloat16)


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
