"""Which checkpoints stay, and the average of those that did."""

import shutil
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mt_trainer.training.checkpoint import valid_checkpoints
from mt_trainer.training.run_folder import best_checkpoint


def prune(folder: Path, *, keep: int, select_by: Literal["bleu", "nll"]) -> None:
    """Remove all but the newest `keep` validated checkpoints, the best and the newest. Only those that verify count.

    One that a signal left, without validation, takes no place: an interrupted run keeps what another keeps.
    """
    valid, _ = valid_checkpoints(folder)
    validated = [checkpoint for checkpoint in valid if checkpoint.state["dev"]]
    kept = {checkpoint.name for checkpoint in [*validated[-keep:], valid[-1], best_checkpoint(valid, select_by)]}
    for checkpoint in valid:
        if checkpoint.name not in kept:
            shutil.rmtree(checkpoint.path)


@torch.no_grad()
def average_newest(folder: Path, number: int) -> tuple[dict[str, Tensor], list[str]]:
    """The mean of the weights of the newest `number` validated checkpoints of training, and their names."""
    valid, _ = valid_checkpoints(folder)
    newest = [checkpoint for checkpoint in valid if "progress" in checkpoint.state and checkpoint.state["dev"]][
        -number:
    ]
    total: dict[str, Tensor] = {}
    for checkpoint in newest:
        for name, tensor in checkpoint.model().items():
            total[name] = total.get(name, torch.zeros_like(tensor, dtype=torch.float64)) + tensor
    weights = {name: (tensor / len(newest)).float() for name, tensor in total.items()}
    return weights, [checkpoint.name for checkpoint in newest]
