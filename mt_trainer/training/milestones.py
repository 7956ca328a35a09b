"""What happens every so many steps: the model is judged on dev, the result recorded and told, a checkpoint saved."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mt_trainer.data.prepare import PreparedData
from mt_trainer.distributed.ranks import Ranks
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.evaluation.evaluate import as_lines
from mt_trainer.evaluation.validation import Validation, Validator
from mt_trainer.files import room, write_whole
from mt_trainer.objectives.loss_sums import per_token
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.checkpoints.checkpoint import save_checkpoint
from mt_trainer.training.checkpoints.parameters import load_parameters
from mt_trainer.training.checkpoints.retention import average_newest
from mt_trainer.training.diverging.divergence import Divergence, DivergenceWatch
from mt_trainer.training.learner import Learner
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window
from mt_trainer.training.run_folder import RunFolder


@dataclass(frozen=True)
class Milestones:
    """Validates and saves a run. All ranks call it; the main one does the work, and the others learn what came out.

    Attributes:
        say: shows a line.
        clock: seconds of training so far, over all resumptions.
    """

    run: RunFolder
    data: PreparedData
    learner: Learner
    teacher_forcing: TeacherForcing
    validator: Validator
    records: Records
    watch: DivergenceWatch
    device: torch.device
    ranks: Ranks
    say: Callable[[str], None]
    clock: Callable[[], float]

    def validate_and_save(self, progress: Progress, window: Window) -> tuple[Progress, Divergence | None]:
        """Judge the weights of this step, and save a checkpoint with the scores.

        Returns:
            The progress with the validation counted and the clock moved on; or the divergence that dev shows, and then
            nothing is recorded or saved.
        """
        judged: list[Validation] = []  # on the main rank alone

        def judge() -> dict[str, float]:
            self.teacher_forcing.translation_loss.start_step(progress.step)
            with self.learner.with_evaluated_weights():
                judged.append(self.validator.validate(self.teacher_forcing, self.device))
            return dev_metrics(judged[0])

        dev = self.ranks.from_main(judge)
        divergence = self.watch.judge_dev(progress, dev["nll"])
        if divergence is not None:
            return progress, divergence
        score = dev["bleu"] if self._select_by == "bleu" else -dev["nll"]
        after = progress.after_validation(score, dev_nll=dev["nll"])
        self.records.write(after.step, "dev", dev, {"seconds": self.clock()})
        for validation in judged:
            self._save_translations(validation, after.step)
        self.say(f"dev  step {after.step:>7,}  {_scores(dev)}{'  (best)' if after.is_best else ''}")
        after = after.at(self.clock())
        self.save(after, window, dev)
        return after, None

    def save(self, progress: Progress, window: Window, dev: dict[str, float] | None) -> None:
        """Save a checkpoint of this step; `dev` are its scores, None when it was not validated."""
        with self.ranks.main_first():  # the others wait, however long it takes
            if self.ranks.is_main:
                self.learner.save(self.run, self.data, self.records, progress=progress, window=window, dev=dev)

    def add_average(self, number: int) -> None:
        """Average the newest checkpoints, judge the result and save it beside them.

        One alone is not averaged; an average whose NLL on dev is not finite is not saved.
        """
        if not self.ranks.is_main:
            return
        weights, names = average_newest(self.run.checkpoints, number)
        if len(names) < 2:
            self.say(f"no average: {len(names)} validated checkpoint{'s' if len(names) != 1 else ''}, 2 are needed")
            return
        step = int(names[-1].rpartition("_")[2])
        load_parameters(self.learner.model, weights)
        self.teacher_forcing.translation_loss.start_step(step)
        dev = dev_metrics(self.validator.validate(self.teacher_forcing, self.device))
        if not math.isfinite(dev["nll"]):
            self.say(f"no average: that of {len(names)} checkpoints has no finite perplexity on dev")
            return
        state = {"step": step, "averaged": names, "dev": dev}
        origin = self.learner.origin(self.run, self.data, self.records)
        save_checkpoint(self.run.checkpoints, "average", model=weights, optimizer={}, state=state, origin=origin)
        asked = "" if len(names) == number else f" (of {number} asked for)"
        self.say(f"dev  average of {len(names)} checkpoints{asked}  {_scores(dev)}")

    @property
    def _select_by(self) -> str:
        return self.run.config.training.select_by

    def _save_translations(self, validation: Validation, step: int) -> None:
        assert validation.scores is not None, "what has no scores is a divergence"
        path, lines = self.run.translations / f"step_{step:08d}.txt", as_lines(validation.scores.hypotheses)
        try:
            path.parent.mkdir(exist_ok=True)
            write_whole(path, lines)
        except OSError as error:
            why = f"{error.strerror or error} ({room(path, len(lines))})"
            message = f"the translations of dev cannot be written: {why}"
            help_ = "make room, or make the folder writable; the same command goes on from the last checkpoint"
            raise CheckpointError(Problem("MT103", message, where=str(path), help=help_)) from error


def dev_metrics(validation: Validation) -> dict[str, float]:
    """What the log and the checkpoint say of a validation; BLEU and chrF, where it has them, with all their digits."""
    scores = validation.scores.scores if validation.scores else ()
    return per_token(validation.sums.as_numbers()) | {score.name: score.value for score in scores}


def _scores(dev: dict[str, float]) -> str:
    ppl = f"{dev['ppl']:.2f}" if dev["ppl"] < 1e6 else f"{dev['ppl']:.4g}"
    return (
        f"nll {dev['nll']:.4f}  ppl {ppl}  accuracy {dev['accuracy']:.3f}  "
        f"BLEU {dev['bleu']:.2f}  chrF {dev['chrf']:.2f}"
    )
