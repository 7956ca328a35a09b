"""The encoder-decoder Transformer (Vaswani et al., 2017), pre- or post-norm, over packed rows.

B rows, S source positions, T target positions, D d_model, H heads, K head_dim, V vocabulary, W beams,
R slots of the cache.
A *segment* is one sentence inside a row: 1, 2, ... in order, 0 for padding. A row may hold one sentence or many.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mt_trainer.model.attention import AttentionMask, CrossAttention, KeyValueCache, SelfAttention, segment_mask
from mt_trainer.model.dropout import Dropout
from mt_trainer.model.feed_forward import Activation, FeedForward
from mt_trainer.model.layer_pass import LayerPass, straight
from mt_trainer.model.positions import LearnedPositions, RotaryPositions, SinusoidalPositions, positions_of

FORGET_EVERY = 8
"""Steps of decoding after which what no beam descends from is forgotten: moving the rest costs about what a step does
in attention."""


@dataclass(frozen=True)
class LayerSizes:
    """What an encoder and a decoder layer are built from."""

    d_model: int
    num_heads: int
    ffn_dim: int
    activation: Activation
    dropout: float
    attention_dropout: float
    activation_dropout: float
    norm_first: bool


class Residual(nn.Module):
    """x + dropout(block(norm(x))) for pre-norm, norm(x + dropout(block(x))) for post-norm."""

    def __init__(self, sizes: LayerSizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.d_model)
        self.dropout = Dropout(sizes.dropout)
        self.norm_first = sizes.norm_first

    def forward(self, x: Tensor, block: Callable[[Tensor], Tensor]) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        if self.norm_first:
            added: Tensor = x + self.dropout(block(self.norm(x)))
            return added
        normed: Tensor = self.norm(x + self.dropout(block(x)))
        return normed


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward, each in a residual."""

    def __init__(self, sizes: LayerSizes, rotary: RotaryPositions | None) -> None:
        super().__init__()
        self.self_attention = SelfAttention(sizes.d_model, sizes.num_heads, sizes.attention_dropout, rotary)
        self.feed_forward = FeedForward(sizes.d_model, sizes.ffn_dim, sizes.activation, sizes.activation_dropout)
        self.around_self_attention = Residual(sizes)
        self.around_feed_forward = Residual(sizes)

    def forward(self, x: Tensor, positions: Tensor, mask: AttentionMask) -> Tensor:
        """x [B, S, D], positions [B, S], mask [B, 1, S, S] -> [B, S, D]."""
        x = self.around_self_attention(x, lambda y: self.self_attention(y, positions, mask))
        return self.around_feed_forward(x, self.feed_forward)  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Causal self-attention, attention over the encoder's output, feed-forward, each in a residual."""

    def __init__(self, sizes: LayerSizes, rotary: RotaryPositions | None) -> None:
        super().__init__()
        self.self_attention = SelfAttention(sizes.d_model, sizes.num_heads, sizes.attention_dropout, rotary)
        self.cross_attention = CrossAttention(sizes.d_model, sizes.num_heads, sizes.attention_dropout)
        self.feed_forward = FeedForward(sizes.d_model, sizes.ffn_dim, sizes.activation, sizes.activation_dropout)
        self.around_self_attention = Residual(sizes)
        self.around_cross_attention = Residual(sizes)
        self.around_feed_forward = Residual(sizes)

    def forward(
        self, x: Tensor, positions: Tensor, mask: AttentionMask, memory: Tensor, memory_mask: AttentionMask
    ) -> Tensor:
        """x [B, T, D], mask [B, 1, T, T], memory [B, S, D], memory_mask [B, 1, T, S] -> [B, T, D]."""
        x = self.around_self_attention(x, lambda y: self.self_attention(y, positions, mask))
        x = self.around_cross_attention(x, lambda y: self.cross_attention(y, memory, memory_mask))
        return self.around_feed_forward(x, self.feed_forward)  # type: ignore[no-any-return]

    def step(
        self, x: Tensor, position: int, mask: AttentionMask, memory_mask: AttentionMask, cache: KeyValueCache
    ) -> Tensor:
        """One position of every beam: x [B, W, D], mask [B, 1, W, R'], memory_mask [B, 1, 1, S] -> [B, W, D]."""
        x = self.around_self_attention(x, lambda y: self.self_attention.step(y, position, mask, cache))
        x = self.around_cross_attention(x, lambda y: self.cross_attention.step(y, memory_mask, cache))
        return self.around_feed_forward(x, self.feed_forward)  # type: ignore[no-any-return]


@dataclass
class DecoderCache:
    """The state of a batch that is being decoded; made by `Transformer.start_decoding`."""

    layers: list[KeyValueCache]
    memory_mask: AttentionMask  # [B, 1, 1, S]
    ancestors: Tensor  # bool [B, W, R'], of the slots written so far those that beam w continues
    length: int = 0
    """Positions written so far."""

    def reorder(self, beams: Tensor) -> None:
        """New beam w of sentence b goes on from old beam beams[b, w]; int64 [B, W], as many beams as are wanted now."""
        self.ancestors = self.ancestors.gather(1, beams[..., None].expand(-1, -1, self.ancestors.shape[2]))
        if beams.shape[1] > 1 and self.length % FORGET_EVERY == 0:
            self.keep(torch.arange(len(beams), device=beams.device))

    def keep(self, sentences: Tensor) -> None:
        """Forget all but these sentences, int64 [B'], and the slots that no beam of theirs descends from any more.

        Sentences need different numbers of slots: all keep as many as the one that needs most.
        """
        self.memory_mask, ancestors = self.memory_mask.of_rows(sentences), self.ancestors[sentences]
        is_needed = ancestors.any(1)  # [B', R']
        slots = is_needed.int().argsort(dim=1, descending=True, stable=True)[:, : int(is_needed.sum(1).max())]
        self.ancestors = ancestors.gather(2, slots[:, None].expand(-1, ancestors.shape[1], -1))
        for layer in self.layers:
            layer.keep(sentences, slots)


class Transformer(nn.Module):
    """Tokens in, hidden states out. The vocabulary projection is left to the objective, through `output_weight`.

    Attributes:
        output_weight: [V, D], tied to the decoder's embedding unless share_embeddings is `none`.
        max_positions: the longest row or output it can place.
        layer_pass: how its layers are gone through in training.
    """

    def __init__(
        self,
        *,
        src_vocab_size: int,
        tgt_vocab_size: int,
        num_encoder_layers: int,
        num_decoder_layers: int,
        sizes: LayerSizes,
        positions: str,
        share_embeddings: str,
        max_positions: int,
        pad_id: int,
    ) -> None:
        super().__init__()
        d_model = sizes.d_model
        self.pad_id, self.max_positions = pad_id, max_positions
        self.embedding_scale = math.sqrt(d_model)
        self.is_gated = sizes.activation == "swiglu"
        self.layer_pass: LayerPass = straight
        self.tgt_embedding = nn.Embedding(tgt_vocab_size, d_model, padding_idx=pad_id)
        self.src_embedding = (
            self.tgt_embedding
            if share_embeddings == "all"
            else nn.Embedding(src_vocab_size, d_model, padding_idx=pad_id)
        )
        self.output_weight = (
            nn.Parameter(torch.empty(tgt_vocab_size, d_model))
            if share_embeddings == "none"
            else self.tgt_embedding.weight
        )
        rotary = RotaryPositions(max_positions, d_model // sizes.num_heads) if positions == "rotary" else None
        self.src_positions = _added_positions(positions, max_positions, d_model)
        self.tgt_positions = _added_positions(positions, max_positions, d_model)
        self.embedding_dropout = Dropout(sizes.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(sizes, rotary) for _ in range(num_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(sizes, rotary) for _ in range(num_decoder_layers))
        self.encoder_norm = nn.LayerNorm(d_model) if sizes.norm_first else nn.Identity()
        self.decoder_norm = nn.LayerNorm(d_model) if sizes.norm_first else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier-uniform matrices, zero biases, embeddings N(0, 1/D) with a zero row for padding.

        Maps that are stacked in one matrix, such as query, key and value, have the bound of each, not of the stack.
        """
        for name, parameter in self.named_parameters():
            if "embedding" in name or name == "output_weight":
                nn.init.normal_(parameter, std=1 / self.embedding_scale)
            elif "norm" in name:
                nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for part in parameter.chunk(self._num_stacked(name)):
                    nn.init.xavier_uniform_(part)
        with torch.no_grad():
            for embedding in (self.src_embedding, self.tgt_embedding):
                embedding.weight[self.pad_id] = 0.0

    def _num_stacked(self, name: str) -> int:
        """How many maps a matrix holds, one below the other."""
        if "query_key_value" in name:
            return 3
        return 2 if "key_value" in name or ("inner" in name and self.is_gated) else 1

    def forward(self, src_tokens: Tensor, src_segments: Tensor, tgt_inputs: Tensor, tgt_segments: Tensor) -> Tensor:
        """Hidden states [B, T, D] from which the next target tokens are predicted (teacher forcing).

        Args:
            src_tokens, src_segments: int [B, S].
            tgt_inputs, tgt_segments: int [B, T]; inputs start with BOS in every segment.
        """
        memory = self.encode(src_tokens, src_segments)
        return self.decode(tgt_inputs, tgt_segments, memory, src_segments)

    def encode(self, src_tokens: Tensor, src_segments: Tensor) -> Tensor:
        """The memory [B, S, D] of source tokens [B, S]."""
        positions = positions_of(src_segments)
        mask = AttentionMask.of(segment_mask(src_segments, src_segments, causal=False))
        x = self._embed(self.src_embedding, self.src_positions, src_tokens, positions)
        for layer in self.encoder:
            x = self._through(layer, x, positions, mask)
        memory: Tensor = self.encoder_norm(x)
        return memory

    def decode(self, tgt_inputs: Tensor, tgt_segments: Tensor, memory: Tensor, src_segments: Tensor) -> Tensor:
        """Hidden states [B, T, D] of all target positions at once; the definition that `decode_step` is held to."""
        positions = positions_of(tgt_segments)
        mask = AttentionMask.of(segment_mask(tgt_segments, tgt_segments, causal=True))
        memory_mask = AttentionMask.of(segment_mask(tgt_segments, src_segments, causal=False))
        x = self._embed(self.tgt_embedding, self.tgt_positions, tgt_inputs, positions)
        for layer in self.decoder:
            x = self._through(layer, x, positions, mask, memory, memory_mask)
        hidden: Tensor = self.decoder_norm(x)
        return hidden

    def start_decoding(self, memory: Tensor, memory_mask: Tensor, *, num_beams: int, max_slots: int) -> DecoderCache:
        """An empty cache; the memory's keys and values are computed here, once.

        Args:
            memory: [B, S, D], one sentence a row.
            memory_mask: bool [B, S], True for real source tokens.
            num_beams: of the first step.
            max_slots: at least the beams of all steps together.
        """
        layers = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            keys, values = layer.cross_attention.project_memory(memory)
            shape = (len(keys), max_slots, keys.shape[1], keys.shape[3])
            layers.append(KeyValueCache(keys.new_empty(shape), keys.new_empty(shape), keys, values))
        ancestors = memory_mask.new_empty(memory.shape[0], num_beams, 0)
        return DecoderCache(layers, AttentionMask.of(memory_mask[:, None, None]), ancestors)

    def decode_step(self, tokens: Tensor, cache: DecoderCache) -> Tensor:
        """Hidden states [B, W, D] after the last tokens [B, W]; moves the cache on by one position."""
        positions = torch.full_like(tokens, cache.length)
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)  # each beam fills its own slot
        cache.ancestors = torch.cat([cache.ancestors, itself.expand(len(tokens), -1, -1)], dim=2)
        mask = AttentionMask.of(cache.ancestors[:, None])
        x = self._embed(self.tgt_embedding, self.tgt_positions, tokens, positions)
        for layer, layer_cache in zip(self.decoder, cache.layers, strict=True):
            assert isinstance(layer, DecoderLayer)
            x = layer.step(x, cache.length, mask, cache.memory_mask, layer_cache)
        cache.length += 1
        hidden: Tensor = self.decoder_norm(x)
        return hidden

    def _through(self, layer: nn.Module, x: Tensor, *inputs: Tensor | AttentionMask) -> Tensor:
        return self.layer_pass(layer, x, *inputs) if self.training else straight(layer, x, *inputs)

    def _embed(self, embedding: nn.Embedding, added: nn.Module | None, tokens: Tensor, positions: Tensor) -> Tensor:
        """tokens [B, T], positions [B, T] -> [B, T, D]: scaled embeddings plus positions, dropped out."""
        x: Tensor = embedding(tokens) * self.embedding_scale
        if added is not None:
            x = added(x, positions)
        dropped: Tensor = self.embedding_dropout(x)
        return dropped


def _added_positions(kind: str, max_positions: int, d_model: int) -> nn.Module | None:
    """The module that adds positions to embeddings; None where attention itself knows them."""
    match kind:
        case "sinusoidal":
            return SinusoidalPositions(max_positions, d_model)
        case "learned":
            return LearnedPositions(max_positions, d_model)
        case "rotary":
            return None
    raise ValueError(f"unknown positions: {kind}")
