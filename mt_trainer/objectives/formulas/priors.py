"""Fixed distributions over the vocabulary that mass is smoothed to: [V] float64, summing to one."""

from collections.abc import Mapping
from typing import Literal, assert_never

import torch
from torch import Tensor

from mt_trainer.objectives.formulas.smoothing import SmoothingConvention

PieceGroup = Literal["target", "common", "source", "none"]
"""Where a piece of a joint vocabulary occurs: on one side, on both or on neither."""


def smoothing_prior(convention: SmoothingConvention, *, vocab_size: int, pad_id: int) -> Tensor:
    """The prior of a convention: uniform, for `no_pad` over all pieces but padding.

    Raises:
        ValueError: `no_pad` with a `pad_id` that is no piece of the vocabulary.
    """
    prior = torch.ones(vocab_size, dtype=torch.float64)
    match convention:
        case "torch" | "fairseq":
            pass
        case "no_pad":
            if not 0 <= pad_id < vocab_size:
                raise ValueError(f"the no_pad convention needs a pad_id from 0 to {vocab_size - 1}, not {pad_id}")
            prior[pad_id] = 0
        case _:
            assert_never(convention)
    return prior / prior.sum()


def unigram_prior(target_counts: Tensor, *, temperature: float) -> Tensor:
    """r_v proportional to count_v^(1 / temperature); a piece that is never a label gets nothing.

    Source: Pereyra et al. 2017; tempered, Meister et al., ACL 2020. Deviations from the code of the latter,
    rycolab/entropyRegularization: its default temperature is 20, and it counts the end of a sentence as often as full
    stops.
    """
    counts = target_counts.double()
    prior = (counts / counts.max()).pow(1 / temperature)  # the counts themselves could overflow
    return prior / prior.sum()


def target_side_prior(target_counts: Tensor) -> Tensor:
    """Uniform over the pieces that occur as a label. Source: masked label smoothing, Chen et al., ACL 2022."""
    prior = (target_counts > 0).double()
    return prior / prior.sum()


def piece_groups(source_counts: Tensor, target_counts: Tensor) -> list[PieceGroup]:
    """Where each piece occurs, by how often it is read on the source side and is a label on the target side."""
    names: list[PieceGroup] = ["none", "source", "target", "common"]
    return [names[i] for i in ((source_counts > 0) + 2 * (target_counts > 0).long()).tolist()]


def group_prior(groups: list[PieceGroup], *, shares: Mapping[PieceGroup, float]) -> Tensor:
    """The prior that gives each group its share, evenly among its pieces; shares of groups without pieces are 0."""
    counts = {name: groups.count(name) for name in shares}
    return torch.tensor(
        [shares[name] / counts[name] if name in shares else 0.0 for name in groups], dtype=torch.float64
    )
