"""The log lines about the steps: what those since the last line came to, and how fast they were."""

from collections.abc import Mapping

from mt_trainer.data.lengths import LengthSums
from mt_trainer.training.display import ProgressDisplay
from mt_trainer.training.floor import Floor
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window, means_of_steps
from mt_trainer.training.step import StepResult


class StepLog:
    """Writes a line now and then.

    Attributes:
        window: sums over the steps since the last line.
    """

    def __init__(
        self, window: Window, progress: Progress, floor: Floor, records: Records, display: ProgressDisplay
    ) -> None:
        self._floor, self._records, self._display = floor, records, display
        self.go_on(window, progress)

    def go_on(self, window: Window, progress: Progress) -> None:
        """From a window that was begun before. How fast its steps were is told of those from here on."""
        self.window = window
        self._tokens, self._seconds = progress.num_tokens, progress.seconds
        self._floor_seconds = 0.0

    def add(self, result: StepResult, lengths: LengthSums) -> None:
        """One more step, of pairs of these lengths."""
        self.window.add(result)
        self._floor_seconds += self._floor.seconds(lengths)

    def leave_out(self, seconds: float) -> None:
        """Time in which no steps were taken: the rate is that of training alone."""
        self._seconds += seconds

    def write(self, progress: Progress, sums: dict[str, float], *, lr: float, parameters: Mapping[str, float]) -> None:
        """A line for the steps up to here, and a new window.

        Args:
            sums: of the window.
            lr: of the last step.
            parameters: of the objective, those that vary.
        """
        line = means_of_steps(sums) | {
            "num_skipped": int(sums["num_skipped"]),
            "lr": lr,
            "epoch": progress.position.epoch,
            "num_tokens": progress.num_tokens,
        }
        line |= {f"objective.{name}": value for name, value in parameters.items()}
        seconds = progress.seconds - self._seconds
        speed = {
            "tokens_per_second": (progress.num_tokens - self._tokens) / seconds,
            "mfu": self._floor_seconds / seconds,
        }
        self._records.write(progress.step, "train", line, {"seconds": progress.seconds, **speed})
        self._display.log(progress, line, **speed)
        self.go_on(Window(), progress)
