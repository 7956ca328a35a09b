"""Multi-head attention over packed rows, and its key-value cache for decoding.

B rows (decoding: sentences), T query positions, S key positions, D d_model, H heads, K head_dim, W beams,
R slots of the cache.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mt_trainer.model.dropout import dropout_mask
from mt_trainer.model.positions import RotaryPositions

HIDDEN = -1e30
"""Added to the scores of keys that may not be seen. Finite, so that a query without any key gives no NaN."""


def segment_mask(query_segments: Tensor, key_segments: Tensor, *, causal: bool) -> Tensor:
    """bool [B, 1, T, S]: a query may see the keys of its own segment; padding (segment 0) is seen by nobody.

    Args:
        query_segments: int [B, T].
        key_segments: int [B, S].
        causal: whether a query sees only its own position and those before it (then T == S).
    """
    may_see = (query_segments[:, :, None] == key_segments[:, None, :]) & (key_segments != 0)[:, None, :]
    return (may_see.tril() if causal else may_see)[:, None]


class AttentionMask(NamedTuple):
    """Which keys each query may see, in the forms that the kernels read: made once, used by all layers.

    Attributes:
        allowed: bool [B, 1, T, S], True means *attend*. A query that may see no key stands here as one that sees all:
            no kernel ever meets a row without keys, which some of them (cuDNN's on Hopper, pytorch#196678) answer with
            NaN, forward or backward.
        bias: float32 [B, 1, T, S], the same as what is added to the scores: 0 or HIDDEN. On a CPU alone: see `attend`.
        has_keys: bool [B, 1, T, 1], what the context is multiplied by: such a query gives 0, and so do its gradients.
    """

    allowed: Tensor
    bias: Tensor | None
    has_keys: Tensor

    @classmethod
    def of(cls, may_see: Tensor) -> "AttentionMask":
        """From a bool [B, 1, T, S] in which a query may be without keys."""
        has_keys = may_see.any(dim=-1, keepdim=True)
        allowed = may_see | ~has_keys
        bias = torch.where(allowed, 0.0, HIDDEN) if allowed.device.type == "cpu" else None
        return cls(allowed, bias, has_keys)

    def of_rows(self, rows: Tensor) -> "AttentionMask":
        """The same for these of the B rows, int64 [B']."""
        bias = None if self.bias is None else self.bias[rows]
        return AttentionMask(self.allowed[rows], bias, self.has_keys[rows])


def attend(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, *, dropout: float) -> Tensor:
    """softmax(Q K^T / sqrt(K)) V (Vaswani et al., 2017, equation 1); a query with no permitted key gives 0.

    Args:
        query: [B, H, T, K].
        key, value: [B, H, S, K].
        mask: [B, 1, T, S], or with dimensions of 1 that stand for any number.
        dropout: on the attention probabilities; 0 outside training.

    Returns:
        [B, H, T, K], in the dtype of the query.
    """
    if query.device.type == "cpu" and (dropout or query.dtype == torch.bfloat16):
        return attend_written_out(query, key, value, mask, dropout=dropout)
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask.allowed, dropout_p=dropout)
    return context * mask.has_keys


def attend_written_out(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, *, dropout: float) -> Tensor:
    """The same, written out, for a CPU in bfloat16, where the built-in kernel is slower than float32, or with dropout.

    The softmax reads and writes the dtype given and computes in float32. `benchmarks/attention.py` compares the whole
    with the built-in kernel, forward and backward. With dropout the built-in kernel would be written out as well, and
    its mask would come from torch's default generator, which threads share.
    """
    assert mask.bias is not None, "this form is for a CPU"
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2)).add_(mask.bias)
    weights = torch.softmax(scores, dim=-1)
    if dropout:
        weights = weights * dropout_mask(weights, dropout)
    return torch.matmul(weights, value) * mask.has_keys


@dataclass
class KeyValueCache:
    """What one decoder layer remembers while decoding: keys and values, stored once for all beams of a sentence.

    A step writes one slot for each beam. Which slots a beam descends from is known to `DecoderCache`, and is the mask
    of attention: the beams of a sentence stand where query positions stand, and read the same keys. Nothing moves when
    beams change places.
    """

    self_keys: Tensor  # [B, R, H, K], as many slots written as the steps so far had beams
    self_values: Tensor
    memory_keys: Tensor  # [B, H, S, K]
    memory_values: Tensor

    def keep(self, sentences: Tensor, slots: Tensor) -> None:
        """Forget all but these sentences [B'] and, of each of them, these slots [B', R'], which come to the front."""
        self.self_keys, self.self_values = (
            _moved_to_the_front(table, sentences, slots) for table in (self.self_keys, self.self_values)
        )
        if len(sentences) < len(self.memory_keys):
            self.memory_keys, self.memory_values = self.memory_keys[sentences], self.memory_values[sentences]


def _moved_to_the_front(table: Tensor, sentences: Tensor, slots: Tensor) -> Tensor:
    """Part of a table [B, R, H, K], in its own memory: [B', R, H, K], of which the first slots are those given."""
    front = table[: len(sentences)]
    front[:, : slots.shape[1]] = table[sentences[:, None], slots]
    return front


class SelfAttention(nn.Module):
    """Attention of a row over itself."""

    def __init__(self, d_model: int, num_heads: int, dropout: float, rotary: RotaryPositions | None) -> None:
        super().__init__()
        self.num_heads, self.dropout, self.rotary = num_heads, dropout, rotary
        self.query_key_value = nn.Linear(d_model, 3 * d_model)
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, positions: Tensor, mask: AttentionMask) -> Tensor:
        """x [B, T, D], positions [B, T], mask [B, 1, T, T] -> [B, T, D]."""
        query, key, value = self._project(x, positions)
        context = attend(query, key, value, mask, dropout=self.dropout if self.training else 0.0)
        return self._merge(context)

    def step(self, x: Tensor, position: int, mask: AttentionMask, cache: KeyValueCache) -> Tensor:
        """One position of each beam: x [B, W, D] -> [B, W, D]; writes its key and value into the last W slots.

        Args:
            x: hidden states of the beams.
            position: of all of them.
            mask: [B, 1, W, R'], the slots written so far and now that beam w continues.
            cache: of this layer.
        """
        num_beams, num_slots = mask.allowed.shape[2:]
        query, key, value = self._project(x, torch.full(x.shape[:2], position, device=x.device))
        cache.self_keys[:, num_slots - num_beams : num_slots] = key.transpose(1, 2)
        cache.self_values[:, num_slots - num_beams : num_slots] = value.transpose(1, 2)
        keys, values = (table[:, :num_slots].transpose(1, 2) for table in (cache.self_keys, cache.self_values))
        return self._merge(attend(query.to(keys.dtype), keys, values, mask, dropout=0.0))

    def _project(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, D] -> query, key, value, each [B, H, T, K]."""
        projected: Tensor = self.query_key_value(x)
        query, key, value = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.rotary is not None:
            query, key = self.rotary(query, positions), self.rotary(key, positions)
        return query, key, value

    def _merge(self, context: Tensor) -> Tensor:
        """[B, H, T, K] -> [B, T, D]."""
        merged: Tensor = self.output(context.transpose(1, 2).flatten(-2))
        return merged


class CrossAttention(nn.Module):
    """Attention of target positions over the encoder's output."""

    def __init__(self, d_model: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, mask: AttentionMask) -> Tensor:
        """x [B, T, D], memory [B, S, D], mask [B, 1, T, S] -> [B, T, D]."""
        key, value = self.project_memory(memory)
        return self._attend(x, key, value, mask)

    def step(self, x: Tensor, mask: AttentionMask, cache: KeyValueCache) -> Tensor:
        """x [B, W, D], mask [B, 1, 1, S] -> [B, W, D]. Beams stand where query positions stand: keys are read once."""
        return self._attend(x, cache.memory_keys, cache.memory_values, mask)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, D] -> key, value, each [B, H, S, K]."""
        projected: Tensor = self.key_value(memory)
        key, value = projected.unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return key, value

    def _attend(self, x: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
        query: Tensor = self.query(x)
        query = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        context = attend(query, key, value, mask, dropout=self.dropout if self.training else 0.0)
        merged: Tensor = self.output(context.transpose(1, 2).flatten(-2))
        return merged
