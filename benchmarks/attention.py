"""Attention over packed rows on a CPU: the written-out bfloat16 form against the built-in kernel.

    python benchmarks/attention.py [--rows 64] [--row-length 64] [--threads 2]

Prints the time of forward and backward together, interleaved, medians, and the ratio to the built-in kernel in float32.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.model.attention import AttentionMask, attend_written_out, segment_mask


def built_in_float32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """`scaled_dot_product_attention` in float32, cast around."""
    return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask).to(query.dtype)


def built_in_bfloat16(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """`scaled_dot_product_attention` in bfloat16."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The form that training uses."""
    return attend_written_out(query, key, value, AttentionMask.of(mask), dropout=0.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 64), ("row-length", 64), ("heads", 4), ("head-dim", 32), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.rows, options.row_length, options.heads, options.head_dim)
    segments = (torch.arange(options.row_length) // 16 + 1).expand(options.rows, -1)
    mask = segment_mask(segments, segments, causal=True)
    forms = (built_in_float32, built_in_bfloat16, written_out)
    seconds: dict[str, list[float]] = {form.__name__: [] for form in forms}
    for _ in range(options.repeats):
        for form in forms:
            inputs = [torch.randn(shape).bfloat16().transpose(1, 2).requires_grad_() for _ in range(3)]
            start = time.perf_counter()
            form(inputs[0], inputs[1], inputs[2], mask).sum().backward()
            seconds[form.__name__].append(time.perf_counter() - start)
    base = statistics.median(seconds["built_in_float32"])
    print(f"torch {torch.__version__}, {options.threads} threads, [B, H, T, K] = {[shape[i] for i in (0, 2, 1, 3)]}")
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = f"{1e3 * min(values):.2f} to {1e3 * max(values):.2f}"
        print(f"{name:<18} {1e3 * middle:8.2f} ms ({spread})  x {middle / base:.2f}")


if __name__ == "__main__":
    main()
