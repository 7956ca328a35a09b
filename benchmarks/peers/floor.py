"""The floor under the time of a training step: the operations that its real tokens need, at the machine's own rate.

Operations. A matrix product [n, k] x [k, m] takes 2 n k m floating-point operations, forward; backward takes the same
product twice, for the gradients of both factors. So training takes 6 for every weight and token that meet:

    source token      L (4 d^2 + 2 d f)   self-attention: query, key, value, output; feed-forward: two products
                    + L 2 d^2             key and value of the decoder's attention to it
    target token      L (6 d^2 + 2 d f)   self-attention; query and output of the attention to the source; feed-forward
                    + d V                 vocabulary

and attention itself, in which two positions meet in two products of width d: S^2 pairs of positions in each encoder
layer, T^2 (the causal half is not taken off: the usual kernels compute all) and T S in each decoder layer:

                      L d 2 (S^2 + T^2 + T S)

for a sentence of S source and T target tokens, end marks included, in a model of L + L layers. Norms, softmax, dropout,
the optimizer and the gather of the embeddings are not counted: they are a few per cent of the operations.
"""

from collections.abc import Iterable

from peers.job import Sizes


def training_operations(sizes: Sizes, lengths: Iterable[tuple[int, int]]) -> int:
    """Floating-point operations of forward and backward over sentences.

    Args:
        lengths: source and target tokens of each sentence, end marks included, padding not.
    """
    width, inner = sizes.d_model, sizes.ffn_dim
    a_source_token = sizes.num_layers * (4 * width**2 + 2 * width * inner + 2 * width**2)
    a_target_token = sizes.num_layers * (6 * width**2 + 2 * width * inner) + width * sizes.vocab_size
    total = 0
    for src, tgt in lengths:
        attention = sizes.num_layers * width * 2 * (src**2 + tgt**2 + tgt * src)
        total += src * a_source_token + tgt * a_target_token + attention
    return 6 * total


def operations_per_target_token(sizes: Sizes, lengths: Iterable[tuple[int, int]]) -> float:
    """The same for one target token of the text; its share of the source tokens is in it."""
    sentences = list(lengths)
    return training_operations(sizes, sentences) / sum(tgt for _, tgt in sentences)


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
