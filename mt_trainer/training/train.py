"""The run, from a config to a scored model, in the order in which things happen. The file to read first."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mt_trainer.config import TrainConfig
from mt_trainer.data.loader import Loader
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.decoding.translate import build_translator
from mt_trainer.errors import DivergedError, ExitCode, Problem
from mt_trainer.evaluation.evaluate import SetScores, as_lines, evaluate_set, save_scores
from mt_trainer.evaluation.metrics import build_metrics
from mt_trainer.evaluation.validation import Validation, Validator
from mt_trainer.machine import Machine, environment, seed_everything, set_up_machine
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.optim import (
    ExponentialMovingAverage,
    build_optimizer,
    build_schedule,
)
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.checkpoint import load_parameters, save_checkpoint
from mt_trainer.training.display import (
    ProgressDisplay,
    Sample,
    duration,
    expected_time,
    rows_per_step,
    spread_samples,
    summary,
)
from mt_trainer.training.learner import Learner
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window, per_token
from mt_trainer.training.retention import average_newest
from mt_trainer.training.run_folder import RunFolder, build_model, load_run
from mt_trainer.training.signals import stop_on_signals
from mt_trainer.training.step import train_step

STEPS_BEFORE_ESTIMATE = 10
"""Steps after which the expected time is told."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        exit_code: DONE, or that of the signal that stopped it.
        checkpoint: the one that the scores are of; None when a signal stopped the run.
        scores: of dev and of every test set, in that order; empty when a signal stopped the run.
        samples: translations of the last of these sets, evenly spread.
    """

    exit_code: ExitCode
    checkpoint: str | None
    scores: tuple[SetScores, ...] = ()
    samples: tuple[Sample, ...] = ()


def train(config: TrainConfig, run_folder: Path, *, announce: Callable[[str], None]) -> Outcome:
    """Train, or go on training, until a limit is reached; then score the best checkpoint.

    Args:
        announce: told in single lines what happens before the first step and after the last.

    Raises:
        MtError: whatever a user can put right; before the run folder is made, nothing is written into it.
    """
    machine = set_up_machine(config.runtime)
    metrics = build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
    run = RunFolder.open(run_folder, config)
    data = prepare_data(config, announce=announce)
    tokenizers = data.tokenizers

    seed_everything(config.runtime.seed)
    model = build_model(config, tokenizers).to(machine.device)
    vocabulary = {"vocab_size": tokenizers.tgt.vocab_size, "pad_id": tokenizers.tgt.pad_id}
    loss = TranslationLoss(**vocabulary, objective=build_objective(config.objective, **vocabulary))
    teacher_forcing = TeacherForcing(model, loss, machine.dtype).to(machine.device)
    optimizer = build_optimizer(config.optim, model)
    schedule = build_schedule(config.optim.schedule, d_model=config.model.d_model, max_steps=config.training.max_steps)
    decay = config.training.ema_decay
    ema = ExponentialMovingAverage(model, decay) if decay else None
    learner = Learner(model, optimizer, ema)
    translator = build_translator(
        config.decoding, model=model, tokenizers=tokenizers, device=machine.device, seed=config.runtime.seed
    )
    validator = Validator(
        data.dev,
        tokenizers,
        translator,
        replace(metrics, moses_lang=None),  # slow, and no checkpoint is chosen by it
        batch_tokens=config.training.batch_tokens // config.training.accumulation,
        max_positions=model.max_positions,
    )
    loader = Loader(
        data.train,
        row_length=config.data.max_length,
        rows_per_step=rows_per_step(config),
        accumulation=config.training.accumulation,
        seed=config.runtime.seed,
        pad_id=tokenizers.tgt.pad_id,
        bos_id=tokenizers.tgt.bos_id,
        eos_id=tokenizers.tgt.eos_id,
    )

    run.create(tokenizers, environment=environment(machine), data=data.record())
    resumed = run.newest_checkpoint(announce)
    progress, window = Progress(), Window()
    if resumed is not None:
        progress, window = learner.restore(resumed, data)
    announce(summary(run, data, model, loss, machine, progress))

    limits = config.training
    records = Records(run.path, metrics_bytes=resumed.state["metrics_bytes"] if resumed else 0, step=progress.step)
    resumed_progress, started = progress, time.perf_counter() - progress.seconds
    logged_tokens, logged_seconds = progress.num_tokens, progress.seconds
    validated_step = resumed.step if resumed is not None and resumed.state["dev"] else None
    teacher_forcing.train()
    with stop_on_signals() as stop, contextlib.closing(records), ProgressDisplay() as display:
        for batches in loader.steps(progress.position):
            if progress.is_over(limits) or stop.exit_code is not None:
                break
            step, lr = progress.step + 1, schedule(progress.step + 1)
            result = train_step(
                teacher_forcing,
                optimizer,
                batches,
                step=step,
                lr=lr,
                clip_norm=config.optim.clip_norm,
                seed=config.runtime.seed,
                device=machine.device,
            )
            if ema is not None:
                ema.update(step)
            window.add(result)
            progress = progress.after_step(
                position=batches.after, num_tokens=batches.num_tokens, seconds=time.perf_counter() - started
            )

            if step == resumed_progress.step + STEPS_BEFORE_ESTIMATE:
                display.say(expected_time(progress, limits, since=resumed_progress))
            if step % limits.log_every_steps == 0:
                sums = window.read()
                _refuse_divergence(sums, step)
                line = per_token(sums) | {
                    "grad_norm": sums["grad_norm"] / sums["num_steps"],
                    "lr": lr,
                    "epoch": progress.position.epoch,
                    "num_tokens": progress.num_tokens,
                }
                rate = (progress.num_tokens - logged_tokens) / (progress.seconds - logged_seconds)
                records.write(step, "train", line, {"seconds": progress.seconds, "tokens_per_second": rate})
                fraction = progress.fraction_done(limits)
                left = progress.seconds * (1 - fraction) / fraction if fraction else float("inf")
                display.log(progress, line, tokens_per_second=rate, fraction=fraction, seconds_left=left)
                window, logged_tokens, logged_seconds = Window(), progress.num_tokens, progress.seconds

            if step % limits.validate_every_steps == 0 or progress.is_over(limits):
                _refuse_divergence(window.read(), step)
                with learner.with_evaluated_weights():
                    validation = validator.validate(teacher_forcing, machine.device)
                dev = _dev_metrics(validation)
                progress = progress.after_validation(dev["bleu"] if limits.select_by == "bleu" else -dev["nll"])
                records.write(step, "dev", dev, {"seconds": time.perf_counter() - started})
                _save_translations(run, validation, step)
                display.say(_validation_line(step, dev, is_best=progress.is_best))
                before, progress = progress.seconds, progress.at(time.perf_counter() - started)
                learner.save(run, data, records, progress=progress, window=window, dev=dev)
                validated_step = step
                logged_seconds += progress.seconds - before  # the rate is that of training alone

        if stop.exit_code is not None and not progress.is_over(limits):
            if validated_step != progress.step and progress.step:
                learner.save(run, data, records, progress=progress, window=window, dev=None)
            display.say(f"stopped by a signal after step {progress.step:,}; the same command goes on from there")
            return Outcome(stop.exit_code, None)

    announce(f"trained {progress.step:,} steps on {progress.num_tokens:,} tokens in {duration(progress.seconds)}")
    if limits.average_checkpoints:
        _add_average(run, model, teacher_forcing, validator, data, machine, announce)
    return evaluate_run(run.path, config, data, machine, announce=announce)


def evaluate_run(
    run_folder: Path, config: TrainConfig, data: PreparedData, machine: Machine, *, announce: Callable[[str], None]
) -> Outcome:
    """Score the best checkpoint on dev and on every test set; the scores are saved in the run folder."""
    best = load_run(run_folder, device=machine.device)
    translator = build_translator(
        config.decoding,
        model=best.model,
        tokenizers=best.tokenizers,
        device=machine.device,
        seed=config.runtime.seed,
    )
    metrics = build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
    about = {"checkpoint": best.checkpoint_name, "decoding": config.decoding.model_dump(mode="json")}
    scores: list[SetScores] = []
    samples: tuple[Sample, ...] = ()
    for eval_set in (data.dev, *data.test.values()):
        result = evaluate_set(translator, metrics, eval_set, progress=eval_set.name)
        save_scores(result, run_folder / "evaluation", about=about)
        scores.append(result)
        samples = spread_samples(eval_set, result.hypotheses, number=config.evaluation.num_samples)
    announce(f"scored {best.checkpoint_name}, the best on dev by {config.training.select_by}")
    return Outcome(ExitCode.DONE, best.checkpoint_name, tuple(scores), samples)


def _add_average(
    run: RunFolder,
    model: torch.nn.Module,
    teacher_forcing: TeacherForcing,
    validator: Validator,
    data: PreparedData,
    machine: Machine,
    announce: Callable[[str], None],
) -> None:
    """Average the newest checkpoints, validate the result and save it beside them."""
    weights, names = average_newest(run.checkpoints, run.config.training.average_checkpoints)
    load_parameters(model, weights)
    dev = _dev_metrics(validator.validate(teacher_forcing, machine.device))
    state = {"step": int(names[-1].rpartition("_")[2]), "averaged": names, "dev": dev}
    state["tokenizer"] = data.tokenizers.content_hash
    save_checkpoint(run.checkpoints, "average", model=weights, optimizer={}, state=state)
    scores = f"nll {dev['nll']:.4f}  BLEU {dev['bleu']:.2f}  chrF {dev['chrf']:.2f}"
    announce(f"dev  average of {len(names)} checkpoints: {scores}")


def _dev_metrics(validation: Validation) -> dict[str, float]:
    """What the log and the checkpoint say of a validation; BLEU and chrF with all their digits."""
    sums = {name: float(value) for name, value in validation.sums._asdict().items() if value is not None}
    return per_token(sums) | {score.name: score.value for score in validation.scores.scores}


def _validation_line(step: int, dev: dict[str, float], *, is_best: bool) -> str:
    scores = f"nll {dev['nll']:.4f}  ppl {dev['ppl']:.2f}  accuracy {dev['accuracy']:.3f}  BLEU {dev['bleu']:.2f}"
    return f"dev  step {step:>7,}  {scores}  chrF {dev['chrf']:.2f}{'  (best)' if is_best else ''}"


def _save_translations(run: RunFolder, validation: Validation, step: int) -> None:
    run.translations.mkdir(exist_ok=True)
    (run.translations / f"step_{step:08d}.txt").write_bytes(as_lines(validation.scores.hypotheses))


def _refuse_divergence(sums: dict[str, float], step: int) -> None:
    """Stop a run whose loss or gradient was not finite; the weights have not seen it.

    Raises:
        DivergedError: MT120.
    """
    if sums.get("num_skipped"):
        message = f"{sums['num_skipped']:.0f} steps before step {step:,} had a loss or gradient that is not finite"
        help_ = "lower optim.schedule.peak_lr, lengthen warmup_steps, or set runtime.precision to fp32"
        raise DivergedError(Problem("MT120", message, help=f"{help_}; the last checkpoint is intact"))
