"""The weights of a checkpoint into a model."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mt_trainer.errors import CheckpointError, Problem


@torch.no_grad()
def load_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model the weights of a checkpoint; tied ones are stored once.

    Raises:
        CheckpointError: MT102, when the names or shapes are not those of the model.
    """
    require_parameters(model, tensors)
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


def require_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Hold names and shapes of weights against a model, which need have no numbers yet; MT102 names what differs."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    stored = {name: tuple(t.shape) for name, t in tensors.items()}
    if shapes != stored:
        different = sorted(name for name in {*shapes, *stored} if shapes.get(name) != stored.get(name))
        message = f"the checkpoint is of another model: {', '.join(different[:5])}"
        raise CheckpointError(Problem("MT102", message, help="use the config that the checkpoint was trained with"))
