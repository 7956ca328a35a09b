"""A trained run, loaded to translate or to be judged."""

from dataclasses import dataclass
from pathlib import Path

import torch

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.model import Transformer
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training.building import build_model
from mt_trainer.training.checkpoint import Checkpoint, SelectBy, best_checkpoint, load_parameters, valid_checkpoints


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what belongs to it; `weights_hash` is the SHA-256 of the file of its weights."""

    path: Path
    config: TrainConfig
    model: Transformer
    tokenizers: TokenizerPair
    checkpoint_name: str
    weights_hash: str

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of what translates: `weights` and `tokenizer`."""
        return {"weights": self.weights_hash, "tokenizer": self.tokenizers.content_hash}


def load_run(run_folder: Path, *, checkpoint: str = "best", device: torch.device | None = None) -> LoadedRun:
    """Load a trained model.

    Args:
        run_folder: written by mt-train.
        checkpoint: `best` on dev, `last`, or a name such as `step_00012000`.
        device: where the model goes; the CPU by default.

    Raises:
        CheckpointError: MT104 for a folder that is not a run, MT101 without the checkpoint asked for, MT082 when the
            tokenizer is not the one that the checkpoint was trained with.
    """
    if not (run_folder / "config.yaml").is_file():
        message = "not a run folder: it has no config.yaml"
        raise CheckpointError(Problem("MT104", message, where=str(run_folder), help="train one with mt-train"))
    config = load_config(run_folder / "config.yaml")
    chosen = _choose(run_folder / "checkpoints", checkpoint, config.training.select_by)
    tokenizers = TokenizerPair.load(run_folder)
    if tokenizers.content_hash != chosen.state["tokenizer"]:
        message = "the run's tokenizer is not the one that this checkpoint was trained with"
        raise CheckpointError(Problem("MT082", message, where=str(chosen.path)))
    model = build_model(config, tokenizers)
    load_parameters(model, chosen.model())
    model = model.to(device or torch.device("cpu")).eval()
    return LoadedRun(run_folder, config, model, tokenizers, chosen.name, chosen.weights_hash)


def _choose(folder: Path, name: str, select_by: SelectBy) -> Checkpoint:
    valid, damaged = valid_checkpoints(folder)
    if name == "best" and valid:
        return best_checkpoint(valid, select_by)
    steps = [checkpoint for checkpoint in valid if checkpoint.is_of_training]
    if name == "last" and steps:
        return steps[-1]
    for checkpoint in valid:
        if checkpoint.name == name:
            return checkpoint
    if damaged:
        raise CheckpointError([problem for error in damaged for problem in error.problems])
    known = ", ".join(checkpoint.name for checkpoint in valid) or "none"
    message = f"no checkpoint `{name}`; there are: {known}"
    raise CheckpointError(Problem("MT101", message, where=str(folder), help="best, last, or one of those names"))
