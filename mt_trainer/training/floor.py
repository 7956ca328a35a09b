"""The floor under the time of a training step: the operations that its real tokens need, at the machine's own rate.

Operations. A matrix product [n, k] x [k, m] takes 2 n k m floating-point operations, forward; backward takes the same
product twice, for the gradients of both factors. So training takes 6 for every weight and token that meet. In a model
of E encoder and D decoder layers, width d, inner width f, V pieces of the target vocabulary, with g = 2 matrices in a
feed-forward block (3 where it is gated):

    source token      E (4 d^2 + g d f)   self-attention: query, key, value, output; feed-forward
                    + D 2 d^2             key and value of the decoder's attention to it
    target token      D (6 d^2 + g d f)   self-attention; query and output of the attention to the source; feed-forward
                    + V d                 vocabulary

and attention itself, in which two positions meet in two products of width d: S^2 pairs of positions in each encoder
layer, T^2 (the causal half is not taken off: the usual kernels compute all) and T S in each decoder layer:

                      2 d (E S^2 + D (T^2 + T S))

for a sentence of S source and T target tokens, end marks included. Norms, softmax, dropout, the optimizer and the
gather of the embeddings are not counted: they are a few per cent of the operations. Neither is padding, and neither is
what an objective computes beside one forward and one backward pass (a second pass, a teacher): whatever the batches and
the objective are, a token costs the same, so that runs can be compared.
"""

from dataclasses import dataclass

from mt_trainer.data.lengths import LengthSums

FOR_EACH_WEIGHT = 6
"""Operations of training for every weight and token that meet: a multiplication and an addition in three products."""


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one forward and one backward pass of a model.

    Attributes:
        src, tgt: that a source token and a target token take.
        src_src, tgt_tgt, tgt_src: that a pair of positions takes, in attention from the first to the second side.
    """

    src: int
    tgt: int
    src_src: int
    tgt_tgt: int
    tgt_src: int

    def over(self, lengths: LengthSums) -> int:
        """Those of some sentences."""
        return (
            self.src * lengths.src
            + self.tgt * lengths.tgt
            + self.src_src * lengths.src_src
            + self.tgt_tgt * lengths.tgt_tgt
            + self.tgt_src * lengths.tgt_src
        )


def training_operations(
    *,
    num_encoder_layers: int,
    num_decoder_layers: int,
    d_model: int,
    ffn_dim: int,
    tgt_vocab_size: int,
    is_gated: bool,
) -> Operations:
    """What the formula above gives for a model of these sizes; `is_gated`: SwiGLU, with its third matrix."""
    square, feed_forward = d_model**2, (3 if is_gated else 2) * d_model * ffn_dim
    src = num_encoder_layers * (4 * square + feed_forward) + num_decoder_layers * 2 * square
    tgt = num_decoder_layers * (6 * square + feed_forward) + tgt_vocab_size * d_model
    encoder_pair, decoder_pair = 2 * d_model * num_encoder_layers, 2 * d_model * num_decoder_layers
    return Operations(*(FOR_EACH_WEIGHT * each for each in (src, tgt, encoder_pair, decoder_pair, decoder_pair)))


@dataclass(frozen=True)
class Floor:
    """What the time of training is measured by.

    Attributes:
        operations: of the model.
        rate: operations a second of matrix products alone, over all processes.
    """

    operations: Operations
    rate: float

    def seconds(self, lengths: LengthSums) -> float:
        """The time that the real tokens of some sentences need at least."""
        return self.operations.over(lengths) / self.rate
