"""Section `optim` -> AdamW."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mt_trainer.config.optim import OptimConfig


def build_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov & Hutter, 2019). Vectors (norms, biases) are not decayed.

    The learning rate is set anew before every step; the one given here is never used.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


def optimizer_tensors(optimizer: torch.optim.AdamW, model: nn.Module) -> dict[str, Tensor]:
    """The state of the optimizer by name: `exp_avg.<parameter>` and so on; empty before the first step."""
    return {
        f"{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(optimizer: torch.optim.AdamW, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises:
        ValueError: a tensor has not the shape of its parameter, or is not float32.
    """
    for name, parameter in model.named_parameters():
        for key, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape)):
            if (tensor := tensors.get(f"{key}.{name}")) is not None:
                if tensor.shape != shape or tensor.dtype != torch.float32:
                    raise ValueError(f"{key}.{name} is {tensor.dtype} {tuple(tensor.shape)}")
                optimizer.state[parameter][key] = tensor.to(parameter.device)
