"""One optimizer step. The one place where a loss is divided by a token count and where dropout is seeded."""

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mt_trainer.data.loader import StepBatches
from mt_trainer.distributed.ranks import ALONE, Ranks
from mt_trainer.machine import seed_everything, seed_thread
from mt_trainer.objectives.loss_sums import LossSums, add_sums
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.phases import Phase, phase
from mt_trainer.workers import Workers


@dataclass(frozen=True)
class StepResult:
    """What a step leaves behind, on the device: nothing here waits for it."""

    sums: LossSums
    """Sums over all target tokens of the step, those of all ranks."""
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
    workers: Workers | None,
    ranks: Ranks = ALONE,
) -> StepResult:
    """Forward and backward over the micro-batches, clip, update.

    Every token of the step counts the same, however it is split: each micro-batch adds its sum divided by the
    token count of the whole step, which is known before the first forward. So what several ranks have is only to be
    added up, once, before clipping: there is no mean over ranks, whose tokens differ in number, and from there on all
    ranks do the same with the same numbers. What an objective learns from a step it uses from the next one on. Dropout
    and draws from a teacher are a function of (seed, step, index of the micro-batch in the whole step). A step whose
    loss or gradient is not finite leaves weights, moments and what the objective remembers as they were.

    Args:
        batches: what this rank has of the step.
        step: counted from 1.
        clip_norm: largest norm of the gradient; None for no clipping.
        workers: compute the micro-batches side by side; None for one after the other.
        ranks: the processes that share the step.
    """
    ranks.begin_step(step)
    teacher_forcing.translation_loss.start_step(step)
    if workers is not None and not teacher_forcing.is_thread_safe:
        workers = None
    with contextlib.nullcontext() if workers is None else workers.share():
        if workers is None:
            total = _one_by_one(teacher_forcing, batches, (seed, step), device)
        else:
            total = _side_by_side(teacher_forcing, batches, (seed, step), workers)
        with phase(Phase.GRADIENTS):
            _add_up_over_ranks(teacher_forcing, total, ranks)
        with phase(Phase.UPDATE):
            grad_norm, is_finite = _update(teacher_forcing, optimizer, total, lr=lr, clip_norm=clip_norm)
    teacher_forcing.translation_loss.end_step(is_finite, ranks.interleave)
    return StepResult(total, grad_norm, is_finite)


def _add_up_over_ranks(teacher_forcing: TeacherForcing, total: LossSums, ranks: Ranks) -> None:
    """Turns sums and gradients into those of all ranks; a parameter without gradient has one of 0 then."""
    if ranks.world_size == 1:
        return
    gradients = []
    for parameter in teacher_forcing.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    ranks.add_up([*gradients, *(value for value in total if value is not None)])


def _update(
    teacher_forcing: TeacherForcing,
    optimizer: torch.optim.AdamW,
    total: LossSums,
    *,
    lr: float,
    clip_norm: float | None,
) -> tuple[Tensor, Tensor]:
    """Clips and applies the gradients; returns their norm before clipping, and whether it and the loss were finite."""
    limit = float("inf") if clip_norm is None else clip_norm
    grad_norm = nn.utils.clip_grad_norm_(teacher_forcing.parameters(), limit)
    is_finite = torch.isfinite(grad_norm) & torch.isfinite(total.loss)
    for group in optimizer.param_groups:
        group["lr"] = lr
    # The fused optimizer skips the update on the device, without waiting, when `found_inf` is set.
    optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return grad_norm, is_finite


def _one_by_one(
    teacher_forcing: TeacherForcing, batches: StepBatches, key: tuple[int, int], device: torch.device
) -> LossSums:
    """Adds up sums and gradients in the order of the micro-batches."""
    total: LossSums | None = None
    for index, micro_batch in zip(batches.indexes, batches.micro_batches, strict=True):
        seed_everything(*key, index)
        with phase(Phase.FORWARD):
            sums = teacher_forcing(micro_batch.to(device), with_diagnostics=False)
        with phase(Phase.BACKWARD):
            (sums.loss / batches.num_tokens).backward()
        total = add_sums(total, sums)
    assert total is not None, "a step has at least one micro-batch"
    return total


def _side_by_side(
    teacher_forcing: TeacherForcing, batches: StepBatches, key: tuple[int, int], workers: Workers
) -> LossSums:
    """The same on a CPU, where each micro-batch has a thread: gradients are kept apart until all are there."""
    parameters = list(teacher_forcing.parameters())

    def differentiate(place: int) -> tuple[LossSums, tuple[Tensor | None, ...]]:
        seed_thread(*key, batches.indexes[place])
        with phase(Phase.FORWARD):
            sums = teacher_forcing(batches.micro_batches[place], with_diagnostics=False)
        with phase(Phase.BACKWARD):
            return sums, torch.autograd.grad(sums.loss / batches.num_tokens, parameters, allow_unused=True)

    with phase(Phase.SIDE_BY_SIDE):
        results = workers.map(differentiate, range(len(batches.micro_batches)))
    total: LossSums | None = None
    with phase(Phase.GRADIENTS):
        for sums, gradients in results:
            total = add_sums(total, sums)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
    assert total is not None, "a step has at least one micro-batch"
    return total
