"""How often each piece of a vocabulary occurs in a corpus."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mt_trainer.data.corpus import Corpus

COUNTED_AT_ONCE = 1 << 20
"""Ids that are counted at a time, so that memory does not grow with the corpus."""


def target_counts(corpus: Corpus, *, vocab_size: int, eos_id: int) -> NDArray[np.int64]:
    """How often each piece is a label in one epoch, [vocab_size]; the end mark as often as there are pairs.

    With subword sampling these are the counts of the corpus as it is encoded, not of what an epoch draws.
    """
    return _counts(corpus.tgt_side[0], corpus.num_pairs, vocab_size=vocab_size, eos_id=eos_id)


def source_counts(corpus: Corpus, *, vocab_size: int, eos_id: int) -> NDArray[np.int64]:
    """How often each piece is read on the source side in one epoch, [vocab_size]; the end mark once a pair."""
    return _counts(corpus.src_side[0], corpus.num_pairs, vocab_size=vocab_size, eos_id=eos_id)


def _counts(tokens: NDArray[Any], num_pairs: int, *, vocab_size: int, eos_id: int) -> NDArray[np.int64]:
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), COUNTED_AT_ONCE):
        counts += np.bincount(tokens[start : start + COUNTED_AT_ONCE], minlength=vocab_size)
    counts[eos_id] += num_pairs
    return counts
