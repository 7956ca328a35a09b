"""Time of the output layer with its loss, forward and backward, as a ratio to the three matmuls that it cannot avoid.

All candidates of a size run in one process, one after the other, several rounds; the table gives medians. Run it on an
otherwise idle machine: with other work on the cores, two threads slow down out of proportion.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.objective import CrossEntropyConfig, LabelSmoothingConfig, ObjectiveConfig, TaiLrConfig
from mt_trainer.objectives import TranslationLoss, build_objective

OBJECTIVES: list[ObjectiveConfig] = [
    CrossEntropyConfig(name="cross_entropy"),
    LabelSmoothingConfig(name="label_smoothing"),
    TaiLrConfig(name="tailr"),
]


def three_matmuls(hidden: Tensor, weight: Tensor, rows: int) -> None:
    """Logits, gradient of the hidden state, gradient of the weight; parts of the batch, so that memory counts less."""
    for part in hidden.split(rows):
        logits = part @ weight.t()
        _ = logits @ weight, logits.t() @ part


def torch_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, dtype: torch.dtype) -> None:
    with torch.autocast(hidden.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = hidden @ weight.t()
    F.cross_entropy(logits.float(), labels, label_smoothing=0.1).backward()


def of_objective(loss: TranslationLoss, hidden: Tensor, weight: Tensor, labels: Tensor, dtype: torch.dtype) -> None:
    sums = loss.sums(hidden, weight, labels, matmul_dtype=dtype)
    (sums.loss / sums.num_tokens).backward()


def candidates(num_tokens: int, width: int, vocab_size: int, dtype: torch.dtype) -> dict[str, Callable[[], None]]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(num_tokens, width, generator=generator)
    weight = torch.randn(vocab_size, width, generator=generator) / width**0.5
    labels = torch.randint(1, vocab_size, (num_tokens,), generator=generator)
    low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
    hidden.requires_grad_()
    weight.requires_grad_()
    runs: dict[str, Callable[[], None]] = {
        "matmuls, whole": partial(three_matmuls, low_hidden, low_weight, num_tokens),
        "matmuls, parts": partial(three_matmuls, low_hidden, low_weight, 1024),
        "F.cross_entropy": partial(torch_cross_entropy, hidden, weight, labels, dtype),
    }
    for config in OBJECTIVES:
        loss = TranslationLoss(vocab_size, objective=build_objective(config, vocab_size=vocab_size, pad_id=0))
        runs[config.name] = partial(of_objective, loss, hidden, weight, labels, dtype)
    return runs


def medians(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each run; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-tokens", type=int, default=4096)
    parser.add_argument("--d-model", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--vocab-size", type=int, nargs="+", default=[8000, 32000])
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    names = ["F.cross_entropy", *(config.name for config in OBJECTIVES)]
    print(f"{options.num_tokens} tokens, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'d_model':>7} {'vocab':>6} {'dtype':>9} {'matmuls':>10}  " + " ".join(f"{name:>16}" for name in names))
    for width, vocab_size, dtype in itertools.product(options.d_model, options.vocab_size, options.dtype):
        seconds = medians(candidates(options.num_tokens, width, vocab_size, getattr(torch, dtype)), options.rounds)
        floor = min(seconds["matmuls, whole"], seconds["matmuls, parts"])
        ratios = " ".join(f"{seconds[name] / floor:14.2f} x" for name in names)
        print(f"{width:7} {vocab_size:6} {dtype:>9} {1000 * floor:7.0f} ms  {ratios}", flush=True)


if __name__ == "__main__":
    main()
