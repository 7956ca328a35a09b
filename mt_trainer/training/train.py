"""The run, from a config to a scored model, in the order in which things happen. The file to read first."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mt_trainer.config import TrainConfig
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.decoding.translate import build_translator
from mt_trainer.errors import ExitCode
from mt_trainer.evaluation.evaluate import SetScores, evaluate_set, save_scores
from mt_trainer.evaluation.metrics import Metrics, build_metrics
from mt_trainer.evaluation.validation import Validator
from mt_trainer.files import EMPTY
from mt_trainer.machine import Machine, environment, set_up_machine
from mt_trainer.model import Transformer
from mt_trainer.objectives.building.check import check_objective
from mt_trainer.training.assembly import assemble
from mt_trainer.training.display import (
    ProgressDisplay,
    Sample,
    duration,
    expected_time,
    spread_samples,
    summary,
)
from mt_trainer.training.loading import load_run
from mt_trainer.training.milestones import Milestones, refuse_divergence
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window, per_token
from mt_trainer.training.run_folder import RunFolder, changed_environment
from mt_trainer.training.signals import stop_on_signals
from mt_trainer.training.step import train_step
from mt_trainer.training.teacher import load_teacher

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
        config: all settings.
        run_folder: where the run is written, or goes on.
        announce: told in single lines what happens before the first step and after the last.

    Raises:
        MtError: whatever a user can put right; before the run folder is made, nothing is written into it.
        SystemExit: on a signal before the first step or after the last, where there is nothing to save.
    """
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        check_objective(config)
        machine = set_up_machine(config.runtime)
        metrics = build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
        run = RunFolder.open(run_folder, config)
        teacher = load_teacher(config, machine)
        data = prepare_data(
            config, announce=announce, require_tokenizers=teacher.require_tokenizers if teacher else None
        )
        stack.enter_context(run.locked())
        parts = assemble(config, data, machine, teacher)
        learner, limits = parts.learner, config.training
        resumed = run.newest_checkpoint(announce)
        progress, window = (Progress(), Window()) if resumed is None else learner.restore(resumed, data)
        about = environment(machine) | ({"teacher": teacher.record()} if teacher else {})
        if resumed and (change := changed_environment(resumed.origin.environment, learner.environment)):
            announce(change)
        run.create(data.tokenizers, environment=about, data=data.record())
        announce(summary(run, data, parts, machine, progress))
        if progress.is_over(limits):
            announce("nothing is left to train: a limit was reached before")

        start, started = progress, time.perf_counter() - progress.seconds
        records = Records(run.path, log=resumed.origin.log if resumed else EMPTY, step=progress.step)
        with contextlib.closing(records), ProgressDisplay(progress, limits, data.train) as display:
            milestones = Milestones(
                run=run,
                data=data,
                learner=learner,
                teacher_forcing=parts.teacher_forcing,
                validator=_validator(config, data, parts.teacher_forcing.model, metrics, machine),
                records=records,
                device=machine.device,
                say=display.say,
                clock=lambda: time.perf_counter() - started,
            )
            saved_step = progress.step
            is_validated = resumed is not None and resumed.is_validated
            logged_tokens, logged_seconds = progress.num_tokens, progress.seconds
            with stop.deferred():
                for batches in parts.loader.steps(progress.position):
                    if progress.is_over(limits) or stop.exit_code is not None:
                        break
                    step, lr = progress.step + 1, parts.schedule(progress.step + 1)
                    result = train_step(
                        parts.teacher_forcing,
                        learner.optimizer,
                        batches,
                        step=step,
                        lr=lr,
                        clip_norm=config.optim.clip_norm,
                        seed=config.runtime.seed,
                        device=machine.device,
                        workers=parts.workers,
                    )
                    if learner.ema is not None:
                        learner.ema.update(step)
                    window.add(result)
                    progress = progress.after_step(
                        position=batches.after, num_tokens=batches.num_tokens, seconds=milestones.clock()
                    )
                    is_validated = False

                    if step == start.step + STEPS_BEFORE_ESTIMATE:
                        display.say(expected_time(progress, limits, data.train, since=start))
                    if step % limits.log_every_steps == 0:
                        sums = window.read()
                        refuse_divergence(sums, step)
                        line = per_token(sums) | {
                            "grad_norm": sums["grad_norm"] / sums["num_steps"],
                            "lr": lr,
                            "epoch": progress.position.epoch,
                            "num_tokens": progress.num_tokens,
                        }
                        parameters = parts.teacher_forcing.translation_loss.current.parameters
                        line |= {f"objective.{name}": value for name, value in parameters.items()}
                        rate = (progress.num_tokens - logged_tokens) / (progress.seconds - logged_seconds)
                        records.write(step, "train", line, {"seconds": progress.seconds, "tokens_per_second": rate})
                        display.log(progress, line, tokens_per_second=rate)
                        window, logged_tokens, logged_seconds = Window(), progress.num_tokens, progress.seconds
                    if step % limits.validate_every_steps == 0:
                        before = progress.seconds
                        progress = milestones.validate_and_save(progress, window)
                        saved_step, is_validated = step, True
                        logged_seconds += milestones.clock() - before  # the rate is that of training alone

                if not is_validated and stop.exit_code is None:
                    progress = milestones.validate_and_save(progress, window)
                    saved_step = progress.step
                if stop.exit_code is not None:
                    if saved_step != progress.step:
                        milestones.save(progress, window, dev=None)
                    display.say(
                        f"stopped by a signal after step {progress.step:,}; the same command goes on from there"
                    )
                    return Outcome(stop.exit_code, None)

            announce(
                f"trained {progress.step:,} steps on {progress.num_tokens:,} tokens in {duration(progress.seconds)}"
            )
            run.prune()  # a run that was killed after its last save, and before it had removed what is not wanted
            if limits.average_checkpoints:
                milestones.add_average(limits.average_checkpoints)
        return _final_scores(run, data, metrics, machine, announce)


def _validator(
    config: TrainConfig, data: PreparedData, model: Transformer, metrics: Metrics, machine: Machine
) -> Validator:
    """The judge of checkpoints: dev, with the search of the config."""
    return Validator(
        data.dev,
        data.tokenizers,
        build_translator(
            config.decoding, model=model, tokenizers=data.tokenizers, device=machine.device, seed=config.runtime.seed
        ),
        replace(metrics, moses_lang=None),  # slow, and no checkpoint is chosen by it
        batch_tokens=config.training.batch_tokens // config.training.accumulation,
        max_positions=model.max_positions,
    )


def _final_scores(
    run: RunFolder, data: PreparedData, metrics: Metrics, machine: Machine, announce: Callable[[str], None]
) -> Outcome:
    """Score the best checkpoint on dev and on every test set; the scores are saved in the run folder."""
    config = run.config
    best = load_run(run.path, device=machine.device)
    translator = build_translator(
        config.decoding,
        model=best.model,
        tokenizers=best.tokenizers,
        device=machine.device,
        seed=config.runtime.seed,
    )
    about = {"checkpoint": best.checkpoint_name, "decoding": config.decoding.model_dump(mode="json")}
    scores: list[SetScores] = []
    samples: tuple[Sample, ...] = ()
    for eval_set in (data.dev, *data.test.values()):
        result = evaluate_set(translator, metrics, eval_set, progress=eval_set.name)
        save_scores(result, run.path / "evaluation", about=about)
        scores.append(result)
        samples = spread_samples(eval_set, result.hypotheses, number=config.evaluation.num_samples)
    announce(f"scored {best.checkpoint_name}, the best on dev by {config.training.select_by}")
    return Outcome(ExitCode.DONE, best.checkpoint_name, tuple(scores), samples)
