"""`mt-train --dry-run`: everything is checked and tried, and nothing is left behind."""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mt_trainer.config import TrainConfig
from mt_trainer.data.corpus import Corpus
from mt_trainer.data.loader import Loader, PairList, Position, StepBatches
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.evaluation.metrics import build_metrics
from mt_trainer.machine import seed_everything, set_up_machine
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.optim import build_optimizer, build_schedule
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.display import duration, rows_per_step, summary
from mt_trainer.training.progress import Progress
from mt_trainer.training.run_folder import RunFolder, build_model
from mt_trainer.training.step import train_step

TIMED_STEPS = 5


def dry_run(config: TrainConfig, run_folder: Path) -> str:
    """Prepare the data in a temporary folder, take the largest step that can occur and a few ordinary ones.

    Returns:
        The run's summary, then speed, expected time, memory and disk needed.

    Raises:
        MtError: whatever would stop the run.
    """
    machine = set_up_machine(config.runtime)
    build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
    run = RunFolder.open(run_folder, config)
    with tempfile.TemporaryDirectory(prefix="mt_trainer-dry-run-") as temporary:
        runtime = config.runtime.model_copy(update={"cache_folder": temporary})
        data = prepare_data(config.model_copy(update={"runtime": runtime}), announce=lambda line: None)
        tokenizers = data.tokenizers
        seed_everything(config.runtime.seed)
        model = build_model(config, tokenizers).to(machine.device)
        vocabulary = {"vocab_size": tokenizers.tgt.vocab_size, "pad_id": tokenizers.tgt.pad_id}
        loss = TranslationLoss(**vocabulary, objective=build_objective(config.objective, **vocabulary))
        teacher_forcing = TeacherForcing(model, loss, machine.dtype).to(machine.device).train()
        optimizer = build_optimizer(config.optim, model)
        schedule = build_schedule(
            config.optim.schedule, d_model=config.model.d_model, max_steps=config.training.max_steps
        )
        seconds, tokens = [], []
        for step, batches in enumerate([_fullest_step(config, data), *_first_steps(config, data)], start=1):
            started = time.perf_counter()
            result = train_step(
                teacher_forcing,
                optimizer,
                batches,
                step=step,
                lr=schedule(step),
                clip_norm=config.optim.clip_norm,
                seed=config.runtime.seed,
                device=machine.device,
            )
            assert bool(result.is_finite), "the first steps of a fresh model are finite"
            seconds.append(time.perf_counter() - started)
            tokens.append(batches.num_tokens)
        rate = sum(tokens[1:]) / sum(seconds[1:])
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        copies = 3 + (config.training.ema_decay > 0)  # weights, two moments, and the average beside the raw weights
        kept = max(config.training.keep_checkpoints, config.training.average_checkpoints) + 2
        corpus_bytes = sum(file.stat().st_size for file in Path(temporary).rglob("*") if file.is_file())
        lines = {
            "largest": f"a step of {tokens[0]:,} target tokens took {seconds[0]:.2f} s" + _memory(machine.device),
            "speed": f"{rate:,.0f} target tokens/s over {TIMED_STEPS} steps",
            "expected": _expected_time(config, data, rate, sum(tokens[1:]) / TIMED_STEPS),
            "disk": f"{weights * copies * kept / 1e6:,.0f} MB for {kept} checkpoints at most, "
            f"{corpus_bytes / 1e6:,.0f} MB for the encoded corpus; {_free(run_folder) / 1e6:,.0f} MB are free",
        }
        text = summary(run, data, model, loss, machine, Progress())
    return "\n".join([text, *(f"{name:<10} {line}" for name, line in lines.items()), "dry run: nothing was written"])


def _loader(config: TrainConfig, data: PreparedData, corpus: Corpus | PairList) -> Loader:
    special = data.tokenizers.tgt
    return Loader(
        corpus,
        row_length=config.data.max_length,
        rows_per_step=rows_per_step(config),
        accumulation=config.training.accumulation,
        seed=config.runtime.seed,
        pad_id=special.pad_id,
        bos_id=special.bos_id,
        eos_id=special.eos_id,
    )


def _first_steps(config: TrainConfig, data: PreparedData) -> list[StepBatches]:
    """The first steps of the run, as it would take them."""
    steps = _loader(config, data, data.train).steps(Position())
    return [next(steps) for _ in range(TIMED_STEPS)]


def _fullest_step(config: TrainConfig, data: PreparedData) -> StepBatches:
    """A step whose every position is taken: memory and time cannot be larger."""
    longest = [data.tokenizers.tgt.unk_id] * (config.data.max_length - 1)
    pairs = PairList([(longest, longest)] * rows_per_step(config))
    return next(_loader(config, data, pairs).steps(Position()))


def _expected_time(config: TrainConfig, data: PreparedData, rate: float, tokens_per_step: float) -> str:
    """The shortest of the limits, as time; validations not counted."""
    limits = config.training
    epoch_tokens = float(np.sum(data.train.tgt_lengths, dtype=np.int64) + data.train.num_pairs)
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
