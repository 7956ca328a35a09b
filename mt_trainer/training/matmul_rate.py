"""How fast this machine multiplies matrices: the rate that the floor of a step is taken at.

The matrices are square, of some sizes; the best of them counts, and of each the quickest product: what else runs on the
machine makes a product slower, never quicker. It takes a fraction of a second and draws no random number. On a GPU the
peak of memory is counted anew from its end: what a run needs holds none of these matrices.
"""

import math
import time

import torch

from mt_trainer.machine import wait_for

EDGES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
"""Rows and columns, rising. A GPU needs larger ones to be busy with."""

SECONDS = 0.3
"""For all sizes together. One that would take longer than what is left is not tried."""


def measure_matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second in a precision, with the threads that torch is set to.

    Raises:
        torch.OutOfMemoryError: a GPU that is nearly full holds not even the smallest of the matrices.
    """
    edges, best = EDGES[device.type], 0.0
    end = time.perf_counter() + SECONDS
    for number, edge in enumerate(edges):
        operations, left = 2 * edge**3, end - time.perf_counter()
        if best and 2 * operations / best > left:
            break
        try:
            seconds = _least_seconds(edge, device, dtype, for_seconds=left / (len(edges) - number))
        except torch.OutOfMemoryError:
            if not best:
                raise
            break
        best = max(best, operations / seconds)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return best


def show_rate(rate: float) -> str:
    """Such as `350 GFLOP/s`."""
    return f"{rate / 1e12:,.0f} TFLOP/s" if rate >= 1e13 else f"{rate / 1e9:,.0f} GFLOP/s"


def _least_seconds(edge: int, device: torch.device, dtype: torch.dtype, *, for_seconds: float) -> float:
    """Of a product of this size, repeated for so long, but once at least."""
    end = time.perf_counter() + for_seconds
    left = torch.arange(edge * edge, dtype=torch.float32, device=device).sin_().view(edge, edge).to(dtype)
    right, product = left.t().contiguous(), torch.empty_like(left)
    least = math.inf
    torch.mm(left, right, out=product)  # what the first one sets up is not counted
    wait_for(device)
    while least == math.inf or time.perf_counter() < end:
        started = time.perf_counter()
        torch.mm(left, right, out=product)
        wait_for(device)
        least = min(least, time.perf_counter() - started)
    return least
