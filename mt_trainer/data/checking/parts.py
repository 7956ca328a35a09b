"""A part of the corpus, such as the training text or a test set, read row by row whatever is wrong with it."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from mt_trainer.data.checking.findings import EXAMPLES, Example, Observation, Tally
from mt_trainer.data.reading import PairRow, ParallelText
from mt_trainer.errors import DataError, Problem

STRUCTURAL = {"MT051": "line_counts", "MT053": "unreadable"}
"""Faults of a whole file that are findings here; any other, such as a missing file, ends the check."""


class Part:
    """All rows of one or more sources, numbered through from 0.

    Attributes:
        name: `train`, `dev` or the name of a test set.
        texts: the sources, one after the other.
        num_rows: rows that the last reading found.
        problems: what is wrong with whole files; found by reading.
        invalid_rows: the rows that are no text, from 0; found by reading.
        starts: the first row of each source; found by reading.

    What reading finds is that of the last complete reading.
    """

    def __init__(self, name: str, texts: Sequence[ParallelText]) -> None:
        self.name = name
        self.texts = list(texts)
        self.num_rows = 0
        self.problems: list[Problem] = []
        self.invalid_rows: list[int] = []
        self.starts: list[int] = []
        self._invalid: list[Example] = []

    def rows(self) -> Iterator[tuple[int, PairRow]]:
        """The rows with their numbers; a Problem in the place of one that is no text.

        Raises:
            DataError: what makes reading impossible, such as a column that is not there.
        """
        row = 0
        invalid: list[Example] = []
        invalid_rows: list[int] = []
        starts: list[int] = []
        problems: list[Problem] = []
        for text in self.texts:
            starts.append(row)
            try:
                for item in text.rows():
                    if isinstance(item, Problem):
                        invalid_rows.append(row)
                        if len(invalid) < EXAMPLES:
                            invalid.append(Example(item.where or text.name, item.message))
                    yield row, item
                    row += 1
            except DataError as error:
                if any(problem.code not in STRUCTURAL for problem in error.problems):
                    raise
                problems += error.problems
        self.num_rows, self.problems, self.invalid_rows = row, problems, invalid_rows
        self.starts, self._invalid = starts, invalid

    def source_of(self, row: int) -> tuple[int, int]:
        """Which of the sources a row belongs to, and its number in it, counted from 1."""
        source = bisect_right(self.starts, row) - 1
        return source, row - self.starts[source] + 1

    def places(self, row: int) -> tuple[str, str]:
        """Where the two sides of a row stand, such as `train.en:7` and `train.de:7`."""
        source, number = self.source_of(row)
        return self.texts[source].places(number)

    def observations(self) -> list[Observation]:
        """What reading itself has found, without the `problems`, which have places of their own."""
        traits = {each.path: each for text in self.texts for each in text.file_traits()}.values()
        invalid = Tally(len(self.invalid_rows))
        lines = sum(each.num_lines for each in traits)
        ends = Tally(sum(each.num_crlf for each in traits))
        mixed = [f"{each.path}: {each.num_crlf:,} of {each.num_lines:,}" for each in traits if each.num_crlf]
        marks = [each.path for each in traits if each.has_byte_order_mark]
        return [
            Observation("invalid_text", None, invalid, self.num_rows, examples=tuple(self._invalid)),
            Observation("cr_lf", None, ends, lines, "lines", "; ".join(mixed)),
            Observation("byte_order_mark", None, Tally(len(marks)), len(traits), "files", "; ".join(marks)),
        ]
