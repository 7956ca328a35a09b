"""Everything that learns, and how it goes into a checkpoint and comes back."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mt_trainer.config import TrainConfig
from mt_trainer.config.resolved import config_digest
from mt_trainer.data.prepare import PreparedData
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.model import Transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import ExponentialMovingAverage, load_optimizer_tensors, optimizer_tensors
from mt_trainer.training.checkpoints.checkpoint import Checkpoint, save_checkpoint
from mt_trainer.training.checkpoints.manifest import Origin
from mt_trainer.training.checkpoints.parameters import load_parameters
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window
from mt_trainer.training.run_folder import RunFolder

LOSS_PREFIX = "translation_loss."
"""Of the names of what the loss remembers, among the optimizer's tensors."""


@dataclass(frozen=True)
class Learner:
    """The model, its optimizer, the moving average of its weights where there is one, and what the loss remembers.

    Attributes:
        teacher_hash: of the weights of the teacher, if it has one: it cannot be exchanged on the way.
        objective_files_hash: of the files that the objective reads, if it reads any; likewise.
        environment: what the bits of the run depend on, for manifests.
        world_size: how many processes share a step; likewise.
    """

    model: Transformer
    optimizer: torch.optim.AdamW
    ema: ExponentialMovingAverage | None
    translation_loss: TranslationLoss
    teacher_hash: str | None = None
    objective_files_hash: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    world_size: int = 1

    def with_evaluated_weights(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block the model has the weights that it is judged by: the average where there is one."""
        return contextlib.nullcontext() if self.ema is None else self.ema.applied()

    def save(
        self,
        run: RunFolder,
        data: PreparedData,
        records: Records,
        *,
        progress: Progress,
        window: Window,
        dev: dict[str, float] | None,
    ) -> None:
        """Write a checkpoint of the run as it stands, and remove those that are no longer wanted.

        Args:
            dev: scores of this step; None when it was not validated.
        """
        weights = dict(self.model.named_parameters())
        tensors = optimizer_tensors(self.optimizer, self.model)
        if self.ema is not None:
            tensors |= {f"weight.{name}": weight for name, weight in weights.items()}
        tensors |= {f"{LOSS_PREFIX}{name}": t for name, t in self.translation_loss.state_dict().items()}
        state: dict[str, Any] = {
            "step": progress.step,
            "progress": progress.to_json(),
            "window": window.read(),
            "dev": dev,
            "teacher": self.teacher_hash,
            "objective_files": self.objective_files_hash,
            "world_size": self.world_size,
        }
        evaluated = weights if self.ema is None else self.ema.average
        save_checkpoint(
            run.checkpoints,
            f"step_{progress.step:08d}",
            model=evaluated,
            optimizer=tensors,
            state=state,
            origin=self.origin(run, data, records),
        )
        run.prune()

    def origin(self, run: RunFolder, data: PreparedData, records: Records) -> Origin:
        """What a checkpoint that is saved now belongs to; the log up to here is on the disk then."""
        return Origin(
            log=records.log(),
            config=run.config_seal,
            corpus=data.corpus_hash,
            tokenizer=data.tokenizers.content_hash,
            environment=self.environment,
        )

    def identity(self, config: TrainConfig, data: PreparedData) -> dict[str, str | None]:
        """What must be the same on all ranks, by names for people."""
        return {
            "config": config_digest(config),
            "tokenizer": data.tokenizers.content_hash,
            "training text": data.corpus_hash,
            "teacher": self.teacher_hash,
            "files of the objective": self.objective_files_hash,
        }

    def restore(self, checkpoint: Checkpoint, data: PreparedData) -> tuple[Progress, Window]:
        """Put everything back to where a checkpoint was written.

        Raises:
            CheckpointError: MT100, when the training text, the teacher, a file of the objective or the number of
                processes is not the one that the run was started with; MT102, when the checkpoint lacks what the run
                goes on from.
        """
        before = checkpoint.state.get("world_size", 1)
        if before != self.world_size:
            message = f"a run that was started with {before} process{'es' * (before > 1)} cannot go on with "
            message += str(self.world_size)
            help_ = f"start {before} of them, or another run folder"
            raise CheckpointError(Problem("MT100", message, where=str(checkpoint.path), help=help_))
        for before, now, called in (
            (checkpoint.origin.corpus, data.corpus_hash, "the training text"),
            (checkpoint.state.get("teacher"), self.teacher_hash, "the teacher"),
            (checkpoint.state.get("objective_files"), self.objective_files_hash, "a file that the objective reads"),
        ):
            if before != now:
                message = f"{called} is not the one that this run was started with"
                help_ = f"restore {called}, or start another run folder"
                raise CheckpointError(Problem("MT100", message, where=str(checkpoint.path), help=help_))
        try:
            return self._restored(checkpoint)
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            message = f"the checkpoint lacks what this run goes on from: {error}"
            help_ = "remove this checkpoint, so that the run goes on from the one before, or start another run folder"
            raise CheckpointError(Problem("MT102", message, where=str(checkpoint.path), help=help_)) from error

    def _restored(self, checkpoint: Checkpoint) -> tuple[Progress, Window]:
        tensors, weights = checkpoint.optimizer(), checkpoint.model()
        if self.ema is not None:
            self.ema.load(weights)
            weights = {name.removeprefix("weight."): t for name, t in tensors.items() if name.startswith("weight.")}
        load_parameters(self.model, weights)
        load_optimizer_tensors(self.optimizer, self.model, tensors)
        self.translation_loss.start_step(checkpoint.step)
        self.translation_loss.load_state_dict(
            {name.removeprefix(LOSS_PREFIX): t for name, t in tensors.items() if name.startswith(LOSS_PREFIX)}
        )
        window = {name: float(value) for name, value in checkpoint.state["window"].items()}
        return Progress.from_json(checkpoint.state["progress"]), Window(window)
