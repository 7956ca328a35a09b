"""What is done about a divergence: a capsule is written, and the run goes back to its last good checkpoint or stops."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mt_trainer.config.resolved import config_digest
from mt_trainer.data.loader import Loader, Position, StepBatches
from mt_trainer.data.prepare import PreparedData
from mt_trainer.data.transfer import on_gpu
from mt_trainer.distributed.ranks import Ranks
from mt_trainer.errors import DivergedError, Problem
from mt_trainer.training.assembly import Parts
from mt_trainer.training.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    remove_checkpoint,
    valid_checkpoints,
)
from mt_trainer.training.checkpoints.manifest import MANIFEST
from mt_trainer.training.diverging.capsule import Base, Capsule, RunMachine, numbers_of, write_capsule
from mt_trainer.training.diverging.divergence import REMEDY, Divergence
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window
from mt_trainer.training.run_folder import RunFolder


class Route:
    """The steps of the data one after the other, from a position that can be gone back to; on a GPU their tensors too.

    A step that was fetched ahead is not yet taken: where the data stands, `StepBatches.after` of the last one says.
    """

    def __init__(self, loader: Loader, start: Position, *, device: torch.device) -> None:
        self._loader, self._device = loader, device
        self.go_back(start)

    def go_back(self, position: Position) -> None:
        """Go on from a position."""
        steps = self._loader.steps(position)
        self._steps = on_gpu(steps, self._device) if self._device.type == "cuda" else steps

    def __iter__(self) -> Iterator[StepBatches]:
        return self

    def __next__(self) -> StepBatches:
        return next(self._steps)


@dataclass(frozen=True)
class Recovery:
    """Takes a run back, as `training.on_divergence` has it.

    Attributes:
        machine: versions, device and threads, for the capsule.
        say: shows a line.
    """

    run: RunFolder
    data: PreparedData
    parts: Parts
    records: Records
    ranks: Ranks
    machine: dict[str, Any]
    say: Callable[[str], None]

    def recover(self, divergence: Divergence, progress: Progress) -> tuple[Progress, Window]:
        """Put learner and records back to the last good checkpoint: one with finite scores on dev.

        What is left out from there on is known to the next checkpoint. A run that is killed before it is written comes
        to the same divergence again and goes back in the same way.

        Returns:
            Where the run goes on.

        Raises:
            DivergedError: MT120, when the run is to stop, or cannot go back any more.
        """
        good = self._last_good()
        path = self._write_capsule(divergence, progress, good)
        training = self.run.config.training
        if training.on_divergence == "stop":
            raise self._stopping(divergence, path, "")
        if good is None:
            raise self._stopping(divergence, path, "; there is no validated checkpoint to go back to")
        if progress.num_roll_backs >= training.max_roll_backs:
            times = f"{progress.num_roll_backs} time{'s' * (progress.num_roll_backs > 1)}"
            raise self._stopping(divergence, path, f"; the run went back {times} before")
        restored, window = self.parts.learner.restore(good, self.data)
        after = progress.going_back(restored, divergence.left_out)
        self._remove_later_than(good)
        self.records.go_back(log=good.origin.log, step=good.step)
        line = {
            "diverged_at": divergence.step,
            "reason": divergence.reason,
            "number": after.num_roll_backs,
            # all of it: the line of an earlier return to the same checkpoint has just been cut off
            "left_out": [asdict(stretch) for stretch in after.left_out],
        }
        self.records.write(good.step, "roll_back", line, {})
        self.say(f"{divergence.reason}; back to {good.name}, and on without that data" + (f" ({path})" if path else ""))
        return after, window

    def _last_good(self) -> Checkpoint | None:
        """What the main rank goes back to, on all of them; the others read it while it waits."""
        found = last_good_checkpoint(self.run) if self.ranks.is_main else None
        name = self.ranks.from_main(lambda: found.name if found else None)
        with self.ranks.main_first():
            return load_checkpoint(self.run.checkpoints / name) if name and not found else found

    def _remove_later_than(self, good: Checkpoint) -> None:
        """What a signal left on the way to the divergence would be the newest; the log that it belongs to is cut off.

        The newest goes first: killed in between, a run goes on from one that is still there.
        """
        if self.ranks.is_main:
            for checkpoint in reversed(valid_checkpoints(self.run.checkpoints)[0]):
                if checkpoint.is_of_training and checkpoint.step > good.step:
                    remove_checkpoint(checkpoint)

    def _write_capsule(self, divergence: Divergence, progress: Progress, good: Checkpoint | None) -> Path | None:
        """None where the disk does not take it: that the run diverged is more important. The main rank writes."""
        if not self.ranks.is_main:
            return None
        taken = divergence.taken
        start = self._start_of_last_step(progress, good) if taken is None else taken.stretch.start
        batches = next(self.parts.loader.of_all_ranks().steps(start))
        config, learner = self.run.config, self.parts.learner
        capsule = Capsule(
            step=divergence.step,
            reason=divergence.reason,
            seed=config.runtime.seed,
            lr=self.parts.schedule(divergence.step),
            position=start,
            left_out=progress.left_out,
            micro_batches=[batch.rows for batch in batches.micro_batches],
            sums={} if taken is None else numbers_of(taken.result),
            base=None if good is None else base_of(good),
            hashes={
                "config": config_digest(config),
                "corpus": self.data.corpus_hash,
                "tokenizer": self.data.tokenizers.content_hash,
                "teacher": learner.teacher_hash,
                "objective_files": learner.objective_files_hash,
            },
            machine=RunMachine.of(self.machine),
        )
        try:
            return write_capsule(self.run.crash, capsule, num_roll_backs=progress.num_roll_backs)
        except OSError as error:
            self.say(f"warning: the capsule cannot be written: {error.strerror or error} ({self.run.crash})")
            return None

    def _start_of_last_step(self, progress: Progress, good: Checkpoint | None) -> Position:
        """Where the data stood before it: this process has not taken it, and goes through the data to it again."""
        at = Progress() if good is None else Progress.from_json(good.state["progress"])
        at = start = at.going_on_without(progress.left_out)
        steps = self.parts.loader.of_all_ranks().steps(at.position)
        while at.position < progress.position:
            start = start if at.is_left_out else at
            at = at.passing(next(steps).after)
        return start.position

    def _stopping(self, divergence: Divergence, path: Path | None, why: str) -> DivergedError:
        replay = f"`mt-run replay {path}` goes through it again; " if path else ""
        where = str(path) if path else None
        return DivergedError(Problem("MT120", divergence.reason + why, where=where, help=replay + REMEDY))


def base_of(checkpoint: Checkpoint) -> Base:
    """How a capsule names a checkpoint."""
    return Base(checkpoint.name, hashlib.sha256((checkpoint.path / MANIFEST).read_bytes()).hexdigest())


def last_good_checkpoint(run: RunFolder) -> Checkpoint | None:
    """The newest checkpoint of training that verifies and whose scores on dev are finite; None if there is none."""
    valid, _ = valid_checkpoints(run.checkpoints)
    good = [
        checkpoint
        for checkpoint in valid
        if checkpoint.is_of_training and checkpoint.is_validated and math.isfinite(checkpoint.state["dev"]["nll"])
    ]
    return good[-1] if good else None
