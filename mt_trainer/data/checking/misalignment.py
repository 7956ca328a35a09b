"""Which rows of a part are shifted or unrelated, in the words of a finding."""

from collections.abc import Collection, Iterable

import numpy as np

from mt_trainer.data.checking.alignment import UNRELATED, Aligner
from mt_trainer.data.checking.findings import EXAMPLES, Observation, Tally
from mt_trainer.data.checking.lexicon import Evidence, Pair

WEAK = 2.0
"""Nats: where faced lines fit no better than this, compared with any two lines, the sides have nothing in common. Real
translations have 4.5 and more, from a hundred pairs on; shuffled ones less than 1."""


def misalignment(
    rows: Iterable[tuple[int, Pair | None]],
    evidence: Evidence | None,
    *,
    strength: float | None,
    starts: Collection[int],
) -> list[Observation]:
    """Shifted and unrelated rows of a part.

    Args:
        rows: all rows with their numbers, None for one that has no word on a side.
        evidence: learned from the training text; None where that is too short.
        strength: of the alignment of the training text, in nats; below `WEAK` every pair is unrelated. None where it
            could not be measured. Nothing is judged without both.
        starts: the rows with which a source begins; sources are aligned each for itself.
    """
    if evidence is None or strength is None:
        return _not_judged("not judged: too little text to learn from")
    shifted, unrelated, num_rows, num_runs = Tally(), Tally(), 0, 0
    aligner, first = Aligner(evidence), 0

    def close() -> None:
        nonlocal num_runs
        runs, nats = aligner.finish()
        is_in_run = np.zeros(len(nats), dtype=bool)
        for run in runs:
            is_in_run[run.start : run.stop] = True
            tally = unrelated if run.shift is None else shifted
            tally.add(first + run.start, run.describe())
            tally.count += run.stop - run.start - 1
            num_runs += run.shift is not None
        places = np.flatnonzero((nats <= UNRELATED) & ~is_in_run)
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
    fit = f"pairs fit {strength:.1f} nats better than any two lines"
    if strength < WEAK:
        not_shifted, _ = _not_judged("not judged: the sides have nothing in common")
        return [not_shifted, Observation("unrelated", None, Tally(num_rows), num_rows, detail=fit)]
    detail = f"in {num_runs:,} run{'s' if num_runs > 1 else ''}" if num_runs else ""
    return [
        Observation("shifted", None, shifted, num_rows, detail=detail),
        Observation("unrelated", None, unrelated, num_rows, detail=fit),
    ]


def _not_judged(why: str) -> list[Observation]:
    return [Observation(name, None, Tally(), 0, detail=why) for name in ("shifted", "unrelated")]
