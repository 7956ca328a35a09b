r"""Text files as bytes: lines end with `\n` and nothing else, and every fault has a place."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mt_trainer.data.lost_lines import first_suspicious_line
from mt_trainer.data.reading import LONGEST_LINE_BYTES, FileTraits, PairRow, endless_line
from mt_trainer.errors import DataError, Problem

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BUFFER_BYTES = 1 << 20


class LineEnds:
    r"""What of a file or stream is no text: the ends of its lines, and a byte order mark at its start.

    A line ends with `\n` only: `\r`, `\v`, `\f`, `\x1c`-`\x1e`, U+0085, U+2028 and U+2029 are ordinary characters.
    A final `\n` does not open another line. Of a line that ends with `\r\n` both are removed.

    Attributes:
        num_lines, num_crlf, has_byte_order_mark: what has been found so far.
    """

    def __init__(self) -> None:
        self.num_lines = 0
        self.num_crlf = 0
        self.has_byte_order_mark = False

    def removed(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        r"""The next lines without their ends; they are given with them, as iterating over a binary file does."""
        for line in lines:
            if not self.num_lines and line.startswith(BYTE_ORDER_MARK):
                self.has_byte_order_mark = True
                line = line[len(BYTE_ORDER_MARK) :]
                if not line:
                    continue
            self.num_lines += 1
            if line.endswith(b"\r\n"):
                self.num_crlf += 1
                yield line[:-2]
            elif line.endswith(b"\n"):
                yield line[:-1]
            else:
                yield line


class TextFile:
    """One file, plain or .gz, read as lines of bytes; `LineEnds` says what a line is.

    Attributes:
        path: where the file is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._ends = LineEnds()

    @property
    def num_lines(self) -> int:
        """What the last complete reading found."""
        return self._ends.num_lines

    def missing(self) -> list[Problem]:
        """MT050 when the file cannot be opened, else nothing."""
        try:
            with Path(self.path).open("rb"):
                return []
        except (OSError, ValueError) as error:  # ValueError: a path that is none
            reason = getattr(error, "strerror", None) or error
            advice = "paths are relative to the working directory"
            return [Problem("MT050", f"cannot read the file: {reason}", where=self.path, help=advice)]

    def fingerprint(self) -> str:
        """sha256 of the bytes on disk, in hexadecimal."""
        with Path(self.path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def lines(self) -> Iterator[bytes]:
        """The lines, without their ends.

        Raises:
            DataError: MT053 when a .gz is damaged, MT050 when the disk cannot be read or a line is endless.
        """
        ends = LineEnds()
        try:
            with self._open() as stream:
                yield from ends.removed(self._bounded(stream, ends))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"the compressed file is truncated or damaged after line {ends.num_lines:,}: {error}"
            problem = Problem("MT053", message, where=self.path, help="fetch it again; `gzip -t` must accept it")
            raise DataError(problem) from error
        except OSError as error:
            message = f"reading failed after line {ends.num_lines:,}: {error.strerror or error}"
            raise DataError(Problem("MT050", message, where=self.path, help="check the file and its disk")) from error
        self._ends = ends

    def texts(self) -> Iterator[str]:
        """The lines as text.

        Raises:
            DataError: MT052 at the first line that is not valid text, MT053, MT050.
        """
        for number, line in enumerate(self.lines(), 1):
            row = decoded_pair(line, b"", f"{self.path}:{number}", "")
            if isinstance(row, Problem):
                raise DataError(row)
            yield row[0]

    def traits(self) -> FileTraits:
        """What the last complete reading put right."""
        return FileTraits(self.path, self._ends.num_lines, self._ends.num_crlf, self._ends.has_byte_order_mark)

    def notes(self) -> list[str]:
        """What the last reading put right, for people."""
        notes = []
        if self._ends.has_byte_order_mark:
            notes.append(f"{self.path}: byte order mark removed")
        if self._ends.num_crlf:
            notes.append(f"{self.path}: {self._ends.num_crlf:,} of {self.num_lines:,} lines ended in CR LF; CR removed")
        return notes

    def _bounded(self, stream: BinaryIO, ends: LineEnds) -> Iterator[bytes]:
        while line := stream.readline(LONGEST_LINE_BYTES + 1):
            if len(line) > LONGEST_LINE_BYTES:
                raise DataError(endless_line(f"{self.path}:{ends.num_lines + 1}"))
            yield line

    def _open(self) -> BinaryIO:
        path = Path(self.path)
        if path.suffix != ".gz":
            return path.open("rb", buffering=BUFFER_BYTES)
        if path.stat().st_size == 0:
            raise EOFError("the file is empty")
        # The buffer in front makes iterating three times faster than GzipFile's own lines.
        return io.BufferedReader(_Unpacked(path), BUFFER_BYTES)


class _Unpacked(gzip.GzipFile):
    """Gives what it has unpacked, before it unpacks on: what stands before the end of a truncated file is not lost."""

    readinto = gzip.GzipFile.readinto1


MOST_LOST = 0.1
"""Where more than this share of the lines is lost, line lengths cannot tell where."""


class AlignedFiles:
    """Two files whose lines of the same number are translations of each other."""

    def __init__(self, src: str, tgt: str) -> None:
        self.name = f"{src} | {tgt}"
        self.src = TextFile(src)
        self.tgt = TextFile(tgt)

    def missing(self) -> list[Problem]:
        """MT050 for each file that cannot be opened."""
        return self.src.missing() + self.tgt.missing()

    def fingerprint(self) -> str:
        """sha256 of both files' bytes."""
        return f"{self.src.fingerprint()} {self.tgt.fingerprint()}"

    def notes(self) -> list[str]:
        """What was put right while reading."""
        return self.src.notes() + self.tgt.notes()

    def places(self, number: int) -> tuple[str, str]:
        """The line in either file."""
        return f"{self.src.path}:{number}", f"{self.tgt.path}:{number}"

    def file_traits(self) -> list[FileTraits]:
        """Of both files; of one, if it is both sides."""
        return list(dict.fromkeys([self.src.traits(), self.tgt.traits()]))

    def rows(self) -> Iterator[PairRow]:
        """The pairs; a Problem in the place of one that is not valid text.

        Raises:
            DataError: MT051 at the end when the files have different numbers of lines; MT053.
        """
        for number, (src, tgt) in enumerate(zip_longest(self.src.lines(), self.tgt.lines()), 1):
            if src is not None and tgt is not None:
                yield decoded_pair(src, tgt, *self.places(number))
        if self.src.num_lines != self.tgt.num_lines:
            raise DataError(self._unequal())

    def _unequal(self) -> Problem:
        lengths = [
            np.fromiter((len(line) for line in file.lines()), dtype=np.float64, count=file.num_lines)
            for file in (self.src, self.tgt)
        ]
        line = first_suspicious_line(*lengths) + 1
        count = abs(self.src.num_lines - self.tgt.num_lines)
        longer, shorter = (self.src, self.tgt) if self.src.num_lines > self.tgt.num_lines else (self.tgt, self.src)
        message = f"{self.src.path} has {self.src.num_lines:,} lines, {self.tgt.path} has {self.tgt.num_lines:,}"
        where = f"{longer.path}:{min(line, longer.num_lines)}"
        if line > shorter.num_lines:
            advice = f"the lines seem to match up to the end of {shorter.path}: its last {count:,} may be missing"
        elif count > MOST_LOST * shorter.num_lines:
            where, advice = longer.path, "are they the two sides of one text?"
        else:
            advice = f"suspicious from about line {line:,}, judging by line lengths: {count:,} extra or lost there"
        return Problem("MT051", message, where=where, help=advice)


class TsvFile:
    """One tab-separated file with the two texts in two of its columns, counted from 1."""

    def __init__(self, path: str, src_column: int, tgt_column: int) -> None:
        self.name = path
        self.file = TextFile(path)
        self.src_column = src_column
        self.tgt_column = tgt_column

    def missing(self) -> list[Problem]:
        """MT050 when the file cannot be opened."""
        return self.file.missing()

    def fingerprint(self) -> str:
        """sha256 of the file's bytes, and which columns are read."""
        return f"{self.file.fingerprint()} {self.src_column} {self.tgt_column}"

    def notes(self) -> list[str]:
        """What was put right while reading."""
        return self.file.notes()

    def places(self, number: int) -> tuple[str, str]:
        """The line that both sides stand in."""
        return f"{self.name}:{number}", f"{self.name}:{number}"

    def file_traits(self) -> list[FileTraits]:
        """Of the file."""
        return [self.file.traits()]

    def rows(self) -> Iterator[PairRow]:
        """The pairs; a Problem in the place of a row with too few columns (MT055) or invalid text (MT052).

        A blank line is a blank pair.
        """
        needed = max(self.src_column, self.tgt_column)
        for number, line in enumerate(self.file.lines(), 1):
            where, _ = self.places(number)
            row = decoded_pair(line, b"", where, where)
            if isinstance(row, Problem):
                yield row
                continue
            columns = row[0].split("\t")
            if not row[0].strip():
                yield "", ""
            elif len(columns) < needed:
                message = f"the row has {len(columns)} tab-separated columns, column {needed} is asked for"
                yield Problem("MT055", message, where=where, help="`src_column` and `tgt_column` choose the columns")
            else:
                yield columns[self.src_column - 1], columns[self.tgt_column - 1]


def decoded_pair(src: bytes, tgt: bytes, src_where: str, tgt_where: str) -> PairRow:
    """Both sides as text, or what is wrong with the first bad one: its place, byte and the bytes in hexadecimal."""
    if b"\0" not in src and b"\0" not in tgt:
        try:
            return src.decode(), tgt.decode()
        except UnicodeDecodeError:
            pass
    return invalid_text(src, src_where) or invalid_text(tgt, tgt_where) or ("", "")


def invalid_text(line: bytes, where: str) -> Problem | None:
    """MT052 with the first byte that is not text (counted from 1), or None."""
    advice = "the file must be UTF-8 (`iconv` converts)"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        start, end = error.start, error.end
        message = f"invalid UTF-8 at byte {start + 1} of the line: {line[start:end].hex(' ')} ({error.reason})"
        return Problem("MT052", message, where=f"{where}:{start + 1}", help=advice)
    start = line.find(b"\0")
    if start < 0:
        return None
    message = f"not text: a NUL byte (00) at byte {start + 1} of the line"
    return Problem("MT052", message, where=f"{where}:{start + 1}", help=advice)
