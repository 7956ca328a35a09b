"""Which checkpoints stay, and the average of those that did."""

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from mt_trainer.training.checkpoints.checkpoint import SelectBy, best_checkpoint, remove_checkpoint, valid_checkpoints


def prune(folder: Path, *, keep: int, select_by: SelectBy, needed: Collection[str]) -> None:
    """Remove all but the newest `keep` validated checkpoints of training, the best, the newest and those `needed`.

    Only those that verify count. One that a signal left, without validation, takes no place, nor does an average: an
    interrupted run keeps what another keeps.
    """
    valid, _ = valid_checkpoints(folder)
    training = [checkpoint for checkpoint in valid if checkpoint.is_validated and checkpoint.is_of_training]
    kept = {checkpoint.name for checkpoint in [*training[-keep:], valid[-1], best_checkpoint(valid, select_by)]}
    kept |= set(needed)
    for checkpoint in valid:
        if checkpoint.name not in kept:
            remove_checkpoint(checkpoint)


@torch.no_grad()
def average_newest(folder: Path, number: int) -> tuple[dict[str, Tensor], list[str]]:
    """The mean of the weights of the newest `number` validated checkpoints of training, and their names."""
    valid, _ = valid_checkpoints(folder)
    newest = [checkpoint for checkpoint in valid if checkpoint.is_validated and checkpoint.is_of_training][-number:]
    total: dict[str, Tensor] = {}
    for checkpoint in newest:
        for name, tensor in checkpoint.model().items():
            total[name] = total.get(name, torch.zeros_like(tensor, dtype=torch.float64)) + tensor
    weights = {name: (tensor / len(newest)).float() for name, tensor in total.items()}
    return weights, [checkpoint.name for checkpoint in newest]
