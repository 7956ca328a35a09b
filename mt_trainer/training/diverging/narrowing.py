"""From a step whose numbers are not finite to the part of it that makes them so, under the same weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from mt_trainer.data.batching import Row
from mt_trainer.data.loader import Loader
from mt_trainer.machine import seed_everything
from mt_trainer.model.layer_pass import straight
from mt_trainer.objectives import LossSums
from mt_trainer.teacher_forcing import TeacherForcing

Item = TypeVar("Item")

NUM_OTHERS = 8
"""Other pairs that are tried: where they fail as well, it is the weights and not the pair."""


def smallest_failing(items: Sequence[Item], fails: Callable[[list[Item]], bool]) -> list[Item]:
    """Halves `items`, which fail together, as long as one of the halves fails alone.

    Returns:
        What fails though neither half of it does; or a single item.
    """
    part = list(items)
    while len(part) > 1:
        middle = len(part) // 2
        failing = next((half for half in (part[:middle], part[middle:]) if fails(half)), None)
        if failing is None:
            return part
        part = failing
    return part


@dataclass(frozen=True)
class Trace:
    """What is not finite in one pass, forward and backward.

    Attributes:
        module: the first whose output is not finite, in the order of computing; None if all are.
        is_loss_finite: whether the loss is.
        gradients: the parameters whose gradients are not finite, in the order in which they came.
    """

    module: str | None
    is_loss_finite: bool
    gradients: list[str]

    def first(self) -> str:
        """What is the first that is not finite, as a sentence without its full stop."""
        if self.module is not None:
            return f"the output of {self.module} is the first that is not finite"
        if not self.is_loss_finite:
            return "all that the model computes is finite; the objective is not"
        if self.gradients:
            return f"the loss is finite; the gradient of {self.gradients[0]} is the first that is not"
        return "loss and gradients are finite each; the norm of all gradients together is not"


@dataclass(frozen=True)
class Narrowed:
    """The part of a step that is not finite alone.

    Attributes:
        micro_batches: those that are not finite alone, counted from 0; if there are none, only their sum is not.
        rows: the smallest part found of the first of these.
        num_others, num_others_failing: other pairs that were tried alone, and how many of them fail as well.
    """

    micro_batches: list[int]
    rows: list[Row]
    num_others: int
    num_others_failing: int

    @property
    def pair(self) -> int | None:
        """The one pair that fails alone, if there is one."""
        return self.rows[0][0] if sum(map(len, self.rows)) == 1 else None


class Probe:
    """Computes parts of a step again. Weights and state stay as they are.

    A part has the seed of its micro-batch, but what is left out of it changes the dropout masks of the rest. Where all
    steps have one shape, a part has that of its micro-batch too, by rows without tokens: compiled layers are compiled
    for each shape, and torch bears few.

    Args:
        epoch: of the step.
        micro_batches: the rows of each.
        key: seed of the run and number of the step.
        num_tokens: target tokens of the whole step, by which every part is divided.
    """

    def __init__(
        self,
        teacher_forcing: TeacherForcing,
        loader: Loader,
        *,
        epoch: int,
        micro_batches: Sequence[list[Row]],
        key: tuple[int, int],
        num_tokens: int,
        device: torch.device,
    ) -> None:
        self._both, self._loader, self._device = teacher_forcing, loader, device
        self._micro_batches, self._key, self._num_tokens = micro_batches, key, num_tokens
        self.pairs = loader.pairs_of(epoch)

    def fails(self, index: int, rows: list[Row]) -> bool:
        """Whether loss or gradient of these rows are not finite, in the place of micro-batch `index`."""
        loss = self._differentiate(index, rows)
        gradients = [p.grad for p in self._both.parameters() if p.grad is not None]
        is_finite = torch.isfinite(nn.utils.get_total_norm(gradients)) & torch.isfinite(loss)
        self._forget()
        return not bool(is_finite)

    def narrow(self) -> Narrowed:
        """Micro-batches, then halves of the first bad one's rows, then halves of a row."""
        micro_batches = self._micro_batches
        bad = [index for index, rows in enumerate(micro_batches) if self.fails(index, rows)]
        if not bad:
            return Narrowed([], [], 0, 0)
        first = bad[0]
        rows = smallest_failing(micro_batches[first], lambda part: self.fails(first, part))
        if len(rows) == 1:
            rows = [smallest_failing(rows[0], lambda part: self.fails(first, [part]))]
        found = {pair for row in rows for pair in row}
        others = [pair for part in micro_batches for row in part for pair in row if pair not in found]
        tried = others[:: max(1, len(others) // NUM_OTHERS)][:NUM_OTHERS]
        return Narrowed(bad, rows, len(tried), sum(self.fails(first, [[pair]]) for pair in tried))

    def trace(self, index: int, rows: list[Row]) -> Trace:
        """What is not finite when these rows are computed in the place of micro-batch `index`.

        The layers are gone through straight: compiled ones would call no hook.
        """
        modules: list[str] = []
        gradients: list[str] = []
        hooks = [
            module.register_forward_hook(_note_output(name or "the model", modules))
            for name, module in self._both.model.named_modules()
        ]
        hooks += [
            parameter.register_post_accumulate_grad_hook(_note_gradient(name, gradients))
            for name, parameter in self._both.model.named_parameters()
        ]
        model = self._both.model
        layer_pass, model.layer_pass = model.layer_pass, straight
        try:
            loss = self._differentiate(index, rows)
        finally:
            model.layer_pass = layer_pass
            for hook in hooks:
                hook.remove()
            self._forget()
        return Trace(modules[0] if modules else None, bool(torch.isfinite(loss)), gradients)

    def _differentiate(self, index: int, rows: list[Row]) -> Tensor:
        if self._loader.is_filled_up:
            rows = [*rows, *([] for _ in range(len(self._micro_batches[index]) - len(rows)))]
        batch = self._loader.batch(self.pairs, rows)
        self._both.translation_loss.start_step(self._key[1])
        seed_everything(*self._key, index)
        sums: LossSums = self._both(batch.to(self._device), with_diagnostics=False)
        (sums.loss / self._num_tokens).backward()
        return sums.loss.detach()

    def _forget(self) -> None:
        self._both.translation_loss.end_step(is_finite=False)
        self._both.zero_grad(set_to_none=True)


def _note_output(name: str, found: list[str]) -> Callable[[nn.Module, object, object], None]:
    def note(module: nn.Module, inputs: object, output: object) -> None:
        tensors = output if isinstance(output, tuple) else (output,)
        if not found and not all(_is_finite(tensor) for tensor in tensors):
            found.append(name)

    return note


def _note_gradient(name: str, found: list[str]) -> Callable[[Tensor], None]:
    def note(parameter: Tensor) -> None:
        if not _is_finite(parameter.grad):
            found.append(name)

    return note


def _is_finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(torch.isfinite(value).all())
