"""Where two sides are shifted against each other by a few lines, or do not belong together at all.

Each row is at one shift k, where source line i faces target line i + k, or at none. A change costs `CHANGE` nats; at a
shift a row gains what `Evidence` says of the two texts, at none it gains nothing. The best way through all rows
(Viterbi) stays at shift 0 unless a run of rows speaks clearly for another. Every row is looked at; memory: 10 bytes a
row.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mt_trainer.data.checking.lexicon import MAX_SHIFT, SHIFTS, Evidence, Pair

CHANGE = 30.0
"""Nats that a change of the shift costs. There and back are 60: a run needs five clear pairs at the least, and in text
whose neighbours resemble each other ten and more."""

MIN_MEAN_GAIN = 1.0
"""Nats a row by which a run must fit better when shifted."""

UNRELATED = -4.0
"""Nats: pairs with so little in common are said to be unrelated."""

ROUNDED = 20
"""Evidence is kept in steps of a twentieth of a nat, one byte each."""


UNSHIFTED, NO_SHIFT = MAX_SHIFT, len(SHIFTS)
"""Places of shift 0, and of no shift at all, among the states of a row."""

NUM_STATES = len(SHIFTS) + 1


@dataclass(frozen=True)
class ShiftedRun:
    """Neighbouring rows that fit better when one side is shifted, or that fit at no shift.

    Attributes:
        start, stop: rows counted from 0; stop is the first row behind.
        shift: source line i belongs to target line i + shift; None for rows that fit nowhere.
        gain: mean nats a row by which they fit better so.
    """

    start: int
    stop: int
    shift: int | None
    gain: float

    def describe(self) -> str:
        """What has happened to the files here."""
        if self.shift is None:
            return f"from here the lines do not belong together, for {self.stop - self.start:,} rows"
        lines = f"{abs(self.shift)} line{'s' if abs(self.shift) > 1 else ''}"
        side = "target" if self.shift < 0 else "source"
        other = "source" if self.shift < 0 else "target"
        return f"from here {lines} lost in the {side} (or too many in the {other}), for {self.stop - self.start:,} rows"


class Aligner:
    """Takes the rows in order, a pair of features or None where a side has no word, and then tells the runs."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._window: deque[Pair | None] = deque(maxlen=2 * MAX_SHIFT + 1)
        self._num_rows = 0
        # Of the best way to the present row in each state.
        self._scores = [0.0 if state == UNSHIFTED else -CHANGE for state in range(NUM_STATES)]
        self._changed = bytearray()  # a bit for each state: whether the best way came from another one ...
        self._from = bytearray()  # ... namely this
        self._evidence_bytes = bytearray()

    def add(self, pair: Pair | None) -> None:
        """The next row."""
        self._window.append(pair)
        self._num_rows += 1
        if self._num_rows > MAX_SHIFT:
            self._step(len(self._window) - 1 - MAX_SHIFT)

    def finish(self) -> tuple[list[ShiftedRun], NDArray[np.floating[Any]]]:
        """The shifted runs in order, and the evidence of every row as it stands in the files, in nats."""
        for place in range(max(0, len(self._window) - MAX_SHIFT), len(self._window)):
            self._step(place)
        nats = np.frombuffer(self._evidence_bytes, dtype=np.int8).reshape(-1, NUM_STATES) / np.float32(ROUNDED)
        return list(self._runs(nats)), nats[:, UNSHIFTED]

    def _step(self, place: int) -> None:
        """Goes on to the row at this place of the window."""
        pair = self._window[place]
        gains = [0.0] * NUM_STATES
        if pair is not None:
            entries = self._evidence.prepared(pair[0])
            for number, shift in enumerate(SHIFTS):
                if 0 <= place + shift < len(self._window) and (other := self._window[place + shift]) is not None:
                    gains[number] = self._evidence.score(pair[0], other[1], entries)
        scores = self._scores
        best = max(range(NUM_STATES), key=scores.__getitem__)
        threshold = scores[best] - CHANGE
        changed = 0
        for number, score in enumerate(scores):
            if score < threshold:
                score, changed = threshold, changed | 1 << number
            scores[number] = score + gains[number]
        self._changed.append(changed)
        self._from.append(best)
        self._evidence_bytes.extend(int(gain * ROUNDED) & 0xFF for gain in gains)

    def _runs(self, nats: NDArray[np.floating[Any]]) -> Iterator[ShiftedRun]:
        rows = len(self._changed)
        ways = bytearray(rows)
        if rows:
            # To end at a shift costs as much as to leave it.
            final = max(range(NUM_STATES), key=lambda state: self._scores[state] + CHANGE * (state == UNSHIFTED))
            for row in range(rows - 1, -1, -1):
                ways[row] = final
                if self._changed[row] >> final & 1:
                    final = self._from[row]
        way = np.frombuffer(ways, dtype=np.uint8)
        bounds = [0, *(np.flatnonzero(np.diff(way)) + 1).tolist(), rows]
        for start, stop in pairwise(bounds):
            state = int(way[start]) if stop > start else UNSHIFTED
            if state == UNSHIFTED:
                continue
            gain = float((nats[start:stop, state] - nats[start:stop, UNSHIFTED]).mean())
            if gain >= MIN_MEAN_GAIN:
                yield ShiftedRun(start, stop, None if state == NO_SHIFT else SHIFTS[state], gain)
