"""Target tokens one after the other, and the sentences that they belong to.

Shapes: N tokens, K pieces before a token. A sentence is a number, the same for all of its tokens, which follow each
other; tokens of equal numbers that do not follow each other are two sentences only for `previous_targets`.
"""

import torch
from torch import Tensor

from mt_trainer.objectives.projection.projection_gradients import add_rows


def number_sentences(segments: Tensor) -> Tensor:
    """The sentence of each position of packed rows, from 0 on; that of padding is of no meaning.

    Args:
        segments: int [R, L], the sentences of a row in order; 0 is padding.
    """
    before = torch.nn.functional.pad(segments[:, :-1], (1, 0))
    is_first = (segments != before) & (segments != 0)
    return (is_first.flatten().cumsum(0) - 1).view_as(segments)


def sentence_means(values: Tensor, sentences: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of some numbers over each sentence.

    Args:
        values: [N].
        sentences: int64 [N], from 0 to N - 1.
        mask: bool [N], True where a token counts.

    Returns:
        The means and the numbers of tokens that counted, [N] each: as if there were a sentence for each token.
    """
    totals = values.new_zeros((len(values), 2))
    add_rows(totals, sentences, torch.stack([values.where(mask, 0), mask.to(values)], dim=1))
    return totals[:, 0] / totals[:, 1].clamp(min=1), totals[:, 1]


def previous_targets(labels: Tensor, sentences: Tensor, *, longest: int | None = None) -> tuple[Tensor, Tensor]:
    """For each token the pieces before it in its own sentence, as a set, without its own label.

    Args:
        labels: int64 [N].
        sentences: int64 [N].
        longest: tokens of the longest sentence; None finds it out, for which a GPU is waited for.

    Returns:
        Ids [N, K], and their weights float32 [N, K]: 1 for a member of the set, 0 for what fills the row, namely pieces
        further back than the sentence, all but the last occurrence of a piece, and the own label. K is the length of
        the longest sentence less one, at least 1.
    """
    token = torch.arange(len(labels), device=labels.device)
    is_first = torch.ones_like(labels, dtype=torch.bool)
    is_first[1:] = sentences[1:] != sentences[:-1]
    start = token.where(is_first, 0).cummax(0).values
    if longest is None:
        longest = int((token - start).max()) + 1 if len(labels) else 1

    before = token.unsqueeze(1) - torch.arange(1, max(2, longest), device=labels.device)
    is_within = before >= start.unsqueeze(1)
    before = before.where(is_within, 0)
    # A piece counts where it stands last before the token: its next occurrence comes after the token.
    is_member = is_within & (_next_occurrence(labels, start)[before] > token.unsqueeze(1))
    return labels[before].where(is_member, 0), is_member.float()


def _next_occurrence(labels: Tensor, start: Tensor) -> Tensor:
    """The next token of the same sentence with the same label, [N]; N where there is none."""
    by_label = labels.argsort(stable=True)
    order = by_label[start[by_label].argsort(stable=True)]
    here, there = order[:-1], order[1:]
    is_same = (labels[here] == labels[there]) & (start[here] == start[there])
    following = torch.full_like(labels, len(labels))
    following[here] = there.where(is_same, len(labels))
    return following
