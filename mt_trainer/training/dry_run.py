"""`mt-train --dry-run`: everything is checked and tried, and nothing is left behind."""

import shutil
import time
from pathlib import Path

import numpy as np

from mt_trainer.config import TrainConfig
from mt_trainer.data.loader import PairList, Position, StepBatches
from mt_trainer.data.prepare import PreparedData
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.training.assembly import Parts, build_loader, rows_per_step
from mt_trainer.training.display import duration
from mt_trainer.training.diverging.divergence import require_finite
from mt_trainer.training.trial import peak_memory, trial_of

TIMED_STEPS = 5


def dry_run(config: TrainConfig, run_folder: Path) -> str:
    """Prepare the data in a temporary folder, take the largest step that can occur and a few ordinary ones.

    Returns:
        The run's summary, then speed, expected time, memory and disk needed.

    Raises:
        MtError: whatever would stop the run.
    """
    with trial_of(config, run_folder, what="a dry run") as trial:
        data, parts = trial.data, trial.parts
        seconds, tokens, floor_seconds = [], [], []
        for step, batches in enumerate([_fullest_step(config, data), *_first_steps(parts)], start=1):
            started = time.perf_counter()
            require_finite(trial.take_step(step, batches), step)
            seconds.append(time.perf_counter() - started)
            tokens.append(batches.num_tokens)
            floor_seconds.append(trial.floor.seconds(batches.lengths))
        rate = sum(tokens[1:]) / sum(seconds[1:])
        mfu = sum(floor_seconds[1:]) / sum(seconds[1:])
        weights = sum(p.numel() * p.element_size() for p in parts.teacher_forcing.model.parameters())
        copies = 3 + (config.training.ema_decay > 0)  # weights, two moments, and the average beside the raw weights
        # beside those kept: the best, one that is being written, and the average
        kept = max(config.training.keep_checkpoints, config.training.average_checkpoints) + 3
        corpus_bytes = sum(file.stat().st_size for file in trial.folder.rglob("*") if file.is_file())
        lines = {
            "largest": f"a step of {tokens[0]:,} target tokens took {seconds[0]:.2f} s, "
            + peak_memory(trial.machine.device),
            "speed": f"{rate:,.0f} target tokens/s over {TIMED_STEPS} steps, mfu {100 * mfu:.0f} %",
            "expected": _expected_time(config, data, rate, sum(tokens[1:]) / TIMED_STEPS),
            "disk": f"{weights * copies * kept / 1e6:,.0f} MB for {kept} checkpoints at most, "
            f"{corpus_bytes / 1e6:,.0f} MB for the encoded corpus; {_free(run_folder) / 1e6:,.0f} MB are free",
        }
    rows = (f"{name:<10} {line}" for name, line in lines.items())
    return "\n".join([trial.summary, *rows, "dry run: nothing was written"])


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


def _free(folder: Path) -> int:
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    return shutil.disk_usage(existing).free
