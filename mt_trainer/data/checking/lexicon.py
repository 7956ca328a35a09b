"""How likely two texts translate each other, learned from the corpus itself: lengths, end marks, names, word pairs.

All numbers are log-likelihood ratios in nats: what speaks for "translations" rather than for "any two texts of this
corpus". The word pairs are those that occur together far more often than by chance (pointwise mutual information).
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mt_trainer.data.checking.words import Features

MAX_SHIFT = 3
"""Lines by which two sides may be shifted against each other and still be recognised."""

SHIFTS = tuple(range(-MAX_SHIFT, MAX_SHIFT + 1))

BLOCK_ROWS = 64
MAX_BLOCKS = 512
"""Neighbouring rows are sampled in blocks, evenly spread: at most 32,768 rows, all of a smaller corpus."""

MAX_COMBINATIONS = 4_000_000
"""Word pairs that are counted: bounds memory and time."""

MIN_OCCURRENCES = 3
MIN_LIFT = 3.0
MIN_PROBABILITY = 0.2
STRONGEST = 6.0
"""A pair's evidence lies between -6 and 6 nats, so that no single pair decides where lines are shifted."""

Pair = tuple[Features, Features]
Block = list[Pair | None]


class Sample:
    """Blocks of neighbouring rows; every second one is let go whenever there are too many."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}
        self._stride = 1

    def add(self, row: int, pair: Pair | None) -> None:
        """The next row; None for one without text on both sides."""
        number = row // BLOCK_ROWS
        if number % self._stride:
            return
        self._blocks.setdefault(number, []).append(pair)
        if len(self._blocks) > MAX_BLOCKS:
            self._stride *= 2
            self._blocks = {n: block for n, block in self._blocks.items() if n % self._stride == 0}

    def blocks(self) -> list[Block]:
        """What was kept, in order."""
        return list(self._blocks.values())


@dataclass(frozen=True)
class Evidence:
    """Says how much speaks for two texts being translations of each other.

    Attributes:
        translations: for a source word: the target word that goes with it, nats if that is there, nats if not.
        num_texts: of the sample.
        tgt_counts: target texts of the sample with each word.
        mean, spread, chance_spread: of the difference of log lengths; the spread of any two texts.
        end_marks: nats of each pair of end marks.
    """

    translations: dict[str, tuple[str, float, float]]
    num_texts: int
    tgt_counts: Counter[str]
    mean: float
    spread: float
    chance_spread: float
    end_marks: dict[tuple[str, str], float]

    def prepared(self, src: Features) -> list[tuple[str, float, float]]:
        """The entries of a source text's words, to be compared with several target texts."""
        known = self.translations
        return [known[word] for word in src.words if word in known]

    def score(self, src: Features, tgt: Features, entries: Sequence[tuple[str, float, float]]) -> float:
        """Nats for the pair; `entries` are those of `prepared(src)`."""
        words = tgt.words
        total = 0.0
        for word, hit, miss in entries:
            total += hit if word in words else miss
        for word in src.words & words:
            if (len(word) >= 4 or word in src.numbers) and word not in self.translations:
                total += max(0.0, math.log(0.7 * self.num_texts / max(self.tgt_counts[word], 1)))
        if src.numbers and tgt.numbers and src.numbers.isdisjoint(tgt.numbers):
            total -= 2.0
        total += self.end_marks.get((src.end_mark, tgt.end_mark), 0.0)
        deviation = tgt.log_length - src.log_length - self.mean
        total += max(
            -3.0,
            math.log(self.chance_spread / self.spread)
            - 0.5 * (deviation / self.spread) ** 2
            + 0.5 * (deviation / self.chance_spread) ** 2,
        )
        return max(-STRONGEST, min(STRONGEST, total))


def learned_evidence(blocks: Sequence[Block]) -> Evidence | None:
    """What the sampled blocks teach; None when they are too few to learn from (fewer than 50 pairs).

    Each block is first brought to the shift at which its lengths and shared words fit best, so that a corpus whose
    lines are shifted from some place on teaches as much as any other. Blocks that do not fit at all by what was learned
    are left out, and it is learned again.
    """
    aligned = [pairs for pairs in (list(_aligned(block)) for block in blocks) if pairs]
    evidence = _evidence([pair for pairs in aligned for pair in pairs])
    if evidence is None:
        return None
    fits = [_mean_score(evidence, pairs) for pairs in aligned]
    good = [pairs for pairs, fit in zip(aligned, fits, strict=True) if fit >= 0.5 * float(np.quantile(fits, 0.75))]
    again = _evidence([pair for pairs in good for pair in pairs]) if len(good) < len(aligned) else None
    return again or evidence


def _mean_score(evidence: Evidence, pairs: Sequence[Pair]) -> float:
    return sum(evidence.score(src, tgt, evidence.prepared(src)) for src, tgt in pairs) / len(pairs)


def _evidence(pairs: Sequence[Pair]) -> Evidence | None:
    if len(pairs) < 50:
        return None
    differences = np.array([tgt.log_length - src.log_length for src, tgt in pairs])
    mean = float(np.median(differences))
    spread = max(0.1, 1.4826 * float(np.median(np.abs(differences - mean))))
    sides = [np.array([pair[side].log_length for pair in pairs]) for side in (0, 1)]
    chance_spread = max(spread, float(np.sqrt(sides[0].var() + sides[1].var())))
    return Evidence(
        translations=_translations(pairs),
        num_texts=len(pairs),
        tgt_counts=Counter(chain.from_iterable(tgt.words for _, tgt in pairs)),
        mean=mean,
        spread=spread,
        chance_spread=chance_spread,
        end_marks=_end_marks(pairs),
    )


def strength_of_alignment(blocks: Sequence[Block]) -> float | None:
    """Mean evidence of faced pairs less that of any two texts, in nats; near 0 where the sides have nothing in common.

    Learned from every second block and measured on the others: what fits only by chance does not fit there. None for
    fewer than two blocks, or too little in them.
    """
    evidence = learned_evidence(blocks[::2])
    pairs = [pair for block in blocks[1::2] for pair in _aligned(block)]
    if evidence is None or len(pairs) < 2:
        return None
    chosen = pairs[:: max(1, len(pairs) // 1000)]
    faced = any_two = 0.0
    for number, (src, tgt) in enumerate(chosen):
        entries = evidence.prepared(src)
        faced += evidence.score(src, tgt, entries)
        any_two += evidence.score(src, chosen[(number + len(chosen) // 2) % len(chosen)][1], entries)
    return (faced - any_two) / len(chosen)


def _aligned(block: Block) -> Iterator[Pair]:
    """The pairs of a block at its best shift."""
    best = max(SHIFTS, key=lambda shift: _fit(block, shift) - (0.25 if shift else 0.0))
    for row, pair in enumerate(block):
        if 0 <= row + best < len(block) and pair is not None and (other := block[row + best]) is not None:
            yield pair[0], other[1]


def _fit(block: Block, shift: int) -> float:
    """Correlation of log lengths, and the mean share of words that both sides have."""
    if len(block) < BLOCK_ROWS // 2:
        return 0.0 if shift else 1.0
    faced = [
        (pair[0], other[1])
        for row, pair in enumerate(block)
        if 0 <= row + shift < len(block) and pair is not None and (other := block[row + shift]) is not None
    ]
    if len(faced) < BLOCK_ROWS // 4:
        return 0.0
    lengths = np.array([(src.log_length, tgt.log_length) for src, tgt in faced])
    if lengths.std(axis=0).min() < 1e-6:
        correlation = 0.0
    else:
        correlation = float(np.corrcoef(lengths.T)[0, 1])
    shared = [len(src.words & tgt.words) / max(1, min(len(src.words), len(tgt.words))) for src, tgt in faced]
    return correlation + float(np.mean(shared))


def _end_marks(pairs: Sequence[Pair]) -> dict[tuple[str, str], float]:
    joint = Counter((src.end_mark, tgt.end_mark) for src, tgt in pairs)
    src_marks = Counter(src.end_mark for src, _ in pairs)
    tgt_marks = Counter(tgt.end_mark for _, tgt in pairs)
    return {
        (s, t): max(-1.5, min(1.5, math.log((joint[s, t] + 0.5) * len(pairs) / ((num_s + 0.5) * (num_t + 0.5)))))
        for s, num_s in src_marks.items()
        for t, num_t in tgt_marks.items()
    }


def _translations(pairs: Sequence[Pair]) -> dict[str, tuple[str, float, float]]:
    """For each source word the target word it goes with most clearly, where one does."""
    num_combinations = sum(len(src.words) * len(tgt.words) for src, tgt in pairs)
    pairs = pairs[:: -(-num_combinations // MAX_COMBINATIONS) or 1]
    sides = [Counter(chain.from_iterable(pair[side].words for pair in pairs)) for side in (0, 1)]
    names = [[word for word, count in side.items() if count >= MIN_OCCURRENCES] for side in sides]
    ids = [{word: number for number, word in enumerate(side)} for side in names]
    keys: list[NDArray[np.int64]] = []
    for src, tgt in pairs:
        of_src = np.array([ids[0][word] for word in src.words if word in ids[0]], dtype=np.int64)
        of_tgt = np.array([ids[1][word] for word in tgt.words if word in ids[1]], dtype=np.int64)
        keys.append((of_src[:, None] * len(names[1]) + of_tgt).ravel())
    found, together = np.unique(np.concatenate(keys), return_counts=True)
    is_frequent = together >= MIN_OCCURRENCES
    found, together = found[is_frequent], together[is_frequent]
    src_ids, tgt_ids = np.divmod(found, max(1, len(names[1])))
    counts = [
        np.array([side[word] for word in known], dtype=np.float64) for side, known in zip(sides, names, strict=True)
    ]
    lift = together * len(pairs) / (counts[0][src_ids] * counts[1][tgt_ids])
    probability = (together + 0.5) / (counts[0][src_ids] + 1)
    order = np.lexsort((together * np.log(np.maximum(lift, 1e-9)), src_ids))  # the clearest of each word comes last
    result: dict[str, tuple[str, float, float]] = {}
    for i in order.tolist():
        if lift[i] >= MIN_LIFT and probability[i] >= MIN_PROBABILITY:
            by_chance = counts[1][tgt_ids[i]] / len(pairs)
            likely = min(0.95, float(probability[i]))
            hit, miss = math.log(likely / by_chance), math.log((1 - likely) / (1 - by_chance))
            result[names[0][src_ids[i]]] = (names[1][tgt_ids[i]], min(4.0, hit), max(-2.0, miss))
    return result
