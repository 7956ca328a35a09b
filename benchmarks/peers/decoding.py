"""One comparison of decoding: the weights, all candidates on one setting, and the rows of a table."""

import json
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import sacrebleu

from mt_trainer.tokenizer import Tokenizer
from peers.environments import Environments, Unavailable
from peers.floor import decoding_operations
from peers.interleaving import Rounds, Spread, load_warning, ratios, run_rounds
from peers.job import DecodingJob, Sizes, TrainingJob, read_ids, write_job
from peers.text import Pairs, write_pairs
from peers.workers import Worker

OURS = "mt_trainer"
MATMULS = "matmuls"
DEV_PAIRS = 500
SLOW_SENTENCES = 64
"""What a candidate translates that needs minutes for a whole test set."""


@dataclass(frozen=True)
class Candidate:
    """A program that is measured: the module of its runner, its environment (None: that of the benchmark)."""

    module: str
    environment: str | None = None
    compute_type: str = "float32"
    most_sentences: int = 1_000_000
    settings: dict[str, Any] = field(default_factory=dict)


CANDIDATES: dict[str, Candidate] = {
    OURS: Candidate("peers.runners.mt_trainer_decoding"),
    "CTranslate2": Candidate("peers.runners.ctranslate2_decoding", "ctranslate2"),
    "CTranslate2 int8": Candidate("peers.runners.ctranslate2_decoding", "ctranslate2", compute_type="int8"),
    "HF generate": Candidate("peers.runners.marian_decoding", "marian"),
    "JoeyNMT": Candidate("peers.runners.joeynmt_decoding", "joeynmt", most_sentences=SLOW_SENTENCES),
}
LEFT_OUT = {"Eole": "its Transformer is pre-norm only: it cannot hold the post-norm weights of this comparison"}


def train_model(
    pairs: Pairs, tokenizer: Path, sizes: Sizes, folder: Path, *, own_python: Path, threads: int, seconds: float
) -> Path:
    """A run of mt-train with a model that all candidates can hold: post-norm, sinusoidal positions, ReLU.

    Returns:
        The run folder; one that is there already is taken as it is.

    Raises:
        SystemExit: when training fails.
    """
    run = folder / "run"
    if (run / "evaluation" / "dev.json").exists():
        return run
    write_pairs(pairs[DEV_PAIRS:], folder / "train")
    write_pairs(pairs[:DEV_PAIRS], folder / "dev")
    settings = {
        "data": {
            "src_lang": "src",
            "tgt_lang": "tgt",
            "train": {"format": "text", "src": f"{folder}/train.src", "tgt": f"{folder}/train.tgt"},
            "dev": {"format": "text", "src": f"{folder}/dev.src", "tgt": f"{folder}/dev.tgt"},
            "max_length": 64,
        },
        "tokenizer": {"model_file": str(tokenizer)},
        "model": {
            "num_encoder_layers": sizes.num_layers,
            "num_decoder_layers": sizes.num_layers,
            "d_model": sizes.d_model,
            "ffn_dim": sizes.ffn_dim,
            "num_heads": sizes.num_heads,
            "norm_first": False,
        },
        "optim": {"schedule": {"name": "inverse_sqrt", "peak_lr": 1e-3, "warmup_steps": 400}},
        "training": {
            "batch_tokens": 2048,
            "accumulation": threads,
            "max_steps": 1_000_000,
            "max_seconds": seconds,
            "validate_every_steps": 100_000,
            "select_by": "nll",
        },
        "runtime": {"run_folder": str(run), "cache_folder": str(folder / "cache"), "threads": threads},
    }
    config = folder / "config.yaml"
    config.write_text(json.dumps(settings, indent=1), encoding="utf-8")  # JSON is YAML
    print(f"training a model for {seconds:.0f} s: {run}", flush=True)
    command = [str(own_python), "-m", "mt_trainer.cli.train", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training ended with status {done.returncode}:\n{done.stderr}")
    return run


def compare(
    candidates: Mapping[str, Candidate],
    job: DecodingJob,
    references: Sequence[str],
    *,
    own_python: Path,
    environments: Environments,
    folder: Path,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Starts all candidates, runs the rounds, ends them; returns what stands in the report.

    Args:
        job: of all of them; the folder, the outputs and what the candidate sets are each one's own.
    """
    workers: list[Worker] = []
    failures = dict(LEFT_OUT)
    outputs: dict[str, Path] = {}
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier comparison, where work is kept
    try:
        matmuls = folder / f"{MATMULS}.json"
        folder.mkdir(parents=True)
        write_job(matmul_job(job, folder), matmuls)
        log = folder / f"{MATMULS}.txt"
        workers.append(Worker(MATMULS, own_python, "peers.runners.matmuls", matmuls, threads=job.threads, log=log))
        for name, candidate in candidates.items():
            home = folder / name.replace(" ", "_")
            home.mkdir(parents=True)
            outputs[name] = home / "outputs.ids"
            own = replace(
                job,
                folder=str(home),
                outputs=str(outputs[name]),
                compute_type=candidate.compute_type,
                most_sentences=candidate.most_sentences,
                settings={**job.settings, **candidate.settings},
            )
            write_job(own, home / "job.json")
            try:
                python = environments.python(candidate.environment) if candidate.environment else own_python
                log = home / "log.txt"
                workers.append(Worker(name, python, candidate.module, home / "job.json", threads=job.threads, log=log))
            except Unavailable as error:
                failures[name] = str(error)
        measured = run_rounds(workers, rounds=rounds, seconds=seconds)
    finally:
        for worker in workers:
            worker.stop()
    measured.failures |= failures
    return {
        "job": asdict(job),
        "load": {"idle_cores": measured.idle_cores, "load_averages": measured.load_averages},
        "warning": load_warning(measured, job.threads),
        "fp32_operations_per_second": best_fp32_rate(measured),
        "rows": rows(measured, workers, outputs, job, references),
        "failures": measured.failures,
    }


def matmul_job(job: DecodingJob, folder: Path) -> TrainingJob:
    """For the bare products: the model's shapes for the rows of one step of the search."""
    return TrainingJob(
        folder=str(folder),
        text=job.text,
        sizes=job.sizes,
        dropout=0.0,
        label_smoothing=0.0,
        batch_tokens=job.batch_size * job.beam_size,
        longest=job.longest,
        threads=job.threads,
        device=job.device,
        precision="fp32",
        is_compiled=False,
        compile_backend="",
        seed=1,
    )


def rows(
    measured: Rounds,
    workers: Sequence[Worker],
    outputs: Mapping[str, Path],
    job: DecodingJob,
    references: Sequence[str],
) -> list[dict[str, Any]]:
    """One for each candidate that came through."""
    rates = {
        name: [stretch.tokens_per_second for stretch in stretches]
        for name, stretches in measured.stretches.items()
        if name not in {MATMULS, *measured.failures}
    }
    rate = best_fp32_rate(measured)
    sources = read_ids(job.text.src_ids)
    first_passes = {worker.name: worker.first_step_seconds for worker in workers}
    ours = read_ids(str(outputs[OURS])) if OURS in rates else None
    tokenizer = Tokenizer.load(job.text.tokenizer)
    found: list[dict[str, Any]] = []
    for name, values in rates.items():
        stretches = measured.stretches[name]
        ids = read_ids(str(outputs[name]))
        lengths = [(len(src) + 1, len(tgt) + 1) for src, tgt in zip(sources, ids, strict=False)]
        num_tokens = sum(tgt for _, tgt in lengths)
        floor = rate * num_tokens / decoding_operations(job.sizes, lengths, job.beam_size)
        bleu = sacrebleu.corpus_bleu(tokenizer.decode(ids), [list(references[: len(ids)])])
        found.append(
            {
                "candidate": name,
                "tokens_per_second": asdict(Spread.of(values)),
                "every_round": values,
                "sentences_per_second": asdict(Spread.of([each.positions / each.seconds for each in stretches])),
                "ours_to_this": asdict(ratios(rates[OURS], values)) if OURS in rates else None,
                "share_of_floor": statistics.median(values) / floor,
                "sentences": len(ids),
                "tokens_per_sentence": num_tokens / len(ids),
                "equal_to_ours": None if ours is None else sum(map(list.__eq__, ids, ours)) / len(ids),
                "bleu": bleu.score if len(ids) == len(references) else None,
                "peak_mib": stretches[-1].peak_mib,
                "first_pass_seconds": first_passes[name],
            }
        )
    return found


def best_fp32_rate(measured: Rounds) -> float:
    """Of the bare products, in operations a second."""
    stretches = measured.stretches[MATMULS]
    shapes = [shape for shape in stretches[0].values if shape.startswith("fp32")]
    return max(statistics.median([stretch.values[shape] for stretch in stretches]) for shape in shapes)


def show(comparison: Mapping[str, Any]) -> str:
    """The table of a comparison, for a terminal."""
    job = comparison["job"]
    loads, idle = comparison["load"]["load_averages"], comparison["load"]["idle_cores"]
    place = f"{job['threads']} thread{'s' if job['threads'] > 1 else ''}" if job["device"] == "cpu" else job["device"]
    lines = [
        f"\n{place}, beam {job['beam_size']}, {job['batch_size']} sentences a batch, no length penalty",
        f"load average {min(loads, default=0):.1f} to {max(loads, default=0):.1f}, "
        f"idle cores before the rounds {min(idle):.1f} to {max(idle):.1f}",
        f"{'':<18} {'output tokens/s':>28} {'sentences/s':>11} {'mt_trainer is':>22} {'of floor':>8} {'equal':>7} "
        f"{'tokens':>6} {'BLEU':>6} {'MiB':>6} {'1st pass':>9}",
    ]
    if comparison["warning"]:
        lines.insert(2, comparison["warning"])
    for row in comparison["rows"]:
        ratio = "x " + Spread(**row["ours_to_this"]).show(2) if row["ours_to_this"] else "-"
        equal = "-" if row["equal_to_ours"] is None else f"{100 * row['equal_to_ours']:.1f} %"
        bleu = "-" if row["bleu"] is None else f"{row['bleu']:.2f}"
        memory = "-" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"
        lines.append(
            f"{row['candidate']:<18} {Spread(**row['tokens_per_second']).show(0):>28} "
            f"{row['sentences_per_second']['median']:>11,.1f} {ratio:>22} "
            f"{100 * row['share_of_floor']:>6.0f} % {equal:>7} "
            f"{row['tokens_per_sentence']:>6.1f} {bleu:>6} {memory:>6} {row['first_pass_seconds']:>7.1f} s"
        )
    lines += [f"{name:<18} not measured: {reason}" for name, reason in comparison["failures"].items()]
    return "\n".join(lines)
