"""Peak memory of training against the size of the vocabulary.

    python benchmarks/vocabulary_memory.py [--vocab-size 8000 32000 64000] [--threads 2] [--json memory.json]
    python benchmarks/vocabulary_memory.py --cuda     # on the GPU: what its allocator gave out
    python benchmarks/vocabulary_memory.py --quick    # a toy

Each size trains for a few steps in a process of its own, on made-up rows of 64 tokens, 4,096 a step. The columns:

  peak       VmHWM of the process at its end, or the peak of the GPU's allocator
  learned    bytes that the weights need in any case: float32 weight, gradient and two moments
  rest       peak less learned, less what the process held before the model was built
  of rest    the rest over that of the smallest vocabulary: 1 is flat
"""

import argparse
import json
import multiprocessing
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.data.loader import Loader, PairList, Position
from mt_trainer.machine import set_up_machine
from mt_trainer.model import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.step import train_step
from mt_trainer.workers import build_workers
from output_layer.measuring import resident_bytes
from peers.machine import about_machine

SIZES = {"num_encoder_layers": 3, "num_decoder_layers": 3, "d_model": 256, "ffn_dim": 1024, "num_heads": 4}
ROW_LENGTH = 64
SENTENCE_LENGTH = 15
"""With its end mark a quarter of a row."""


def peak_of(vocab_size: int, options: argparse.Namespace, results: Connection) -> None:
    """Trains, and sends what was found."""
    device = "cuda" if options.cuda and torch.cuda.is_available() else "cpu"
    config = RuntimeConfig.model_validate({"device": device, "threads": options.threads})
    machine = set_up_machine(config)
    before = 0 if device == "cuda" else resident_bytes("VmRSS")
    torch.manual_seed(1)
    model = build_transformer(
        ModelConfig.model_validate(SIZES),
        src_vocab_size=vocab_size,
        tgt_vocab_size=vocab_size,
        max_positions=ROW_LENGTH,
        pad_id=0,
    ).to(machine.device)
    loss = TranslationLoss(vocab_size, 0, 0.1).to(machine.device)
    both = TeacherForcing(model, loss, machine.dtype).to(machine.device).train()
    optimizer = build_optimizer(OptimConfig(), model)
    accumulation = options.threads if device == "cpu" else 1
    sentences = torch.randint(4, vocab_size, (4 * options.rows, SENTENCE_LENGTH)).tolist()
    loader = Loader(
        PairList([(sentence, sentence) for sentence in sentences]),
        row_length=ROW_LENGTH,
        rows_per_step=options.rows,
        accumulation=accumulation,
        seed=1,
        pad_id=0,
        bos_id=2,
        eos_id=3,
        sampler=None,
    )
    workers = build_workers(accumulation, machine)
    for step, batches in enumerate(islice(loader.steps(Position()), options.steps), start=1):
        train_step(
            both,
            optimizer,
            batches,
            step=step,
            lr=1e-4,
            clip_norm=1.0,
            seed=1,
            device=machine.device,
            workers=workers,
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident_bytes("VmHWM")
    results.send({"peak": peak, "learned": 16 * parameters, "before": before})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab-size", type=int, nargs="+", default=[8000, 32_000, 64_000])
    for name, default in (("threads", 2), ("rows", 64), ("steps", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write settings and all numbers there")
    parser.add_argument("--cuda", action="store_true", help="on the GPU")
    parser.add_argument("--quick", action="store_true", help="a toy")
    options = parser.parse_args()
    if options.cuda and not options.quick and not torch.cuda.is_available():
        print("skipped: CUDA is not available here")
        return
    if options.quick:
        options.vocab_size, options.threads, options.rows, options.steps = [100, 200], 1, 2, 2
    report: dict[str, Any] = {"machine": about_machine(), "threads": options.threads, "rows": options.rows, "sizes": []}
    print(f"{'pieces':>8} {'peak MiB':>9} {'learned':>8} {'rest':>8} {'of rest':>8}")
    context = multiprocessing.get_context("spawn")
    for vocab_size in options.vocab_size:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=peak_of, args=(vocab_size, options, sender))
        process.start()
        sender.close()  # so that the end of the process is seen here
        found: dict[str, int] = receiver.recv()
        process.join()
        rest = found["peak"] - found["learned"] - found["before"]
        report["sizes"].append({"vocab_size": vocab_size, **found, "rest": rest})
        flatness = rest / report["sizes"][0]["rest"]
        mib = [found["peak"] / 2**20, found["learned"] / 2**20, rest / 2**20]
        print(f"{vocab_size:>8,} {mib[0]:>9,.0f} {mib[1]:>8,.0f} {mib[2]:>8,.0f} {flatness:>8.2f}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
