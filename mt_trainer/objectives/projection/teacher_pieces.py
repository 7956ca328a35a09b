"""A few pieces of a teacher's distribution for each token, without ever holding the logits of all tokens.

Shapes: N tokens, D width, V vocabulary, K pieces per token.
"""

from typing import assert_never

import torch
from torch import Tensor

from mt_trainer.machine import cpu_generator
from mt_trainer.objectives.objective import TeacherPieces
from mt_trainer.objectives.projection.linear_pair import CPU_BUFFER_BYTES, GPU_BUFFER_BYTES
from mt_trainer.objectives.projection.slab_products import parts, project


@torch.no_grad()
def linear_teacher_pieces(
    hidden: Tensor,
    weight: Tensor,
    pieces: TeacherPieces,
    *,
    matmul_dtype: torch.dtype,
    logit_buffer_bytes: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Pieces of p = softmax(hidden @ weight.T) and what each counts.

    Args:
        hidden: [N, D].
        weight: [V, D].
        pieces: `top` are the K most probable, all of them where V is less than K, each with its probability; `sample`
            are K draws from p by `cpu_generator` (on a GPU by torch's default one), each with 1 / K, so that a piece
            that is drawn twice stands there twice.
        matmul_dtype: the precision of the matrix product; probabilities are float32.
        logit_buffer_bytes: memory for logits; None for what suits the device.

    Returns:
        Ids int64 [N, K] and weights float32 [N, K].
    """
    buffer_bytes = logit_buffer_bytes or (CPU_BUFFER_BYTES if weight.device.type == "cpu" else GPU_BUFFER_BYTES)
    chunk_rows = max(1, buffer_bytes // 4 // (4 * len(weight)))
    num_pieces = min(pieces.num_pieces, len(weight)) if pieces.method == "top" else pieces.num_pieces
    ids = torch.empty((len(hidden), num_pieces), dtype=torch.int64, device=weight.device)
    weights = torch.full_like(ids, 1 / num_pieces, dtype=torch.float32)
    generator = cpu_generator() if weight.device.type == "cpu" else None
    for rows in parts(len(hidden), chunk_rows):
        factor = hidden[rows].to(matmul_dtype)
        logits = factor.new_empty((len(factor), len(weight)))
        project(factor, weight, out=logits)
        probs = logits.float().softmax(dim=-1)
        match pieces.method:
            case "top":
                weights[rows], ids[rows] = probs.topk(num_pieces, dim=-1)
            case "sample":
                ids[rows] = probs.multinomial(num_pieces, replacement=True, generator=generator)
            case _:
                assert_never(pieces.method)
    return ids, weights
