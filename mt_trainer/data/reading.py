"""Parallel text whatever it comes from: a name, a fingerprint of its bytes, and pairs that can be read repeatedly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from mt_trainer.errors import DataError, Problem

PairRow = tuple[str, str] | Problem
"""One row of a source: the two texts, or what is wrong with them."""

PROBLEMS_SHOWN = 5
"""Bad rows of one source that are shown in full; the others are counted."""


LONGEST_LINE_BYTES = 1 << 26
"""A longer line is none: it would take the memory, as a small archive can that unpacks to gigabytes."""


def endless_line(where: str) -> Problem:
    """MT050 for a line of more than `LONGEST_LINE_BYTES`."""
    message = f"the line has more than {LONGEST_LINE_BYTES >> 20} MiB"
    return Problem("MT050", message, where=where, help="give text of one sentence a line, with line feeds between them")


@dataclass(frozen=True)
class FileTraits:
    """What reading a text file put right.

    Attributes:
        path: of the file.
        num_lines, num_crlf: lines, and those of them that ended in CR LF.
        has_byte_order_mark: whether the file begins with one.
    """

    path: str
    num_lines: int
    num_crlf: int
    has_byte_order_mark: bool


class RowReader(Protocol):
    """What each kind of source can do."""

    name: str

    def missing(self) -> list[Problem]:
        """What stands in the way of reading, found without reading."""

    def fingerprint(self) -> str:
        """Changes whenever a byte of the source changes, or which part of it is read."""

    def rows(self) -> Iterator[PairRow]:
        """All rows from the start, in order."""

    def notes(self) -> list[str]:
        """What the last reading put right or has to warn of, for people."""

    def places(self, number: int) -> tuple[str, str]:
        """Where the two sides of a row, counted from 1, stand, such as `train.en:7` and `train.de:7`."""

    def file_traits(self) -> list[FileTraits]:
        """What the last reading found in text files; empty for what is none."""


class ParallelText:
    """Pairs of text that are translations of each other, streamed.

    Attributes:
        name: where they come from, for messages.
        num_invalid: rows that the last complete reading dropped because they are not text.
    """

    def __init__(self, reader: RowReader, *, on_invalid_text: Literal["stop", "skip"]) -> None:
        self._reader = reader
        self._on_invalid_text = on_invalid_text
        self.name = reader.name
        self.num_invalid = 0

    @property
    def fingerprint(self) -> str:
        """Content hash: read from the bytes at every call, never from their date or size."""
        return self._reader.fingerprint()

    def missing(self) -> list[Problem]:
        """What stands in the way of reading, such as a missing file; empty when nothing does."""
        return self._reader.missing()

    def notes(self) -> list[str]:
        """What the last reading put right or has to warn of, for people."""
        return self._reader.notes()

    def places(self, number: int) -> tuple[str, str]:
        """Where the two sides of a row, counted from 1, stand, such as `train.en:7` and `train.de:7`."""
        return self._reader.places(number)

    def file_traits(self) -> list[FileTraits]:
        """What the last reading found in text files; empty for what is none."""
        return self._reader.file_traits()

    def rows(self) -> Iterator[PairRow]:
        """All rows as they are, a Problem in the place of one that is not valid text, whatever is to be done with it.

        Raises:
            DataError: unequal line counts or a damaged file, after the rows that could be read.
        """
        yield from self._reader.rows()

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The pairs (src, tgt) in order; each call starts anew and gives the same.

        With `on_invalid_text="skip"` a row that is not valid text is left out on both sides, and counted.

        Raises:
            DataError: once everything is read, with all that was wrong: invalid text when it is not skipped, unequal
                line counts, a damaged file.
        """
        num_invalid = 0
        problems: list[Problem] = []
        try:
            for row in self._reader.rows():
                if isinstance(row, Problem):
                    num_invalid += 1
                    if self._on_invalid_text == "stop" and num_invalid <= PROBLEMS_SHOWN:
                        problems.append(row)
                elif not problems:
                    yield row
        except DataError as error:
            problems.extend(error.problems)
        self.num_invalid = num_invalid
        if self._on_invalid_text == "stop" and num_invalid > PROBLEMS_SHOWN:
            rest = num_invalid - PROBLEMS_SHOWN
            message, advice = f"and {rest:,} more such rows", "`data.on_invalid_text: skip` drops and counts them"
            problems.append(Problem(problems[0].code, message, where=self.name, help=advice))
        if problems:
            raise DataError(problems)

    def located_pairs(self) -> Iterator[tuple[int, tuple[str, str]]]:
        """The pairs with the number of their row, counted from 1; rows that are no text are passed over.

        Raises:
            DataError: where the rest cannot be read.
        """
        for number, row in enumerate(self._reader.rows(), start=1):
            if not isinstance(row, Problem):
                yield number, row
