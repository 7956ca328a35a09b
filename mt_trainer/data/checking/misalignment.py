"""Which rows of a part are shifted or unrelated, in the words of a finding."""

import math
from collections.abc import Collection, Iterable

import numpy as np

from mt_trainer.data.checking.alignment import UNRELATED, Aligner
from mt_trainer.data.checking.findings import EXAMPLES, Observation, Tally
from mt_trainer.data.checking.lexicon import Evidence, Pair

WEAK = 0.5
"""Nats: where faced lines fit no better than this, compared with any two lines, the sides have nothing in common."""


def misalignment(
    rows: Iterable[tuple[int, Pair | None]], evidence: Evidence | None, *, strength: float, starts: Collection[int]
) -> list[Observation]:
    """Shifted and unrelated rows of a part.

    Args:
        rows: all rows with their numbers, None for one that has no word on a side.
        evidence: learned from the training text; None where that is too short, then nothing is judged.
        strength: of the alignment of the training text, in nats; below `WEAK` every pair is unrelated.
        starts: the rows with which a source begins; sources are aligned each for itself.
    """
    if evidence is None:
        detail = "not judged: too little text to learn from"
        return [Observation(name, None, Tally(), 0, detail=detail) for name in ("shifted", "unrelated")]
    shifted, unrelated, num_rows, num_runs = Tally(), Tally(), 0, 0
    aligner, first = Aligner(evidence), 0

    def close() -> None:
        nonlocal num_runs
        runs, nats = aligner.finish()
        is_shifted = np.zeros(len(nats), dtype=bool)
        for run in runs:
            is_shifted[run.start : run.stop] = True
            shifted.add(first + run.start, run.describe())
            shifted.count += run.stop - run.start - 1
        num_runs += len(runs)
        places = np.flatnonzero((nats <= UNRELATED) & ~is_shifted)
        for place in places[:EXAMPLES].tolist():
            unrelated.add(first + place)
        unrelated.count += len(places[EXAMPLES:])

    for row, pair in rows:
        if num_rows and row in starts:
            close()
            aligner, first = Aligner(evidence), row
        aligner.add(pair)
        num_rows += 1
    close()
    fit = f"pairs fit {strength:.1f} nats better than any two lines" if strength < math.inf else ""
    if strength < WEAK:
        unrelated.count = num_rows
    detail = f"in {num_runs:,} run{'s' if num_runs > 1 else ''}" if num_runs else ""
    return [
        Observation("shifted", None, shifted, num_rows, detail=detail),
        Observation("unrelated", None, unrelated, num_rows, detail=fit),
    ]
