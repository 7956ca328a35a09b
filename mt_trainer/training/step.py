"""One optimizer step. The one place where a loss is divided by a token count and where dropout is seeded."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mt_trainer.data.loader import StepBatches
from mt_trainer.machine import seed_everything
from mt_trainer.objectives.translation_loss import LossSums
from mt_trainer.teacher_forcing import TeacherForcing, add_sums


@dataclass(frozen=True)
class StepResult:
    """What a step leaves behind, on the device: nothing here waits for it."""

    sums: LossSums
    """Sums over all target tokens of the step."""
    grad_norm: Tensor
    """Norm of the whole gradient before clipping."""
    is_finite: Tensor
    """bool: whether loss and gradient were finite; the weights were changed only then."""


def train_step(
    teacher_forcing: TeacherForcing,
    optimizer: torch.optim.AdamW,
    batches: StepBatches,
    *,
    step: int,
    lr: float,
    clip_norm: float | None,
    seed: int,
    device: torch.device,
) -> StepResult:
    """Forward and backward over the micro-batches, clip, update.

    Every token of the step counts the same, however it is split: each micro-batch adds its sum divided by the
    token count of the whole step, which is known before the first forward. Dropout is a function of
    (seed, step, index of the micro-batch). A gradient that is not finite leaves weights and moments as they were.

    Args:
        step: counted from 1.
        clip_norm: largest norm of the gradient; None for no clipping.
    """
    total: LossSums | None = None
    for index, micro_batch in enumerate(batches.micro_batches):
        seed_everything(seed, step, index)
        sums = teacher_forcing(micro_batch.to(device), with_diagnostics=False)
        (sums.loss / batches.num_tokens).backward()
        total = add_sums(total, sums)
    assert total is not None, "a step has at least one micro-batch"

    limit = float("inf") if clip_norm is None else clip_norm
    grad_norm = nn.utils.clip_grad_norm_(teacher_forcing.parameters(), limit)
    is_finite = torch.isfinite(grad_norm) & torch.isfinite(total.loss)
    for group in optimizer.param_groups:
        group["lr"] = lr
    # The fused optimizer skips the update on the device, without waiting, when `found_inf` is set.
    optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(total, grad_norm, is_finite)
