"""Training of mt_trainer side by side with its peers: the same text, tokenizer, model, tokens a step and threads.

    python benchmarks/training_peers.py [--src train.en.gz --tgt train.de.gz] [--threads 1 2] [--json training.json]
    python benchmarks/training_peers.py --cuda     # one GPU: tiny, base, big; 4k, 25k, 64k tokens; compiled or not
    python benchmarks/training_peers.py --quick    # a toy, without the peers that have to be installed

Every candidate is one process, started once. In each round each runs for a stretch while all others wait; a number is
the median of the rounds, in brackets the least and the largest. The peers are installed once into environments of their
own; one that cannot be installed or fails is named with its reason. docs/performance.md says what each column means.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from peers.environments import Environments
from peers.job import Sizes, TrainingJob
from peers.machine import about_machine
from peers.text import make_tokenizer, read_pairs, write_text
from peers.training import CANDIDATES, compare, show

CPU_SIZES = Sizes(num_layers=3, d_model=256, ffn_dim=1024, num_heads=4, vocab_size=8000)
QUICK_SIZES = Sizes(num_layers=1, d_model=32, ffn_dim=64, num_heads=2, vocab_size=400)
GPU_SIZES = {
    "tiny": Sizes(num_layers=4, d_model=128, ffn_dim=256, num_heads=4, vocab_size=0),
    "base": Sizes(num_layers=6, d_model=512, ffn_dim=2048, num_heads=8, vocab_size=0),
    "big": Sizes(num_layers=6, d_model=1024, ffn_dim=4096, num_heads=16, vocab_size=0),
}
"""The vocabulary is the tokenizer's."""
GPU_TOKENS = (4096, 25_000, 64_000)
NEED_NOTHING = ["matmuls", "mt_trainer", "mt_trainer fp32", "plain loop"]
ON_GPU = ["matmuls", "mt_trainer", "plain loop", "HF MarianMT"]
PHRASEBOOK_VOCAB_SIZE = 2000
"""The built-in text has not many more words."""


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="training text, one sentence a line; without it the phrasebook")
    parser.add_argument("--tgt", type=Path, help="its translations")
    parser.add_argument("--vocab-size", type=int, help="pieces of the joint tokenizer")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one comparison for each number")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--longest", type=int, default=64, help="tokens of a side; longer pairs are left out for all")
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a stretch")
    parser.add_argument("--candidate", nargs="+", choices=list(CANDIDATES), metavar="NAME", help=", ".join(CANDIDATES))
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "mt_trainer" / "peers")
    parser.add_argument("--pip-args", default="", help="handed to pip when peers are installed")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep texts and logs there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write settings and all numbers there")
    parser.add_argument("--cuda", action="store_true", help="on a GPU")
    parser.add_argument("--quick", action="store_true", help="a toy: whether it runs")
    options = parser.parse_args()
    if (options.src is None) != (options.tgt is None):
        parser.error("--src and --tgt go together")
    return options


def settings(options: argparse.Namespace, job: TrainingJob) -> Iterator[TrainingJob]:
    """The comparisons that are asked for."""
    if not options.cuda:
        for threads in options.threads:
            yield replace(job, threads=threads)
        return
    grid = {"toy": job.sizes} if options.quick else GPU_SIZES
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for sizes in grid.values():
        for batch_tokens in (256, 512) if options.quick else GPU_TOKENS:
            for is_compiled in (False, True):
                yield replace(
                    job,
                    sizes=replace(sizes, vocab_size=job.sizes.vocab_size),
                    batch_tokens=batch_tokens,
                    is_compiled=is_compiled,
                    device=device,
                )


def candidate_names(options: argparse.Namespace) -> list[str]:
    """Those that were chosen, or those that suit the mode."""
    if options.candidate:
        return list(options.candidate)
    if options.quick:
        return [name for name in NEED_NOTHING if not (options.cuda and name == "mt_trainer fp32")]
    return ON_GPU if options.cuda else list(CANDIDATES)


def main() -> None:
    """Measure and print."""
    options = parse_options()
    if options.cuda and not options.quick and not torch.cuda.is_available():
        print("skipped: CUDA is not available here")
        return
    if options.quick:
        options.rounds, options.seconds, options.threads, options.batch_tokens = 2, 0.2, [1], 512
    report: dict[str, Any] = {"machine": about_machine(), "command": sys.argv, "comparisons": []}
    environments = Environments(options.environments.resolve(), tuple(options.pip_args.split()))
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.keep or Path(temporary)).resolve()
        job = prepare(options, work)
        for index, each in enumerate(settings(options, job)):
            comparison = compare(
                candidate_names(options),
                each,
                own_python=Path(sys.executable),
                environments=environments,
                folder=work / f"comparison_{index}",
                rounds=options.rounds,
                seconds=options.seconds,
                is_bf16=options.cuda and torch.cuda.is_available(),
            )
            report["comparisons"].append(comparison)
            print(show(comparison), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def prepare(options: argparse.Namespace, work: Path) -> TrainingJob:
    """The text of all candidates, and what they are told."""
    files = (options.src, options.tgt) if options.src else None
    pairs = read_pairs(files, "train", most=500 if options.quick else None)
    default = QUICK_SIZES.vocab_size if options.quick else CPU_SIZES.vocab_size if files else PHRASEBOOK_VOCAB_SIZE
    vocab_size = options.vocab_size or default
    work.mkdir(parents=True, exist_ok=True)
    text = write_text(
        pairs, make_tokenizer(pairs, vocab_size, work / "tokenizer.model"), work / "text", longest=options.longest
    )
    return TrainingJob(
        folder="",
        text=text,
        sizes=replace(QUICK_SIZES if options.quick else CPU_SIZES, vocab_size=vocab_size),
        dropout=0.1,
        label_smoothing=0.1,
        batch_tokens=options.batch_tokens,
        longest=options.longest,
        threads=torch.get_num_threads(),
        device="cpu",
        precision="fp32",
        is_compiled=False,
        compile_backend="aot_eager" if options.quick else "inductor",
        seed=1,
    )


if __name__ == "__main__":
    main()
