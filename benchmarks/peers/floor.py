"""The floor under the time of a training step and of decoding: operations and bytes, from the sizes of a comparison.

The operations of training are those of `mt_trainer.training.floor`, which has their formula.
"""

from collections.abc import Iterable

from mt_trainer.data.lengths import LengthSums
from mt_trainer.training.floor import training_operations
from peers.job import Sizes


def operations_per_target_token(sizes: Sizes, lengths: Iterable[tuple[int, int]]) -> float:
    """Floating-point operations of forward and backward for one target token; its share of the source is in it.

    Args:
        lengths: source and target tokens of each sentence, end marks included, padding not.
    """
    sums = LengthSums.of(*zip(*lengths, strict=True))
    operations = training_operations(
        num_encoder_layers=sizes.num_layers,
        num_decoder_layers=sizes.num_layers,
        d_model=sizes.d_model,
        ffn_dim=sizes.ffn_dim,
        tgt_vocab_size=sizes.vocab_size,
        is_gated=False,
    )
    return operations.over(sums) / sums.tgt


def decoding_operations(sizes: Sizes, lengths: Iterable[tuple[int, int]], beam_size: int) -> int:
    """Floating-point operations of beam search with a cache over sentences: every beam computes every step.

    Args:
        lengths: source tokens of each sentence and tokens of its output, end marks included.
    """
    width, inner, layers = sizes.d_model, sizes.ffn_dim, sizes.num_layers
    total = 0
    for src, tgt in lengths:
        total += src * layers * (6 * width**2 + 2 * width * inner) + layers * width * 2 * src**2
        a_step = layers * (6 * width**2 + 2 * width * inner) + width * sizes.vocab_size
        total += beam_size * (tgt * a_step + layers * width * (tgt * (tgt + 1) + 2 * tgt * src))
    return 2 * total


def num_weights(sizes: Sizes) -> int:
    """Elements of all matrices; the embedding is one. Biases and norms are not counted."""
    width, inner = sizes.d_model, sizes.ffn_dim
    return sizes.vocab_size * width + sizes.num_layers * (12 * width**2 + 4 * width * inner)


def step_bytes(sizes: Sizes) -> int:
    """Bytes that a training step has to move for its float32 weights, however few its tokens are.

    Forward and backward read the weight (8), backward writes the gradient (4), Adam reads weight, gradient and two
    moments (16) and writes weight and moments (12).
    """
    return 40 * num_weights(sizes)


def matmul_shapes(sizes: Sizes, batch_tokens: int) -> list[tuple[int, int, int]]:
    """[n, k] x [k, m] as (n, k, m): two cubes, and the products of the model for a step's tokens."""
    width, inner = sizes.d_model, sizes.ffn_dim
    own = [(width, width), (width, 3 * width), (width, inner), (inner, width), (width, sizes.vocab_size)]
    return [(1024, 1024, 1024), (2048, 2048, 2048)] + [(batch_tokens, k, m) for k, m in own]
