"""The run, from a config to a scored model, in the order in which things happen. The file to read first."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mt_trainer.config import TrainConfig
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.decoding.translate import build_translator, require_precision
from mt_trainer.distributed.joining import joined
from mt_trainer.distributed.launch import find_launch
from mt_trainer.errors import ExitCode
from mt_trainer.evaluation.evaluate import SetScores, evaluate_set, save_scores
from mt_trainer.evaluation.metrics import Metrics, build_metrics
from mt_trainer.files import EMPTY
from mt_trainer.machine import Machine, environment, set_up_machine
from mt_trainer.objectives.building.check import check_objective
from mt_trainer.training.assembly import assemble, build_floor, require_rows
from mt_trainer.training.display import (
    ProgressDisplay,
    Sample,
    duration,
    expected_time,
    spread_samples,
    summary,
)
from mt_trainer.training.diverging.divergence import DivergenceWatch, Taken
from mt_trainer.training.diverging.recovery import Recovery, Route
from mt_trainer.training.judging import build_meter, build_validator
from mt_trainer.training.loading import load_run
from mt_trainer.training.milestones import Milestones
from mt_trainer.training.preflight import require_room
from mt_trainer.training.progress import Progress, Stretch
from mt_trainer.training.records import NoRecords, Records, Window
from mt_trainer.training.run_folder import RunFolder, changed_environment
from mt_trainer.training.signals import stop_on_signals
from mt_trainer.training.step import train_step
from mt_trainer.training.step_log import StepLog
from mt_trainer.training.teacher import load_teacher

STEPS_BEFORE_ESTIMATE = 10
"""Steps after which the expected time is told."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        exit_code: DONE, or that of the signal that stopped it.
        checkpoint: the one that the scores are of; None when a signal stopped the run.
        scores: of dev and of every test set, in that order; empty when a signal stopped the run, and on every rank but
            the main one.
        samples: translations of the last of these sets, evenly spread.
    """

    exit_code: ExitCode
    checkpoint: str | None
    scores: tuple[SetScores, ...] = ()
    samples: tuple[Sample, ...] = ()


def train(config: TrainConfig, run_folder: Path, *, announce: Callable[[str], None]) -> Outcome:
    """Train, or go on training, until a limit is reached; then score the best checkpoint.

    Where a launcher started several processes, all of them take every step together, each with its share of the
    micro-batches. The main rank alone prepares the data, writes, judges and speaks; the others wait for it.

    Args:
        config: all settings.
        run_folder: where the run is written, or goes on.
        announce: told in single lines what happens before the first step and after the last.

    Raises:
        MtError: whatever a user can put right; before the run folder is made, nothing is written into it.
        SystemExit: on a signal before the first step or after the last, where there is nothing to save.
    """
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        launch = find_launch()
        machine = set_up_machine(config.runtime, local_rank=launch.local_rank)
        ranks = stack.enter_context(joined(launch, machine.device, timeout_seconds=config.runtime.rank_timeout_seconds))
        announce = announce if ranks.is_main else _say_nothing
        with ranks.main_first():
            require_rows(config, ranks)
            check_objective(config)
            require_precision(config.decoding, machine.device)
            metrics = build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
            run = RunFolder.open(run_folder, config)
            require_room(config, run_folder)
            teacher = load_teacher(config, machine)
            data = prepare_data(
                config, announce=announce, require_tokenizers=teacher.require_tokenizers if teacher else None
            )
        parts = assemble(config, data, machine, teacher, ranks)
        learner, limits = parts.learner, config.training
        floor = build_floor(config, data.tokenizers, machine, ranks)
        ranks.require_same(learner.identity(config, data))
        with ranks.main_first():
            if ranks.is_main:
                stack.enter_context(run.locked())
            resumed = run.newest_checkpoint(announce)
            progress, window = (Progress(), Window()) if resumed is None else learner.restore(resumed, data)
            if resumed and (change := changed_environment(resumed.origin.environment, learner.environment)):
                announce(change)
            about = environment(machine) | {"world_size": ranks.world_size}
            about |= {"matmul_operations_per_second": round(floor.rate)}
            about |= {"teacher": teacher.record()} if teacher else {}
            if ranks.is_main:
                run.create(data.tokenizers, environment=about, data=data.record())
        ranks.require_same({"checkpoint": resumed.name if resumed else None})
        announce(summary(run, data, parts, machine, floor, progress))
        if progress.is_over(limits):
            announce("nothing is left to train: a limit was reached before")

        start, started = progress, time.perf_counter() - progress.seconds
        log_before = resumed.origin.log if resumed else EMPTY
        records = Records(run.path, log=log_before, step=progress.step) if ranks.is_main else NoRecords()
        shown = ProgressDisplay(progress, limits, data.train, is_silent=not ranks.is_main)
        with contextlib.closing(records), shown as display:
            watch = DivergenceWatch(limits, records, display.say)
            recovery = Recovery(run, data, parts, records, ranks, about, display.say)
            milestones = Milestones(
                run=run,
                data=data,
                learner=learner,
                teacher_forcing=parts.teacher_forcing,
                validator=build_validator(config, data, parts.teacher_forcing.model, metrics, machine),
                records=records,
                watch=watch,
                device=machine.device,
                ranks=ranks,
                say=display.say,
                clock=lambda: time.perf_counter() - started,
            )
            log = StepLog(window, progress, floor, records, display)
            route = Route(parts.loader, progress.position, device=machine.device)
            saved_step, is_judged = progress.step, resumed is not None and resumed.is_validated

            def agreed() -> tuple[int, ...]:
                """Whether a limit is reached and which signal came, on any rank, as things stand."""
                return ranks.largest(progress.is_over(limits), stop.exit_code or 0)

            with stop.deferred():
                is_over, signal_code = agreed()
                while not signal_code and not (is_over and is_judged):
                    is_log_line = False
                    if not is_over:
                        batches, step = next(route), progress.step + 1
                        if progress.is_left_out:
                            progress = progress.passing(batches.after)
                            is_over, signal_code = agreed()
                            continue
                        lr = parts.schedule(step)
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
                            ranks=ranks,
                        )
                        if learner.ema is not None:
                            learner.ema.update(step, is_finite=result.is_finite)
                        log.add(result, batches.lengths)
                        watch.add(Taken(step, Stretch(progress.position, batches.after), result))
                        progress = progress.after_step(
                            position=batches.after, num_tokens=batches.num_tokens, seconds=milestones.clock()
                        )
                        is_judged, is_log_line = False, step % limits.log_every_steps == 0
                        if step == start.step + STEPS_BEFORE_ESTIMATE:
                            display.say(expected_time(progress, limits, data.train, since=start))
                        is_over, signal_code = agreed()

                    divergence = None
                    is_end = is_over and not signal_code
                    is_validation = is_end or progress.step % limits.validate_every_steps == 0
                    if is_log_line or is_validation or signal_code:
                        sums = log.window.read()
                        progress, divergence = watch.look(progress, sums, is_log_line=is_log_line)
                        if is_log_line and divergence is None:
                            parameters = parts.teacher_forcing.translation_loss.current.parameters
                            log.write(progress, sums, lr=lr, parameters=parameters)
                    if is_validation and divergence is None:
                        before = progress.seconds
                        progress, divergence = milestones.validate_and_save(progress, log.window)
                        saved_step, is_judged = progress.step, True
                        log.leave_out(milestones.clock() - before)
                    if divergence is not None:
                        progress, window = recovery.recover(divergence, progress)
                        route.go_back(progress.position)
                        log.go_on(window, progress)
                        saved_step, is_judged = progress.step, True
                    if is_validation or divergence is not None:  # patience, or the time that it took
                        is_over, signal_code = agreed()

                (signal_code,) = ranks.largest(stop.exit_code or signal_code)
                if signal_code:
                    if saved_step != progress.step:
                        milestones.save(progress, log.window, dev=None)
                    display.say(
                        f"stopped by a signal after step {progress.step:,}; the same command goes on from there"
                    )
                    return Outcome(ExitCode(signal_code), None)
            if stop.exit_code is not None:  # it came after the last look
                raise SystemExit(int(stop.exit_code))

            announce(
                f"trained {progress.step:,} steps on {progress.num_tokens:,} tokens in {duration(progress.seconds)}"
            )
            if ranks.is_main:
                run.prune()  # killed after its last save, a run has not yet removed what is not wanted
            if limits.average_checkpoints:
                milestones.add_average(limits.average_checkpoints)
        return _final_scores(run, data, metrics, machine, announce) if ranks.is_main else Outcome(ExitCode.DONE, None)


def _say_nothing(line: str) -> None:
    """What a rank announces that leaves it to the main one."""


def _final_scores(
    run: RunFolder, data: PreparedData, metrics: Metrics, machine: Machine, announce: Callable[[str], None]
) -> Outcome:
    """Score the best checkpoint on dev and on every test set; the scores are saved in the run folder."""
    config = run.config
    best = load_run(run.path, device=machine.device)
    best.warn(announce)
    translator = build_translator(
        config.decoding,
        model=best.model,
        tokenizers=best.tokenizers,
        device=machine.device,
        seed=config.runtime.seed,
    )
    meter = build_meter(best, config, machine)
    about = {**best.about, "decoding": config.decoding.model_dump(mode="json")}
    scores: list[SetScores] = []
    samples: tuple[Sample, ...] = ()
    for eval_set in (data.dev, *data.test.values()):
        result = evaluate_set(
            translator,
            metrics,
            eval_set,
            likelihood=meter.measure(eval_set),
            made_by=best.hashes,
            progress=eval_set.name,
        )
        save_scores(result, run.path / "evaluation", about=about)
        scores.append(result)
        samples = spread_samples(eval_set, result.hypotheses, number=config.evaluation.num_samples)
    announce(f"scored {best.checkpoint_name}, the best on dev by {config.training.select_by}")
    return Outcome(ExitCode.DONE, best.checkpoint_name, tuple(scores), samples)
