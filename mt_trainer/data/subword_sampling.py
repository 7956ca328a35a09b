"""Subword regularisation (Kudo, ACL 2018): every epoch cuts the words of the corpus into pieces anew.

A word has its `num_best` most probable segmentations under its tokenizer's unigram model; wherever it occurs, one of
them, x, is drawn with a probability proportional to P(x)^alpha. No piece crosses a word's boundary and the model takes
pieces as independent, so a sentence is drawn word by word. Deviation from the paper: the n best are those of a word,
not of a sentence, so alpha weighs more alternatives than the same alpha there.

P pairs, O occurrences of words in the corpus, U different words, N num_best.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mt_trainer.data.corpus import Corpus
from mt_trainer.tokenizer import Tokenizer, TokenizerPair

DRAWING = 1
"""Sets the random stream of the drawing apart from that of the order of pairs."""


class DrawnPairs:
    """The pairs of one epoch, read like a corpus."""

    def __init__(self, src: tuple[NDArray[Any], NDArray[Any]], tgt: tuple[NDArray[Any], NDArray[Any]]) -> None:
        """Takes ids and offsets [P + 1] of each side."""
        self._src, self._src_offsets = src
        self._tgt, self._tgt_offsets = tgt
        self.src_lengths: NDArray[np.int32] = np.diff(self._src_offsets).astype(np.int32)
        self.tgt_lengths: NDArray[np.int32] = np.diff(self._tgt_offsets).astype(np.int32)

    def src(self, pair: int) -> NDArray[Any]:
        """Source ids of a pair."""
        return self._src[self._src_offsets[pair] : self._src_offsets[pair + 1]]

    def tgt(self, pair: int) -> NDArray[Any]:
        """Target ids of a pair."""
        return self._tgt[self._tgt_offsets[pair] : self._tgt_offsets[pair + 1]]


class SubwordSampler:
    """Draws the segmentation of a whole corpus for an epoch, as a function of (seed, epoch) alone.

    It holds four bytes for every word of the corpus, and the segmentations of every different word.
    """

    def __init__(
        self, corpus: Corpus, tokenizers: TokenizerPair, *, alpha: float, num_best: int, max_length: int, seed: int
    ) -> None:
        """Finds the words of a corpus.

        Args:
            alpha: 0 draws all segmentations alike; the larger, the more often the best one.
            max_length: tokens of a side with its end mark; a pair that would be longer keeps its best segmentation.
        """
        self._src = side_words(corpus.src_side, tokenizers.src, alpha=alpha, num_best=num_best)
        self._tgt = side_words(corpus.tgt_side, tokenizers.tgt, alpha=alpha, num_best=num_best)
        self._max_length, self._seed = max_length, seed

    def draw(self, epoch: int) -> DrawnPairs:
        """The pairs of an epoch."""
        random = np.random.default_rng([self._seed, epoch, DRAWING])
        src, tgt = self._src.draw(random), self._tgt.draw(random)
        too_long = np.maximum(self._src.lengths(src), self._tgt.lengths(tgt)) + 1 > self._max_length
        return DrawnPairs(
            self._src.pieces_of(self._src.with_best(src, too_long)),
            self._tgt.pieces_of(self._tgt.with_best(tgt, too_long)),
        )


@dataclass(frozen=True)
class SideWords:
    """The words of one side of a corpus, and how each may be cut.

    Attributes:
        words: int32 [O], which word stands at each place.
        offsets: int64 [P + 1], pair i has the words[offsets[i]:offsets[i + 1]].
        cumulative: float64 [U, N], the probability of a word's segmentations up to each, in order; then 1.
        pieces, piece_offsets: segmentation s of word w is pieces[piece_offsets[i]:piece_offsets[i + 1]], i = w N + s.
    """

    words: NDArray[np.int32]
    offsets: NDArray[np.int64]
    cumulative: NDArray[np.float64]
    pieces: NDArray[np.int32]
    piece_offsets: NDArray[np.int64]

    def draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Which segmentation is taken at each place, [O]; 0 is the best."""
        uniform = random.random(len(self.words))
        drawn = np.zeros(len(self.words), dtype=np.int64)
        for bound in self.cumulative.T[:-1]:
            drawn += uniform >= bound[self.words]
        return drawn

    def with_best(self, drawn: NDArray[np.int64], pairs: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The same, but the best segmentation everywhere in some of the pairs, bool [P]."""
        return np.where(np.repeat(pairs, np.diff(self.offsets)), 0, drawn)

    def lengths(self, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pieces of every pair, [P]."""
        return np.diff(self._ends(self._spans(drawn)[1])[self.offsets])

    def pieces_of(self, drawn: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all pairs, one after the other, and their offsets [P + 1]."""
        starts, lengths = self._spans(drawn)
        ends = self._ends(lengths)
        within_word = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
        return self.pieces[np.repeat(starts, lengths) + within_word], ends[self.offsets]

    def _spans(self, drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in `pieces` each place's segmentation begins, and how long it is, [O] each."""
        index = self.words.astype(np.int64) * self.cumulative.shape[1] + drawn
        starts = self.piece_offsets[index]
        return starts, self.piece_offsets[index + 1] - starts

    @staticmethod
    def _ends(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])


def side_words(
    side: tuple[NDArray[Any], NDArray[np.int64]], tokenizer: Tokenizer, *, alpha: float, num_best: int
) -> SideWords:
    """The words of one side, given by its ids and offsets [P + 1].

    The best segmentation of a word is the one that the corpus has, so that alpha without bound gives the corpus. A word
    that is not the tokenizer's own best choice for its text (unknown characters, say) has no other.
    """
    tokens, offsets = np.asarray(side[0], dtype=np.int32), np.asarray(side[1])
    starts_word = np.array([tokenizer.starts_word(piece) for piece in range(tokenizer.vocab_size)])
    is_start = starts_word[tokens]
    is_start[offsets[:-1][np.diff(offsets) > 0]] = True
    starts = np.flatnonzero(is_start)

    known: dict[bytes, int] = {}
    tokens_bytes, size = tokens.tobytes(), tokens.itemsize
    bounds = [*(size * starts).tolist(), len(tokens_bytes)]
    words = [known.setdefault(tokens_bytes[a:b], len(known)) for a, b in pairwise(bounds)]

    cumulative = np.ones((len(known), num_best))
    pieces: list[int] = []
    piece_offsets = np.zeros((len(known), num_best), dtype=np.int64)
    for word, key in enumerate(known):
        own = np.frombuffer(key, dtype=np.int32).tolist()
        found = tokenizer.segmentations(tokenizer.decode([own])[0], num_best)
        if not found or found[0][0] != own:
            found = [(own, 0.0)]
        log_probs = np.array([log_prob for _, log_prob in found])
        weights = np.exp(alpha * (log_probs - log_probs[0]))
        cumulative[word, : len(found) - 1] = np.cumsum(weights[:-1]) / weights.sum()
        for number, (ids, _) in enumerate(found):
            pieces += ids
            piece_offsets[word, number:] = len(pieces)
    return SideWords(
        words=np.array(words, dtype=np.int32),
        offsets=np.searchsorted(starts, offsets).astype(np.int64),
        cumulative=cumulative,
        pieces=np.array(pieces, dtype=np.int32),
        piece_offsets=np.concatenate([np.zeros(1, dtype=np.int64), piece_offsets.reshape(-1)]),
    )
