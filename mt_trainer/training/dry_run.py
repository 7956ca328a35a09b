"""`mt-train --dry-run`: everything is checked and tried, and nothing is left behind."""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mt_trainer.config import TrainConfig
from mt_trainer.data.loader import PairList, Position, StepBatches
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.decoding.translate import require_precision
from mt_trainer.distributed.launch import require_one_process
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.evaluation.metrics import build_metrics
from mt_trainer.machine import set_up_machine
from mt_trainer.objectives.building.check import check_objective
from mt_trainer.training.assembly import Parts, assemble, build_loader, rows_per_step
from mt_trainer.training.display import duration, summary
from mt_trainer.training.diverging.divergence import require_finite
from mt_trainer.training.preflight import require_room
from mt_trainer.training.progress import Progress
from mt_trainer.training.run_folder import RunFolder
from mt_trainer.training.signals import stop_on_signals
from mt_trainer.training.step import train_step
from mt_trainer.training.teacher import load_teacher

TIMED_STEPS = 5


def dry_run(config: TrainConfig, run_folder: Path) -> str:
    """Prepare the data in a temporary folder, take the largest step that can occur and a few ordinary ones.

    Returns:
        The run's summary, then speed, expected time, memory and disk needed.

    Raises:
        MtError: whatever would stop the run.
    """
    with stop_on_signals():  # so that a signal, too, leaves nothing behind
        return _try_out(config, run_folder)


def _try_out(config: TrainConfig, run_folder: Path) -> str:
    require_one_process("a dry run")
    check_objective(config)
    machine = set_up_machine(config.runtime)
    require_precision(config.decoding, machine.device)
    build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
    run = RunFolder.open(run_folder, config)
    require_room(config, run_folder)
    teacher = load_teacher(config, machine)
    with tempfile.TemporaryDirectory(prefix="mt_trainer-dry-run-") as temporary:
        runtime = config.runtime.model_copy(update={"cache_folder": temporary})
        data = prepare_data(
            config.model_copy(update={"runtime": runtime}),
            announce=lambda line: None,
            require_tokenizers=teacher.require_tokenizers if teacher else None,
        )
        parts = assemble(config, data, machine, teacher, ALONE)
        seconds, tokens = [], []
        for step, batches in enumerate([_fullest_step(config, data), *_first_steps(parts)], start=1):
            started = time.perf_counter()
            result = train_step(
                parts.teacher_forcing,
                parts.learner.optimizer,
                batches,
                step=step,
                lr=parts.schedule(step),
                clip_norm=config.optim.clip_norm,
                seed=config.runtime.seed,
                device=machine.device,
                workers=parts.workers,
            )
            require_finite(result, step)
            seconds.append(time.perf_counter() - started)
            tokens.append(batches.num_tokens)
        rate = sum(tokens[1:]) / sum(seconds[1:])
        weights = sum(p.numel() * p.element_size() for p in parts.teacher_forcing.model.parameters())
        copies = 3 + (config.training.ema_decay > 0)  # weights, two moments, and the average beside the raw weights
        # beside those kept: the best, one that is being written, and the average
        kept = max(config.training.keep_checkpoints, config.training.average_checkpoints) + 3
        corpus_bytes = sum(file.stat().st_size for file in Path(temporary).rglob("*") if file.is_file())
        lines = {
            "largest": f"a step of {tokens[0]:,} target tokens took {seconds[0]:.2f} s" + _memory(machine.device),
            "speed": f"{rate:,.0f} target tokens/s over {TIMED_STEPS} steps",
            "expected": _expected_time(config, data, rate, sum(tokens[1:]) / TIMED_STEPS),
            "disk": f"{weights * copies * kept / 1e6:,.0f} MB for {kept} checkpoints at most, "
            f"{corpus_bytes / 1e6:,.0f} MB for the encoded corpus; {_free(run_folder) / 1e6:,.0f} MB are free",
        }
        text = summary(run, data, parts, machine, Progress())
    return "\n".join([text, *(f"{name:<10} {line}" for name, line in lines.items()), "dry run: nothing was written"])


def _first_steps(parts: Parts) -> list[StepBatches]:
    """The first steps of the run, as it would take them."""
    steps = parts.loader.steps(Position())
    return [next(steps) for _ in range(TIMED_STEPS)]


def _fullest_step(config: TrainConfig, data: PreparedData) -> StepBatches:
    """A step whose every position is taken: memory and time cannot be larger."""
    longest = [data.tokenizers.tgt.unk_id] * (config.data.max_length - 1)
    pairs = PairList([(longest, longest)] * rows_per_step(config))
    return next(build_loader(config, data.tokenizers, pairs, None, ALONE).steps(Position()))


def _expected_time(config: TrainConfig, data: PreparedData, rate: float, tokens_per_step: float) -> str:
    """The shortest of the limits, as time; validations not counted."""
    limits = config.training
    epoch_tokens = data.train.num_target_tokens
    seconds = {
        "max_steps": (limits.max_steps or np.inf) * tokens_per_step / rate,
        "max_epochs": (limits.max_epochs or np.inf) * epoch_tokens / rate,
        "max_tokens": (limits.max_tokens or np.inf) / rate,
        "max_seconds": limits.max_seconds or np.inf,
    }
    nearest = min(seconds, key=lambda name: seconds[name])
    steps = seconds[nearest] * rate / tokens_per_step
    epochs = seconds[nearest] * rate / epoch_tokens
    return (
        f"{duration(seconds[nearest])} until {nearest} ends it, validations not counted: "
        f"about {steps:,.0f} steps, {epochs:,.1f} epochs"
    )


def _memory(device: torch.device) -> str:
    """Peak memory so far."""
    if device.type == "cuda":
        return f", {torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB at most"
    import resource

    return f", {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB resident at most"


def _free(folder: Path) -> int:
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    return shutil.disk_usage(existing).free
