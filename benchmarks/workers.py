"""A training step on a CPU: micro-batches side by side, against all threads sharing every operation.

    python benchmarks/workers.py [--threads 2] [--rows 32] [--load 1]

transformer_tiny on made-up rows of 64 tokens, 8,000 pieces, label smoothing, dropout 0.3, in the precision that suits
the CPU. Both ways in turn, medians, with the least and the largest. `--load` starts so many busy processes of the
lowest priority beside it, as on a machine that is not one's own.
"""

import argparse
import multiprocessing
import os
import statistics
import time

import torch

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.machine import commit, set_up_machine
from mt_trainer.model import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.step import train_step
from mt_trainer.workers import build_workers

VOCAB_SIZE = 8000
ROW_LENGTH = 64


def batches(rows: int, accumulation: int) -> StepBatches:
    """Rows of four sentences, dealt out to micro-batches."""
    length = ROW_LENGTH // 4 - 1
    sentences = torch.randint(4, VOCAB_SIZE, (4 * rows, length), generator=torch.Generator().manual_seed(1)).tolist()
    pairs = PairList([(sentence, sentence) for sentence in sentences])
    packed = [[4 * row + i for i in range(4)] for row in range(rows)]
    size = rows // accumulation
    parts = [packed[i : i + size] for i in range(0, rows, size)]
    return StepBatches(
        tuple(collate(pairs, part, row_length=ROW_LENGTH, pad_id=0, bos_id=2, eos_id=3) for part in parts), Position()
    )


def keep_busy() -> None:
    """Multiply matrices on one core until terminated."""
    os.nice(19)
    torch.set_num_threads(1)
    matrix = torch.randn(512, 512)
    while True:
        matrix = torch.tanh(matrix @ matrix)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("threads", 2), ("rows", 32), ("repeats", 20), ("load", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    busy = [multiprocessing.get_context("spawn").Process(target=keep_busy, daemon=True) for _ in range(options.load)]
    for process in busy:
        process.start()

    machine = set_up_machine(RuntimeConfig(device="cpu", threads=options.threads))
    torch.manual_seed(1)
    model = build_transformer(
        ModelConfig.model_validate({"preset": "transformer_tiny", "dropout": 0.3}),
        src_vocab_size=VOCAB_SIZE,
        tgt_vocab_size=VOCAB_SIZE,
        max_positions=ROW_LENGTH,
        pad_id=0,
    )
    both = TeacherForcing(model, TranslationLoss(VOCAB_SIZE, 0, 0.1), machine.dtype).train()
    optimizer = build_optimizer(OptimConfig(), model)
    ways = {
        "shared operations": (batches(options.rows, 1), None),
        "side by side": (batches(options.rows, options.threads), build_workers(options.threads, machine)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(2 + options.repeats):  # the first two warm up
        for name, (step, workers) in ways.items():
            start = time.perf_counter()
            train_step(
                both, optimizer, step, step=1, lr=1e-4, clip_norm=1.0, seed=1, device=machine.device, workers=workers
            )
            if repeat >= 2:
                seconds[name].append(time.perf_counter() - start)
    for process in busy:
        process.terminate()

    base = statistics.median(seconds["shared operations"])
    print(
        f"torch {torch.__version__}, {machine.describe()}, {options.load} busy processes beside it, commit {commit()}"
    )
    for name, values in seconds.items():
        middle = statistics.median(values)
        rates = [ways[name][0].num_tokens / value for value in (middle, max(values), min(values))]
        print(f"{name:<18} {rates[0]:7,.0f} tokens/s ({rates[1]:,.0f} to {rates[2]:,.0f})  time x {middle / base:.2f}")


if __name__ == "__main__":
    main()
