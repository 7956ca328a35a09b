"""How an encoder or decoder layer is gone through in training: straight, or with its activations computed again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mt_trainer.machine import cpu_generator

LayerPass = Callable[..., Tensor]
"""(layer, *inputs of the layer) -> its output."""


def straight(layer: nn.Module, *inputs: Tensor) -> Tensor:
    """The layer called as it is."""
    output: Tensor = layer(*inputs)
    return output


def recomputed(layer: nn.Module, *inputs: Tensor) -> Tensor:
    """The same, but only the inputs are kept for backward, which goes through the layer once more before its own work.

    Dropout draws what it drew before: the gradients are, bit for bit, those without it.
    """
    output: Tensor = checkpoint(
        layer,
        *inputs,
        use_reentrant=False,
        # of torch's generators alone, and for the whole process: on a CPU `_same_draws` sees to the generator in use
        preserve_rng_state=inputs[0].device.type != "cpu",
        context_fn=_same_draws,
    )
    return output


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
