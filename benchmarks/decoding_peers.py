"""Decoding of mt_trainer side by side with its peers: the same weights, sentences, beam, batches and threads.

    python benchmarks/decoding_peers.py --src train.en.gz --tgt train.de.gz --test-src test.en.gz --test-tgt test.de.gz
    python benchmarks/decoding_peers.py --run runs/mine --test-src test.en.gz --test-tgt test.de.gz
    python benchmarks/decoding_peers.py --cuda     # one GPU: beam 4, batches of 32, 128 and 256 sentences
    python benchmarks/decoding_peers.py --quick    # a toy, without the peers that have to be installed

Without a run a small model is trained first; without files all text is the built-in phrasebook. The weights are carried
over into each peer's own format, so that the outputs are the same and their equality shows that the models are. Every
candidate is one process, started once; a pass over the test set of one follows a pass of the other, and a number is the
median of the rounds, in brackets the least and the largest. docs/performance.md says what each column means.
"""

import argparse
import json
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from mt_trainer.config import load_config
from mt_trainer.tokenizer import Tokenizer
from peers.decoding import CANDIDATES, OURS, Candidate, compare, show, train_model
from peers.environments import Environments
from peers.job import DecodingJob, Sizes
from peers.machine import about_machine
from peers.text import make_tokenizer, read_pairs, write_text
from peers.weights import export_weights

SIZES = Sizes(num_layers=3, d_model=256, ffn_dim=1024, num_heads=4, vocab_size=8000)
QUICK_SIZES = Sizes(num_layers=1, d_model=32, ffn_dim=64, num_heads=2, vocab_size=400)
PHRASEBOOK_VOCAB_SIZE = 2000
GPU_BATCHES = (32, 128, 256)
ON_GPU = (OURS, "CTranslate2", "HF generate")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run; without it a model is trained")
    parser.add_argument("--src", type=Path, help="training text, one sentence a line; without it the phrasebook")
    parser.add_argument("--tgt", type=Path, help="its translations")
    parser.add_argument("--train-seconds", type=float, default=1200.0)
    parser.add_argument("--test-src", type=Path, help="what is translated; without it the phrasebook's test set")
    parser.add_argument("--test-tgt", type=Path, help="its references")
    parser.add_argument("--vocab-size", type=int, help="pieces of the joint tokenizer")
    parser.add_argument("--beam-size", type=int)
    parser.add_argument("--batch-size", type=int, default=32, help="sentences, for peers; mt_trainer keeps its own")
    parser.add_argument("--longest", type=int, default=100, help="tokens of an output at most")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one comparison for each number")
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of a stretch: passes are repeated until it is over"
    )
    parser.add_argument("--candidate", nargs="+", choices=list(CANDIDATES), metavar="NAME", help=", ".join(CANDIDATES))
    parser.add_argument(
        "--variant",
        nargs="+",
        default=[],
        metavar="NAME={...}",
        help="mt_trainer once more, with these settings of its section `decoding`",
    )
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "mt_trainer" / "peers")
    parser.add_argument("--pip-args", default="", help="handed to pip when peers are installed")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the trained run, texts and logs there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write settings and all numbers there")
    parser.add_argument("--cuda", action="store_true", help="on a GPU")
    parser.add_argument("--quick", action="store_true", help="a toy: whether it runs")
    options = parser.parse_args()
    for one, other in (("src", "tgt"), ("test_src", "test_tgt")):
        if (getattr(options, one) is None) != (getattr(options, other) is None):
            parser.error(f"--{one} and --{other} go together".replace("_", "-"))
    return options


def chosen(options: argparse.Namespace) -> dict[str, Candidate]:
    """The candidates by name."""
    names = options.candidate or ([OURS] if options.quick else ON_GPU if options.cuda else list(CANDIDATES))
    found = {name: CANDIDATES[name] for name in names}
    for variant in options.variant:
        name, settings = variant.split("=", 1)
        found[f"{OURS} {name}"] = replace(CANDIDATES[OURS], settings=yaml.safe_load(settings))
    if options.cuda:
        found = {
            name: replace(each, compute_type="float16") if each.compute_type == "float32" else each
            for name, each in found.items()
        }
    return found


def main() -> None:
    """Measure and print."""
    options = parse_options()
    if options.cuda and not options.quick and not torch.cuda.is_available():
        print("skipped: CUDA is not available here")
        return
    if options.quick:
        options.rounds, options.seconds, options.threads, options.train_seconds = 2, 0.2, [1], 2.0
    environments = Environments(options.environments.resolve(), tuple(options.pip_args.split()))
    report: dict[str, Any] = {"machine": about_machine(), "command": sys.argv, "comparisons": []}
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.keep or Path(temporary)).resolve()
        job, references = prepare(options, work)
        settings = (
            [replace(job, batch_size=batch_size) for batch_size in GPU_BATCHES]
            if options.cuda
            else [replace(job, threads=threads) for threads in options.threads]
        )
        for index, each in enumerate(settings):
            comparison = compare(
                chosen(options),
                each,
                references,
                own_python=Path(sys.executable),
                environments=environments,
                folder=work / f"comparison_{index}",
                rounds=options.rounds,
                seconds=options.seconds,
            )
            report["comparisons"].append(comparison)
            print(show(comparison), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def prepare(options: argparse.Namespace, work: Path) -> tuple[DecodingJob, list[str]]:
    """A trained model, its weights for all, the test set in a random order, and its references."""
    run = options.run or train(options, work)
    work.mkdir(parents=True, exist_ok=True)
    weights = work / "weights.npz"
    try:
        export_weights(run, weights)
    except ValueError as error:
        raise SystemExit(f"{run}: {error}") from error
    config = load_config(run / "config.yaml")
    test_files = (options.test_src, options.test_tgt) if options.test_src else None
    pairs = list(read_pairs(test_files, "test", most=20 if options.quick else None))
    random.Random(1).shuffle(pairs)  # a slow candidate translates the first of them
    tokenizer = Tokenizer.load(run / "tokenizer.model")
    is_on_gpu = options.cuda and torch.cuda.is_available()
    job = DecodingJob(
        folder="",
        text=write_text(pairs, tokenizer, work / "test", longest=None),
        sizes=Sizes(
            num_layers=config.model.num_encoder_layers,
            d_model=config.model.d_model,
            ffn_dim=config.model.ffn_dim,
            num_heads=config.model.num_heads,
            vocab_size=tokenizer.vocab_size,
        ),
        run_folder=str(run.resolve()),
        weights=str(weights),
        beam_size=options.beam_size or (4 if options.cuda else 5),
        batch_size=options.batch_size,
        longest=options.longest,
        threads=torch.get_num_threads(),
        device="cuda" if is_on_gpu else "cpu",
        compute_type="",
        settings={},
        most_sentences=0,
        outputs="",
    )
    return job, [tgt for _, tgt in pairs]


def train(options: argparse.Namespace, work: Path) -> Path:
    """A model of the size of the comparison."""
    files = (options.src, options.tgt) if options.src else None
    pairs = read_pairs(files, "train", most=2000 if options.quick else None)
    sizes = QUICK_SIZES if options.quick else SIZES
    default = sizes.vocab_size if options.quick or files else PHRASEBOOK_VOCAB_SIZE
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = work / "tokenizer.model"
    make_tokenizer(pairs, options.vocab_size or default, tokenizer)
    return train_model(
        pairs,
        tokenizer,
        sizes,
        work,
        own_python=Path(sys.executable),
        threads=max(options.threads),
        seconds=options.train_seconds,
    )


if __name__ == "__main__":
    main()
