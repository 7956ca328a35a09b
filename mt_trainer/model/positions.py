"""Where a token stands: sinusoidal, learned or rotary. Positions restart in every segment of a packed row.

B rows, T positions in a row, D d_model, H heads, K head_dim, P max_positions.
"""

import math

import torch
from torch import Tensor, nn


def positions_of(segments: Tensor) -> Tensor:
    """Position of each token inside its segment, from 0.

    Args:
        segments: int [B, T]; a segment is a run of equal numbers.
    """
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return index - torch.cummax(index * starts, dim=1).values


def sinusoidal_table(max_positions: int, d_model: int) -> Tensor:
    """float32 [P, D]: sines in the first half of the width, cosines in the second.

    sin(pos / 10000^(2i/D)), cos(pos / 10000^(2i/D)) (Vaswani et al., 2017, section 3.5; they interleave the two
    halves, which is the same up to a permutation of the width).
    """
    half = (d_model + 1) // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000.0) * 2 / d_model))
    angles = torch.arange(max_positions, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :d_model].float()


class SinusoidalPositions(nn.Module):
    """Adds fixed sines and cosines to the embeddings."""

    table: Tensor

    def __init__(self, max_positions: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoidal_table(max_positions, d_model), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x [B, T, D], positions [B, T] -> [B, T, D]."""
        return x + self.table[positions].to(x.dtype)


class LearnedPositions(nn.Module):
    """Adds a trained vector for each position up to max_positions."""

    def __init__(self, max_positions: int, d_model: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_positions, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x [B, T, D], positions [B, T] -> [B, T, D]."""
        embedded: Tensor = self.embedding(positions)
        return x + embedded


class RotaryPositions(nn.Module):
    """Rotates queries and keys of self-attention by an angle that grows with the position (Su et al., 2021).

    Their products then depend on the distance alone. The two coordinates of a plane are i and i + K/2. The rotation is
    computed in float32: in bfloat16 a cosine has 8 bits, and planes that turn slowly would not tell neighbours apart.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, max_positions: int, head_dim: int) -> None:
        super().__init__()
        rates = 10000.0 ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
        angles = torch.arange(max_positions, dtype=torch.float64)[:, None] * rates
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x [B, H, T, K] (queries or keys), positions [B, T] -> [B, H, T, K], in the dtype of x."""
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        first, second = x.to(cos.dtype).chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
