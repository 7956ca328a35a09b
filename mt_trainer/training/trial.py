"""A run that is tried out: all that comes before its first step, in a temporary folder, and steps that are not kept."""

import contextlib
import resource
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from mt_trainer.config import TrainConfig
from mt_trainer.data.loader import StepBatches
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.decoding.translate import require_precision
from mt_trainer.distributed.launch import require_one_process
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.evaluation.metrics import build_metrics
from mt_trainer.machine import Machine, set_up_machine
from mt_trainer.objectives.building.check import check_objective
from mt_trainer.training.assembly import Parts, assemble, build_floor
from mt_trainer.training.display import summary
from mt_trainer.training.floor import Floor
from mt_trainer.training.phases import Phase, phase
from mt_trainer.training.preflight import require_room
from mt_trainer.training.progress import Progress
from mt_trainer.training.run_folder import RunFolder
from mt_trainer.training.signals import stop_on_signals
from mt_trainer.training.step import StepResult, train_step
from mt_trainer.training.teacher import load_teacher


@dataclass(frozen=True)
class Trial:
    """A run before its first step.

    Attributes:
        config: of the run.
        summary: the lines that training opens with.
        folder: what is encoded for it, removed at the end.
    """

    config: TrainConfig
    machine: Machine
    data: PreparedData
    parts: Parts
    floor: Floor
    summary: str
    folder: Path

    def take_step(self, step: int, batches: StepBatches) -> StepResult:
        """One step as the run takes it, which waits for no device."""
        result = train_step(
            self.parts.teacher_forcing,
            self.parts.learner.optimizer,
            batches,
            step=step,
            lr=self.parts.schedule(step),
            clip_norm=self.config.optim.clip_norm,
            seed=self.config.runtime.seed,
            device=self.machine.device,
            workers=self.parts.workers,
        )
        if self.parts.learner.ema is not None:
            with phase(Phase.AVERAGE):
                self.parts.learner.ema.update(step, is_finite=result.is_finite)
        return result


@contextlib.contextmanager
def trial_of(config: TrainConfig, run_folder: Path, *, what: str) -> Iterator[Trial]:
    """A run, with everything checked that training checks; nothing of it is left when the block ends.

    Args:
        what: it is tried out for, as the subject of a message, such as `a dry run`.

    Raises:
        MtError: whatever would stop the run.
        SystemExit: on a signal, so that it, too, leaves nothing behind.
    """
    with stop_on_signals():
        require_one_process(what)
        check_objective(config)
        machine = set_up_machine(config.runtime)
        require_precision(config.decoding, machine.device)
        build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
        run = RunFolder.open(run_folder, config)
        require_room(config, run_folder)
        teacher = load_teacher(config, machine)
        with tempfile.TemporaryDirectory(prefix="mt_trainer-trial-") as temporary:
            runtime = config.runtime.model_copy(update={"cache_folder": temporary})
            data = prepare_data(
                config.model_copy(update={"runtime": runtime}),
                announce=lambda line: None,
                require_tokenizers=teacher.require_tokenizers if teacher else None,
            )
            parts = assemble(config, data, machine, teacher, ALONE)
            floor = build_floor(config, data.tokenizers, machine, ALONE)
            text = summary(run, data, parts, machine, floor, Progress())
            yield Trial(config, machine, data, parts, floor, text, Path(temporary))


def peak_memory(device: torch.device) -> str:
    """The most that was held so far, in words."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB at most"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB resident at most"
