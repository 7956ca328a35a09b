"""Pairs of text to what the corpus stores of them: a pure function, the same in this process and in any other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mt_trainer.data.cleaning import Verdict, judge_lengths
from mt_trainer.data.corpus import EncodedSide
from mt_trainer.data.evaluation_sets import text_hashes
from mt_trainer.tokenizer import TokenizerPair

CHUNK_PAIRS = 8192
"""Pairs encoded together."""


@dataclass(frozen=True)
class LengthRules:
    """What `judge_lengths` asks of a pair."""

    max_length: int
    max_length_ratio: float


@dataclass(frozen=True)
class EncodedChunk:
    """Pairs that passed the text filters, in their order, encoded and judged by their lengths.

    Attributes:
        pairs: their texts.
        src_ids, tgt_ids: their pieces, without special ids.
        verdicts: a `Verdict` each.
    """

    pairs: Sequence[tuple[str, str]]
    src_ids: list[list[int]]
    tgt_ids: list[list[int]]
    verdicts: NDArray[np.uint8]


@dataclass(frozen=True)
class CorpusPart:
    """What the corpus stores of a chunk.

    Attributes:
        verdicts: uint8 [pairs], a `Verdict` for each pair of the chunk.
        src, tgt: the ids of those that are kept.
        src_hashes, src_hashes_alike: uint64 [pairs that are kept], as `text_hashes` gives them.
    """

    verdicts: NDArray[np.uint8]
    src: EncodedSide
    tgt: EncodedSide
    src_hashes: NDArray[np.uint64]
    src_hashes_alike: NDArray[np.uint64]


def encode_pairs(
    pairs: Sequence[tuple[str, str]], tokenizers: TokenizerPair, rules: LengthRules, *, num_threads: int | None = None
) -> EncodedChunk:
    """The pairs in pieces, with the verdict that their lengths lead to.

    Args:
        num_threads: that encode; None for what suits the machine. The result does not depend on it.
    """
    src_ids = tokenizers.src.encode([src for src, _ in pairs], num_threads=num_threads)
    tgt_ids = tokenizers.tgt.encode([tgt for _, tgt in pairs], num_threads=num_threads)
    verdicts = judge_lengths(
        np.array([len(ids) for ids in src_ids], dtype=np.int32),
        np.array([len(ids) for ids in tgt_ids], dtype=np.int32),
        max_length=rules.max_length,
        max_length_ratio=rules.max_length_ratio,
    )
    return EncodedChunk(pairs, src_ids, tgt_ids, verdicts)


def corpus_part(
    pairs: Sequence[tuple[str, str]], tokenizers: TokenizerPair, rules: LengthRules, *, num_threads: int | None = None
) -> CorpusPart:
    """The same as arrays, without the pairs that are dropped, and with the hashes of the kept sources."""
    chunk = encode_pairs(pairs, tokenizers, rules, num_threads=num_threads)
    kept = np.flatnonzero(chunk.verdicts == Verdict.KEPT).tolist()
    exact, alike = text_hashes(pairs[i][0] for i in kept)
    return CorpusPart(
        verdicts=chunk.verdicts,
        src=EncodedSide.of([chunk.src_ids[i] for i in kept], vocab_size=tokenizers.src.vocab_size),
        tgt=EncodedSide.of([chunk.tgt_ids[i] for i in kept], vocab_size=tokenizers.tgt.vocab_size),
        src_hashes=exact,
        src_hashes_alike=alike,
    )
