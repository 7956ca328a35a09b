"""Repeated pairs and texts with several translations, by 64-bit hashes: 24 bytes a pair."""

import hashlib
from array import array

import numpy as np

from mt_trainer.data.checking.findings import Observation, Tally


def text_hash(text: str) -> int:
    """64 bits of a text without the spaces at its edge."""
    return int.from_bytes(hashlib.blake2b(text.strip().encode(), digest_size=8).digest())


class Repetitions:
    """Takes the hashes of pairs that have text on both sides, and then finds what occurs again."""

    def __init__(self) -> None:
        self._rows = array("q")
        self._hashes = (array("Q"), array("Q"))

    def add(self, row: int, src: str, tgt: str) -> None:
        """The pair of this row."""
        self._rows.append(row)
        self._hashes[0].append(text_hash(src))
        self._hashes[1].append(text_hash(tgt))

    def observations(self) -> list[Observation]:
        """Pairs that repeat an earlier one, and pairs whose source or target also occurs with another partner."""
        src, tgt = (np.frombuffer(side, dtype=np.uint64) for side in self._hashes)
        total = len(src)
        order = np.lexsort((np.arange(total), tgt, src))
        is_repeated = np.zeros(total, dtype=bool)
        if total:
            is_repeated[order[1:]] = (src[order[1:]] == src[order[:-1]]) & (tgt[order[1:]] == tgt[order[:-1]])
        found = [Observation("duplicate", None, Tally.at(np.flatnonzero(is_repeated), self._rows), total)]
        distinct = np.flatnonzero(~is_repeated)
        for name, side in (("src", src), ("tgt", tgt)):
            texts, counts = np.unique(side[distinct], return_counts=True)
            several = distinct[np.isin(side[distinct], texts[counts > 1])]
            detail = (
                f"{int((counts > 1).sum()):,} texts, the commonest with {counts.max():,} partners"
                if len(several)
                else ""
            )
            found.append(Observation("many_translations", name, Tally.at(several, self._rows), total, detail=detail))
        return found
