"""Bare matrix products and a bare copy, as fast as the machine has them: the rates of the floor."""

import statistics
import time
from functools import partial

import torch

from peers.floor import matmul_shapes
from peers.gate import Gate
from peers.job import training_job

COPY_ELEMENTS = 16 * 2**20
"""64 MiB of float32: larger than the caches."""


def main() -> None:
    """Every stretch goes round all shapes, both precisions and the copy until its time is over."""
    job = training_job()
    gate = Gate(job.device)
    torch.set_num_threads(job.threads)
    products = []
    for n, k, m in matmul_shapes(job.sizes, job.batch_tokens):
        for dtype in (torch.float32, torch.bfloat16):
            left, right = (torch.randn(shape, device=job.device).to(dtype) for shape in ((n, k), (k, m)))
            name = f"{'bf16' if dtype == torch.bfloat16 else 'fp32'} {n}x{k}x{m}"
            products.append((name, 2 * n * k * m, left, right, torch.empty(n, m, device=job.device, dtype=dtype)))
    source = torch.randn(COPY_ELEMENTS, device=job.device)
    copy = torch.empty_like(source)
    runs = {
        name: (operations, partial(torch.mm, left, right, out=out)) for name, operations, left, right, out in products
    }
    runs["copy"] = (2 * source.nbytes, partial(copy.copy_, source))
    seconds = 0.0
    while True:
        end = time.perf_counter() + seconds
        times: dict[str, list[float]] = {name: [] for name in runs}
        while not times["copy"] or time.perf_counter() < end:
            for name, (_, run) in runs.items():
                start = time.perf_counter()
                run()
                if job.device == "cuda":
                    torch.cuda.synchronize()
                times[name].append(time.perf_counter() - start)
        seconds = gate.tell({name: amount / statistics.median(times[name]) for name, (amount, _) in runs.items()})


if __name__ == "__main__":
    main()
