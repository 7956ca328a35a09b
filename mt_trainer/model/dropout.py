"""Dropout whose mask is cheap on a CPU.

`F.dropout` on a CPU draws one Bernoulli variable an element, which costs more than the matmul before it. Here one
64-bit draw decides four elements: each gets 16 random bits and is kept when they are at least p * 2^16. The
probability is therefore p rounded to 1/65536, and the scale is that of the rounded p, so that the mean is exact in
float32. In bfloat16 the scale has 8 bits: the mean may be off by 1 part in 256.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import record_function

from mt_trainer.machine import cpu_generator

LEVELS = 1 << 16

MASKS = "dropout masks"
"""The mark by which a profile finds them."""


class Dropout(nn.Module):
    """Zeroes elements with probability p while training and scales the rest by 1 / (1 - p) (Srivastava et al., 2014).

    The mask comes from `cpu_generator` (on a GPU from torch's default generator): seeding it makes it reproducible.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"dropout probability must be in [0, 1), not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: any shape. Returns: the same shape and dtype."""
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        return x * dropout_mask(x, self.p)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"p={self.p}"


def dropout_mask(x: Tensor, p: float) -> Tensor:
    """`keep_mask` as layers call it: to a compiler one operation, for it cannot follow the generator of a thread."""
    if torch.compiler.is_compiling():
        mask: Tensor = torch.ops.mt_trainer.keep_mask(x.detach(), p)
        return mask
    return keep_mask(x, p)


def keep_mask(x: Tensor, p: float) -> Tensor:
    """A tensor like x that is 0 with probability p (to 1/65536) and else 1 / (1 - p)."""
    dropped = min(round(p * LEVELS), LEVELS - 1)
    with record_function(MASKS):
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64)
        words.random_(-(1 << 63), None, generator=cpu_generator())
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        # Written as numbers at once: by way of booleans it takes several times as long.
        kept = torch.ge(bits, dropped - LEVELS // 2, out=torch.empty_like(x, memory_format=torch.contiguous_format))
        return kept.mul_(LEVELS / (LEVELS - dropped))


_operators = torch.library.Library("mt_trainer", "DEF")
_operators.define("keep_mask(Tensor x, float p) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,))
_operators.impl("keep_mask", keep_mask, "CPU")
torch.library.register_fake("mt_trainer::keep_mask", lambda x, p: x.new_empty(x.shape), lib=_operators)
