"""What a check has found: counts, and a few rows to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from mt_trainer.data.checking.catalogue import CHECKS, Check, Grade

EXAMPLES = 5
"""Rows of each finding that are shown."""


@dataclass(frozen=True)
class Example:
    """One place to look at.

    Attributes:
        where: file and line, such as `train.en:7`.
        text: what stands there, shortened, or what is wrong with it.
    """

    where: str
    text: str


@dataclass
class Tally:
    """How often something was found, and where first.

    Attributes:
        count: findings.
        rows: the first `EXAMPLES` rows, counted from 0 over all sources of a part.
        notes: what is said of each of these rows; empty where the text speaks for itself.
    """

    count: int = 0
    rows: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, places: NDArray[Any], rows: Sequence[int]) -> "Tally":
        """All findings at once: `rows` has the row of each place."""
        tally = cls()
        for place in places[:EXAMPLES].tolist():
            tally.add(rows[place])
        tally.count = len(places)
        return tally

    def add(self, row: int, note: str = "") -> None:
        """Counts a row."""
        self.count += 1
        if len(self.rows) < EXAMPLES:
            self.rows.append(row)
            self.notes.append(note)


@dataclass(frozen=True)
class Finding:
    """The result of one check on one part, or on one side of it.

    Attributes:
        check: what was looked for.
        part: `train`, `dev` or the name of a test set.
        side: `src`, `tgt`, or None for whole pairs.
        count, total: findings among so many pairs, lines, pieces or characters.
        unit: what `total` counts.
        detail: a sentence on this finding, or "".
        examples: places to look at.
    """

    check: Check
    part: str
    side: str | None
    count: int
    total: int
    unit: str
    detail: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def grade(self) -> Grade:
        """By the thresholds of the check."""
        return self.check.grade(self.count, self.total)

    @property
    def share(self) -> float:
        """Findings among all, 0 to 1."""
        return self.count / max(self.total, 1)


@dataclass(frozen=True)
class Observation:
    """A finding whose examples are still row numbers; their texts are fetched in one more reading.

    Attributes:
        name: of the check.
        rows_of: part that the rows of the tally belong to; None for the part itself.
        examples: places that need no fetching; then those of the tally are not shown.
    """

    name: str
    side: str | None
    tally: Tally
    total: int
    unit: str = "pairs"
    detail: str = ""
    rows_of: str | None = None
    examples: tuple[Example, ...] = ()

    def finding(self, part: str, examples: tuple[Example, ...]) -> Finding:
        """With the examples in words."""
        check = CHECKS[self.name]
        return Finding(check, part, self.side, self.tally.count, self.total, self.unit, self.detail, examples)
