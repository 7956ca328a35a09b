"""When a run has diverged.

A step whose loss or gradient is not finite is skipped: weights, moments, the average of the weights and what the
objective remembers stay as they were. The step counts, its data is consumed, and the learning rate goes on: it is a
function of the step. A run has diverged when

* more than `training.max_skipped_steps` of its steps were not finite, or
* the perplexity over the steps since the last log line (those skipped left out) is more than
  `training.max_ppl_ratio` times what it was at the last validation, or
* the same is true of the perplexity on dev, or it is not finite.

The perplexity is that of the true NLL, whatever the objective is, so that objectives that change do not matter. The
weights of a checkpoint with scores are therefore never those of a run that has diverged by these rules.
Nothing here waits for the device but `DivergenceWatch.look`, which is called where the run waits for it anyway.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from mt_trainer.config.training import TrainingConfig
from mt_trainer.data.loader import Position
from mt_trainer.errors import DivergedError, Problem
from mt_trainer.objectives.loss_sums import per_token
from mt_trainer.training.progress import Progress, Stretch
from mt_trainer.training.records import Records
from mt_trainer.training.step import StepResult

REMEDY = (
    "a lower optim.schedule.peak_lr, a longer warmup_steps or runtime.precision=fp32, in another run folder, "
    "is what helps most often"
)


@dataclass(frozen=True)
class Taken:
    """A step that was taken or skipped, its data and its numbers, which stay on the device."""

    step: int
    stretch: Stretch
    result: StepResult


@dataclass(frozen=True)
class Divergence:
    """Why a run cannot go on as it is.

    Attributes:
        step: where it showed.
        reason: a sentence without its full stop.
        left_out: the data that a run that goes back leaves out.
        taken: the step itself; None where this process took none.
    """

    step: int
    reason: str
    left_out: tuple[Stretch, ...]
    taken: Taken | None


class DivergenceWatch:
    """Looks at the numbers of a run.

    Args:
        limits: the section `training`.
        records: where skipped steps are written.
        say: shows a line.
    """

    def __init__(self, limits: TrainingConfig, records: Records, say: Callable[[str], None]) -> None:
        self._limits, self._records, self._say = limits, records, say
        self._unread: list[Taken] = []
        self._last: Taken | None = None

    def add(self, taken: Taken) -> None:
        """One more step."""
        self._unread.append(taken)
        self._last = taken

    def look(
        self, progress: Progress, sums: dict[str, float], *, is_log_line: bool
    ) -> tuple[Progress, Divergence | None]:
        """Record the steps that were skipped since the last look, and judge the run. This waits for the device.

        Args:
            progress: after the last step.
            sums: of the window.
            is_log_line: whether the window ends here; only then its perplexity is judged.

        Returns:
            The progress with what was seen, and the divergence if the run has diverged.
        """
        unread, self._unread = self._unread, []
        flags = torch.stack([taken.result.is_finite for taken in unread]).tolist() if unread else []
        for taken, is_finite in zip(unread, flags, strict=True):
            if is_finite:
                continue
            progress = progress.after_skipping(taken.stretch)
            number, borne = len(progress.skipped), self._limits.max_skipped_steps
            self._records.write(taken.step, "skipped", asdict(taken.stretch) | {"number": number}, {})
            if number > borne:
                before = f", nor were those of {borne} step{'s' * (borne > 1)} before it" if borne else ""
                reason = f"the loss or gradient of step {taken.step:,} is not finite{before}"
                return progress, Divergence(taken.step, reason, progress.skipped, taken)
            self._say(f"step {taken.step:,} is skipped: its loss or gradient is not finite ({number} of {borne} borne)")
        if not is_log_line:
            return progress, None
        nll = per_token(sums)["nll"] if sums["num_steps"] else None
        if nll is not None and self._is_explosion(nll, progress.good_nll):
            reason = f"the training perplexity up to step {progress.step:,} is {_ppl(nll)}, "
            reason += f"before the last validation {_ppl(progress.good_nll or 0.0)}"
            window = Stretch(progress.logged, progress.position)
            return progress, Divergence(progress.step, reason, (window,), self._last)
        return progress.after_log_line(nll), None

    def judge_dev(self, progress: Progress, nll: float) -> Divergence | None:
        """The divergence that an NLL on dev shows, if it shows one; all data since the checkpoint is to blame then."""
        if math.isfinite(nll) and not self._is_explosion(nll, progress.dev_nll):
            return None
        reason = f"the perplexity on dev after step {progress.step:,} is {_ppl(nll)}"
        if progress.dev_nll is not None:
            reason += f", at the validation before it was {_ppl(progress.dev_nll)}"
        return Divergence(progress.step, reason, (Stretch(Position(), progress.position),), self._last)

    def _is_explosion(self, nll: float, good_nll: float | None) -> bool:
        ratio = self._limits.max_ppl_ratio
        return ratio is not None and good_nll is not None and not nll - good_nll <= math.log(ratio)


def require_finite(result: StepResult, step: int) -> None:
    """Stop a trial whose step is not finite.

    Raises:
        DivergedError: MT120.
    """
    if not bool(result.is_finite):
        message = f"the loss or gradient of step {step:,} is not finite"
        raise DivergedError(Problem("MT120", message, help=REMEDY))


def _ppl(nll: float) -> str:
    return f"{math.exp(nll):.4g}" if not nll > 700 else f"e^{nll:.0f}"
