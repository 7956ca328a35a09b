"""One comparison of training: all candidates on one setting, from their jobs to the rows of a table."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from peers.environments import Environments, Unavailable
from peers.floor import operations_per_target_token, step_bytes
from peers.interleaving import Rounds, Spread, load_warning, ratios, run_rounds
from peers.job import TrainingJob, read_ids, write_job
from peers.workers import Worker

OURS = "mt_trainer"
MATMULS = "matmuls"


@dataclass(frozen=True)
class Candidate:
    """A program that is measured: the module of its runner, its environment (None: that of the benchmark)."""

    module: str
    environment: str | None = None
    precision: str = "fp32"


CANDIDATES: dict[str, Candidate] = {
    MATMULS: Candidate("peers.runners.matmuls"),
    OURS: Candidate("peers.runners.mt_trainer_training", precision="auto"),
    "mt_trainer fp32": Candidate("peers.runners.mt_trainer_training"),
    "plain loop": Candidate("peers.runners.plain_loop"),
    "JoeyNMT": Candidate("peers.runners.joeynmt_training", "joeynmt"),
    "HF MarianMT": Candidate("peers.runners.marian_training", "marian"),
    "Eole": Candidate("peers.runners.eole_training", "eole"),
}


def compare(
    names: Sequence[str],
    job: TrainingJob,
    *,
    own_python: Path,
    environments: Environments,
    folder: Path,
    rounds: int,
    seconds: float,
    is_bf16: bool,
) -> dict[str, Any]:
    """Starts all candidates, runs the rounds, ends them.

    Args:
        job: of all of them; the folder and the precision are each one's own.
        is_bf16: every candidate computes in bfloat16 (on a GPU).

    Returns:
        What stands in the report: settings, load, floor and a row for each candidate.
    """
    workers: list[Worker] = []
    failures: dict[str, str] = {}
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier comparison, where work is kept
    try:
        for name in names:
            candidate = CANDIDATES[name]
            home = folder / name.replace(" ", "_")
            home.mkdir(parents=True)
            precision = "bf16" if is_bf16 and candidate.precision == "fp32" else candidate.precision
            write_job(replace(job, folder=str(home), precision=precision), home / "job.json")
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
    floor = floor_of(measured, job)
    return {
        "job": asdict(job),
        "load": {"idle_cores": measured.idle_cores, "load_averages": measured.load_averages},
        "warning": load_warning(measured, job.threads),
        "floor": floor,
        "rows": rows(measured, {worker.name: worker.first_step_seconds for worker in workers}, floor),
        "failures": measured.failures,
    }


def floor_of(measured: Rounds, job: TrainingJob) -> dict[str, Any]:
    """Rates of the bare products [operations/s] and of the copy [bytes/s], and the tokens a second that they allow."""
    lengths = zip(map(len, read_ids(job.text.src_ids)), map(len, read_ids(job.text.tgt_ids)), strict=True)
    operations = operations_per_target_token(job.sizes, [(src + 1, tgt + 1) for src, tgt in lengths])
    found: dict[str, Any] = {
        "operations_per_target_token": operations,
        "bytes_per_step": step_bytes(job.sizes),
        "rates": {},
        "tokens_per_second": {},
    }
    stretches = measured.stretches.get(MATMULS)
    if stretches:
        found["rates"] = {
            shape: asdict(Spread.of([each.values[shape] for each in stretches])) for shape in stretches[0].values
        }
        for dtype in ("fp32", "bf16"):
            best = max(rate["median"] for shape, rate in found["rates"].items() if shape.startswith(dtype))
            found["tokens_per_second"][dtype] = best / operations
        steps_per_second = found["rates"]["copy"]["median"] / found["bytes_per_step"]
        found["tokens_per_second_by_bytes"] = steps_per_second * job.batch_tokens
    return found


def rows(measured: Rounds, first_steps: Mapping[str, float], floor: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One for each candidate that came through."""
    rates = {
        name: [stretch.tokens_per_second for stretch in stretches]
        for name, stretches in measured.stretches.items()
        if name != MATMULS and name not in measured.failures
    }
    found: list[dict[str, Any]] = []
    for name, values in rates.items():
        stretches = measured.stretches[name]
        spread = Spread.of(values)
        tokens, steps = sum(each.tokens for each in stretches), sum(each.steps for each in stretches)
        found.append(
            {
                "candidate": name,
                "tokens_per_second": asdict(spread),
                "every_round": values,
                "ours_to_this": asdict(ratios(rates[OURS], values)) if OURS in rates else None,
                "share_of_floor": {key: spread.median / value for key, value in floor["tokens_per_second"].items()},
                "tokens_per_step": tokens / steps,
                "useful_share": tokens / sum(each.positions for each in stretches),
                "peak_mib": stretches[-1].peak_mib,
                "first_step_seconds": first_steps[name],
            }
        )
    return found


def show_floor(floor: Mapping[str, Any]) -> str:
    """One line."""
    needed = (
        f"{floor['operations_per_target_token'] / 1e6:.2f} million operations a target token and "
        f"{floor['bytes_per_step'] / 2**20:,.0f} MiB a step; floor: "
    )
    if not floor["rates"]:
        return needed + "not measured"
    by_operations = ", ".join(f"{key} {value:,.0f}" for key, value in floor["tokens_per_second"].items())
    return needed + f"{by_operations} tokens/s by operations, {floor['tokens_per_second_by_bytes']:,.0f} by bytes"


def show(comparison: Mapping[str, Any]) -> str:
    """The table of a comparison, for a terminal."""
    job, floor = comparison["job"], comparison["floor"]
    sizes = job["sizes"]
    place = f"{job['threads']} thread{'s' if job['threads'] > 1 else ''}" if job["device"] == "cpu" else job["device"]
    compiled = ", compiled" if job["is_compiled"] else ""
    loads = comparison["load"]["load_averages"]
    idle = comparison["load"]["idle_cores"]
    lines = [
        f"\n{place}, {sizes['num_layers']}+{sizes['num_layers']} layers, d_model {sizes['d_model']}, "
        f"ffn_dim {sizes['ffn_dim']}, {sizes['num_heads']} heads, {sizes['vocab_size']:,} pieces, "
        f"about {job['batch_tokens']:,} tokens a step{compiled}",
        f"load average {min(loads, default=0):.1f} to {max(loads, default=0):.1f}, "
        f"idle cores before the rounds {min(idle):.1f} to {max(idle):.1f}",
        show_floor(floor),
        f"{'':<18} {'target tokens/s':>28} {'mt_trainer is':>22} {'of floor fp32':>13} {'bf16':>6} "
        f"{'tokens/step':>11} {'useful':>6} {'MiB':>7} {'1st step':>9}",
    ]
    if comparison["warning"]:
        lines.insert(2, comparison["warning"])
    for row in comparison["rows"]:
        ratio = "x " + Spread(**row["ours_to_this"]).show(2) if row["ours_to_this"] else "-"
        shares = [f"{100 * row['share_of_floor'][key]:.0f} %" if floor["rates"] else "-" for key in ("fp32", "bf16")]
        memory = "-" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"
        lines.append(
            f"{row['candidate']:<18} {Spread(**row['tokens_per_second']).show(0):>28} {ratio:>22} "
            f"{shares[0]:>13} {shares[1]:>6} {row['tokens_per_step']:>11,.0f} {100 * row['useful_share']:>4.0f} % "
            f"{memory:>7} {row['first_step_seconds']:>7.1f} s"
        )
    lines += [f"{name:<18} not measured: {reason}" for name, reason in comparison["failures"].items()]
    return "\n".join(lines)
