"""Where a run stands: the counters that a resumed run needs to go on as if it had never stopped."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from mt_trainer.config.training import TrainingConfig
from mt_trainer.data.loader import Position


@dataclass(frozen=True)
class Stretch:
    """Steps of the data that follow each other: from where it stood at `start` to `end`."""

    start: Position
    end: Position


@dataclass(frozen=True)
class Progress:
    """Counters of a run.

    Attributes:
        step: optimizer steps taken.
        position: where the data stands.
        num_tokens: target tokens of all steps, those skipped included.
        seconds: wall time in the training loop, validations included, over all resumptions.
        best_score: the best on dev so far: BLEU, or minus the NLL.
        best_step: the step where it was reached.
        validations_since_best: for early stopping.
        skipped: the data of the steps whose loss or gradient was not finite.
        logged: where the data stood at the last log line.
        nll: true NLL in nats per target token, at the last log line; None before the first.
        good_nll: the same as it was at the last validation.
        dev_nll: the NLL on dev at the last validation.
        num_roll_backs: how often the run went back to a checkpoint because it diverged.
        left_out: the data that is passed over since then.
    """

    step: int = 0
    position: Position = Position()
    num_tokens: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    validations_since_best: int = 0
    skipped: tuple[Stretch, ...] = ()
    logged: Position = Position()
    nll: float | None = None
    good_nll: float | None = None
    dev_nll: float | None = None
    num_roll_backs: int = 0
    left_out: tuple[Stretch, ...] = ()

    def after_step(self, *, position: Position, num_tokens: int, seconds: float) -> "Progress":
        """One step further; `seconds` is the new total."""
        return replace(
            self, step=self.step + 1, position=position, num_tokens=self.num_tokens + num_tokens, seconds=seconds
        )

    @property
    def is_left_out(self) -> bool:
        """Whether the data that comes next is to be passed over."""
        return any(stretch.start <= self.position < stretch.end for stretch in self.left_out)

    def passing(self, position: Position) -> "Progress":
        """Further in the data, without a step."""
        return replace(self, position=position)

    def after_skipping(self, stretch: Stretch) -> "Progress":
        """With one more step known that was not finite."""
        return replace(self, skipped=(*self.skipped, stretch))

    def after_log_line(self, nll: float | None) -> "Progress":
        """One log line further; None leaves the NLL as it was."""
        return replace(self, logged=self.position, nll=self.nll if nll is None else nll)

    def going_on_without(self, left_out: tuple[Stretch, ...]) -> "Progress":
        """The same with other data to pass over."""
        return replace(self, left_out=left_out)

    def going_back(self, checkpoint: "Progress", left_out: Iterable[Stretch]) -> "Progress":
        """The progress of a checkpoint, but without the data of some stretches, as far as it comes after it."""
        start = checkpoint.position
        ahead = (Stretch(max(each.start, start), each.end) for each in left_out if each.end > start)
        return replace(
            checkpoint,
            seconds=self.seconds,
            num_roll_backs=self.num_roll_backs + 1,
            left_out=(*self.left_out, *ahead),
        )

    def after_validation(self, score: float, *, dev_nll: float) -> "Progress":
        """One validation further. A score that is not a number is never the best."""
        good = replace(self, good_nll=self.nll, dev_nll=dev_nll)
        if score == score and (self.best_score is None or score > self.best_score):
            return replace(good, best_score=score, best_step=self.step, validations_since_best=0)
        return replace(good, validations_since_best=self.validations_since_best + 1)

    def at(self, seconds: float) -> "Progress":
        """The same with the clock moved on."""
        return replace(self, seconds=seconds)

    @property
    def is_best(self) -> bool:
        """Whether the last validation was the best."""
        return self.best_step == self.step

    def fraction_done(self, limits: TrainingConfig, *, epoch_tokens: int) -> float:
        """How much of the nearest limit is used up: 1 when the run is over.

        Args:
            limits: the section `training`.
            epoch_tokens: target tokens of one epoch; so that an epoch's progress counts before its end.
        """
        shares = [
            self.step / limits.max_steps if limits.max_steps else 0.0,
            self.num_tokens / (limits.max_epochs * epoch_tokens) if limits.max_epochs else 0.0,
            self.num_tokens / limits.max_tokens if limits.max_tokens else 0.0,
            self.seconds / limits.max_seconds if limits.max_seconds else 0.0,
        ]
        return min(1.0, max(shares))

    def is_over(self, limits: TrainingConfig) -> bool:
        """Whether a limit is reached, or patience has run out."""
        return (
            (limits.max_steps is not None and self.step >= limits.max_steps)
            or (limits.max_epochs is not None and self.position.epoch >= limits.max_epochs)
            or (limits.max_tokens is not None and self.num_tokens >= limits.max_tokens)
            or (limits.max_seconds is not None and self.seconds >= limits.max_seconds)
            or (limits.patience is not None and self.validations_since_best >= limits.patience)
        )

    def to_json(self) -> dict[str, Any]:
        """For `state.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Progress":
        """From `state.json`.

        Raises:
            ValueError: a counter is missing or of another type, or there is one too many.
        """
        if missing := asdict(cls()).keys() ^ values.keys():
            raise ValueError(f"the progress differs in {', '.join(sorted(missing))}")
        return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
