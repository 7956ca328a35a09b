"""Time and memory of the output layer with its loss, forward and backward, for every objective over one distribution.

    python benchmarks/objectives.py [--json times.json] [--objective brier emo] [--d-model 256 512] [--vocab-size 8000]
    python benchmarks/objectives.py --cuda     # 25,000 tokens, 32,000 pieces, beside compiled code and Liger
    python benchmarks/objectives.py --quick    # a few tokens: whether it runs

All candidates of a size run in one process, in turn, several rounds, each in an order of its own; a number is the
median, in brackets the least and the largest. Run it on an otherwise idle machine: with other work on the cores, two
threads slow down out of proportion. The columns of an objective:

  x matmuls      time over that of the bare matrix products that it cannot avoid: logits, gradient of the hidden state,
                 gradient of the weight; one more for an expected embedding, one more where it first has to know what to
                 leave out. Three are measured, as a whole and in parts of 1,024 tokens, and the faster form counts;
                 a fourth is taken for a third of them.
  x F.CE         over `F.cross_entropy(label_smoothing=0.1)` on logits that are held as a whole
  x naive        over the definition: all logits, `logit_statistics`, the same function, autograd
  MiB            peak memory beyond parameters, inputs and gradients, in a process of its own and the second of two
                 runs: how far the resident set rises (Linux: VmHWM, reset before; freed memory is handed back at once),
                 or what the allocator of the GPU gives out
"""

import argparse
import json
import platform
import statistics
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.machine import commit
from mt_trainer.objectives import build_objective
from mt_trainer.objectives.logit_statistics import Statistic
from mt_trainer.objectives.objective import Objective
from output_layer.candidates import NUM_TEACHER_PIECES, Layer, Run, candidates, gpu_rivals, make_layer
from output_layer.measuring import peaks, times

OBJECTIVES: dict[str, dict[str, Any]] = {
    "cross_entropy": {"name": "cross_entropy"},
    "label_smoothing": {"name": "label_smoothing"},
    "label_smoothing, unigram": {"name": "label_smoothing", "prior": "unigram"},
    "class_weighted": {"name": "class_weighted", "weights": "weights.txt"},
    "weighted_label_smoothing": {"name": "weighted_label_smoothing", "groups": "groups.txt"},
    "graduated_label_smoothing": {"name": "graduated_label_smoothing"},
    "confidence_penalty": {"name": "confidence_penalty"},
    "confidence_penalty, unigram": {"name": "confidence_penalty", "prior": "unigram"},
    "tailr": {"name": "tailr"},
    "tailr, evaluation pass": {"name": "tailr", "weight_from": "eval"},
    "mixce": {"name": "mixce"},
    "gold_delta": {"name": "gold_delta"},
    "focal": {"name": "focal"},
    "anti_focal": {"name": "anti_focal"},
    "error_norm_truncation": {"name": "error_norm_truncation", "threshold": 1.2},
    "error_norm_truncation, fraction": {"name": "error_norm_truncation", "fraction": 0.1, "min_count": 1},
    "loss_truncation": {"name": "loss_truncation", "min_count": 1},
    "brier": {"name": "brier"},
    "spherical": {"name": "spherical"},
    "emo": {"name": "emo"},
    "unlikelihood": {"name": "unlikelihood"},
    "sparse_distillation": {"name": "sparse_distillation", "teacher": "-", "num_pieces": NUM_TEACHER_PIECES},
    "label_smoothing, z-loss": {"name": "label_smoothing", "z_loss": 1e-4},
}

FLOOR_TURNS = 3
"""How often the bare products run in a round."""


def make_objective(config: dict[str, Any], vocab_size: int) -> Objective:
    """From a section `objective`; the files that it may name are written for the vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"weights.txt": "1\n" * vocab_size, "groups.txt": "target\n" * (vocab_size - 2) + "common\nsource\n"}
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        paths = {key: str(Path(folder, value)) if value in files else value for key, value in config.items()}
        counts = torch.arange(vocab_size).flip(0) + 1
        parsed: ObjectiveConfig = TypeAdapter(ObjectiveConfig).validate_python(paths)
        objective = build_objective(parsed, vocab_size=vocab_size, pad_id=0, target_counts=counts, source_counts=counts)
    assert isinstance(objective, Objective), "an objective over one distribution"
    return objective


def turns(names: Collection[str], rounds: int) -> list[list[str]]:
    """What runs in each round: the floor several times, since all stand over it; naive code, the slowest, in one."""
    products = [name for name in names if name.startswith("matmuls")]
    naive = [name for name in names if is_naive(name)]
    each = [*(name for name in names if name not in naive), *(FLOOR_TURNS - 1) * products]
    return [each + naive if index == 0 else each for index in range(rounds)]


def is_naive(name: str) -> bool:
    """Whether a candidate is the definition of an objective rather than the op."""
    return name.endswith(", naive")


def num_matmuls(objective: Objective) -> int:
    """Matrix products that the objective cannot avoid."""
    return 3 + (Statistic.EXPECTED_EMBEDDING in objective.needs) + (objective.truncation is not None)


def rows(
    seconds: dict[str, list[float]], extra_mib: dict[str, float | None], objectives: dict[str, Objective]
) -> Iterator[dict[str, Any]]:
    """A row of the table for each candidate that has one."""
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    floor = min(median for name, median in medians.items() if name.startswith("matmuls"))
    for name, median in medians.items():
        if is_naive(name):
            continue
        needed = num_matmuls(objectives[name]) if name in objectives else 3
        others = {"to_cross_entropy": medians.get("F.cross_entropy"), "to_naive": medians.get(f"{name}, naive")}
        yield {
            "objective": name,
            "seconds": seconds[name],
            "to_matmuls": median / (floor * needed / 3),
            **{key: None if other is None else median / other for key, other in others.items()},
            "extra_mib": extra_mib.get(name),
        }


def show(row: dict[str, Any]) -> str:
    milliseconds = [1000 * value for value in row["seconds"]]
    spread = f"{statistics.median(milliseconds):8.1f} ({min(milliseconds):.1f} to {max(milliseconds):.1f})"
    numbers = (row[key] for key in ("to_matmuls", "to_cross_entropy", "to_naive"))
    ratios = " ".join("         -" if value is None else f"{value:10.2f}" for value in numbers)
    memory = "-" if row["extra_mib"] is None else f"{row['extra_mib']:.0f}"
    return f"{row['objective']:<32} {spread:>30} {ratios} {memory:>7}"


def settings(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="ascii", errors="ignore").splitlines() if cpuinfo.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": options.threads,
        "torch": torch.__version__,
        "commit": commit(),
        "num_tokens": options.num_tokens,
        "rounds": options.rounds,
    }


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-tokens", type=int)
    parser.add_argument("--d-model", type=int, nargs="+")
    parser.add_argument("--vocab-size", type=int, nargs="+")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--objective", nargs="+", default=list(OBJECTIVES), choices=list(OBJECTIVES), metavar="NAME")
    parser.add_argument("--rounds", type=int, help="rounds that count, beside one that does not; of naive code, one")
    parser.add_argument("--without-naive", action="store_true", help="leave out the slowest half")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, metavar="FILE", help="write settings and all numbers there")
    parser.add_argument("--cuda", action="store_true", help="on the GPU")
    parser.add_argument("--quick", action="store_true", help="a few tokens")
    options = parser.parse_args()
    sizes = (25_000 if options.cuda else 4096, [256, 512], [32_000] if options.cuda else [8000, 32_000], 5)
    for name, value in zip(
        ("num_tokens", "d_model", "vocab_size", "rounds"), (64, [16], [100], 1) if options.quick else sizes, strict=True
    ):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


@dataclass(frozen=True)
class Size:
    """One table: what is built in the process that takes the time and in the one that looks at memory."""

    num_tokens: int
    width: int
    vocab_size: int
    dtype: str
    device: str
    objectives: tuple[str, ...]
    with_naive: bool
    threads: int

    def build(self) -> tuple[Layer, dict[str, Objective], dict[str, Run]]:
        """The output layer, the objectives by name, and all candidates by name."""
        torch.set_num_threads(self.threads)
        torch.set_flush_denormal(True)  # as in training
        device = torch.device(self.device)
        layer = make_layer(self.num_tokens, self.width, self.vocab_size, getattr(torch, self.dtype), device)
        objectives = {name: make_objective(OBJECTIVES[name], self.vocab_size) for name in self.objectives}
        runs = (gpu_rivals(layer) if device.type == "cuda" else {}) | candidates(layer, objectives)
        return layer, objectives, {name: run for name, run in runs.items() if self.with_naive or not is_naive(name)}

    def extra_mib(self) -> dict[str, float | None]:
        """Peak memory of every candidate."""
        layer, _, runs = self.build()
        return peaks(runs, layer)


def main() -> None:
    """Measure and print."""
    options = parse_options()
    if options.cuda and not torch.cuda.is_available():
        print("skipped: CUDA is not available here")
        return
    device = torch.device("cuda" if options.cuda else "cpu")
    report: dict[str, Any] = {"settings": settings(options, device), "results": []}
    print(", ".join(f"{key} {value}" for key, value in report["settings"].items()))
    for width, vocab_size, dtype in product(options.d_model, options.vocab_size, options.dtype):
        size = Size(
            num_tokens=options.num_tokens,
            width=width,
            vocab_size=vocab_size,
            dtype=dtype,
            device=device.type,
            objectives=tuple(options.objective),
            with_naive=not options.without_naive,
            threads=options.threads,
        )
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as new_process:
            extra_mib = new_process.submit(size.extra_mib).result()
        layer, objectives, runs = size.build()
        seconds = times(runs, layer, turns(runs, options.rounds))
        print(f"\nd_model {width}, vocab_size {vocab_size}, {dtype}")
        print(f"{'':<32} {'milliseconds':>30} {'x matmuls':>10} {'x F.CE':>10} {'x naive':>10} {'MiB':>7}")
        for row in rows(seconds, extra_mib, objectives):
            report["results"].append({"d_model": width, "vocab_size": vocab_size, "dtype": dtype, **row})
            print(show(row), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
