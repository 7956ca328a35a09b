"""How an encoder or decoder layer is gone through in training: straight, compiled, with its activations kept or not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mt_trainer.machine import cpu_generator
from mt_trainer.model.attention import AttentionMask

LayerPass = Callable[..., Tensor]
"""(layer, x [B, T, D], other inputs of the layer) -> its output [B, T, D]."""


def straight(layer: nn.Module, x: Tensor, *inputs: Tensor | AttentionMask) -> Tensor:
    """The layer called as it is."""
    output: Tensor = layer(x, *inputs)
    return output


def compiled(backend: str = "inductor") -> LayerPass:
    """The same, compiled by torch: once for all encoder layers, once for all decoder layers and for each shape.

    A layer that cannot be compiled as a whole is an error, not a slow path.

    Args:
        backend: what compiles. Inductor writes programs and keeps them between runs, in the folder that the environment
            variable TORCHINDUCTOR_CACHE_DIR names, by default one of the user's in the folder for temporary files.
    """
    through: LayerPass = torch.compile(straight, fullgraph=True, dynamic=False, backend=backend)
    return through


def recomputed(through: LayerPass) -> LayerPass:
    """The same, but only the inputs are kept for backward, which goes through the layer once more before its own work.

    Dropout draws what it drew before: the gradients are, bit for bit, those without it.
    """

    def through_twice(layer: nn.Module, x: Tensor, *inputs: Tensor | AttentionMask) -> Tensor:
        output: Tensor = checkpoint(
            through,
            layer,
            x,
            *inputs,
            use_reentrant=False,
            # of torch's generators alone, and for the whole process: on a CPU `_same_draws` sees to the one in use
            preserve_rng_state=x.device.type != "cpu",
            context_fn=_same_draws,
        )
        return output

    return through_twice


def _same_draws() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What surrounds a pass that is about to begin, and the same pass when it is repeated.

    On a CPU both are in one thread, and backward of other micro-batches in others: each has its own generator.
    """
    return nullcontext(), _drawing_from(cpu_generator().get_state())


@contextmanager
def _drawing_from(state: Tensor) -> Iterator[None]:
    generator = cpu_generator()
    before = generator.get_state()
    generator.set_state(state)
    try:
        yield
    finally:
        generator.set_state(before)
