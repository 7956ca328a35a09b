"""Bare matrix products, as fast as the machine has them: the rate of the floor."""

import time

import torch

from peers.floor import matmul_shapes
from peers.gate import Gate
from peers.job import training_job


def main() -> None:
    """Every stretch goes round all shapes and both precisions until its time is over."""
    job = training_job()
    gate = Gate(job.device)
    torch.set_num_threads(job.threads)
    products = []
    for n, k, m in matmul_shapes(job.sizes, job.batch_tokens):
        for dtype in (torch.float32, torch.bfloat16):
            left, right = (torch.randn(shape, device=job.device).to(dtype) for shape in ((n, k), (k, m)))
            name = f"{'bf16' if dtype == torch.bfloat16 else 'fp32'} {n}x{k}x{m}"
            products.append((name, 2 * n * k * m, left, right, torch.empty(n, m, device=job.device, dtype=dtype)))
    seconds = None
    while True:
        rates: dict[str, float] = {}
        end = time.perf_counter() + (seconds or 0.0)
        times: dict[str, list[float]] = {name: [] for name, *_ in products}
        while not times[products[-1][0]] or time.perf_counter() < end:
            for name, _, left, right, result in products:
                start = time.perf_counter()
                torch.mm(left, right, out=result)
                if job.device == "cuda":
                    torch.cuda.synchronize()
                times[name].append(time.perf_counter() - start)
        for name, operations, *_ in products:
            rates[name] = operations / sorted(times[name])[len(times[name]) // 2]
        seconds = gate.tell(rates)


if __name__ == "__main__":
    main()
