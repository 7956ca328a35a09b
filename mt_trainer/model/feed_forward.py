"""The position-wise feed-forward block: two linear maps with a nonlinearity between, or a gated one.

B rows, T positions, D d_model, F ffn_dim.
"""

from typing import Literal, assert_never

from torch import Tensor, nn
from torch.nn import functional

from mt_trainer.model.dropout import Dropout

Activation = Literal["relu", "gelu", "swiglu"]


class FeedForward(nn.Module):
    """relu or gelu: W2 f(W1 x + b1) + b2 (Vaswani et al., 2017, equation 2).

    swiglu: W2 (silu(Wg x) * (W1 x)) without biases (Shazeer, 2020, equation 6); three matrices instead of two.
    """

    def __init__(self, d_model: int, ffn_dim: int, activation: Activation, activation_dropout: float) -> None:
        super().__init__()
        self.activation: Activation = activation
        gated = activation == "swiglu"
        self.inner = nn.Linear(d_model, 2 * ffn_dim if gated else ffn_dim, bias=not gated)
        self.output = nn.Linear(ffn_dim, d_model, bias=not gated)
        self.dropout = Dropout(activation_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        inner: Tensor = self.inner(x)
        match self.activation:
            case "relu":
                inner = functional.relu(inner)
            case "gelu":
                inner = functional.gelu(inner)
            case "swiglu":
                gate, value = inner.chunk(2, dim=-1)
                inner = functional.silu(gate) * value
            case never:
                assert_never(never)
        outer: Tensor = self.output(self.dropout(inner))
        return outer
