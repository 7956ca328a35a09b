"""The pairs that cleaning keeps, as two files, and where and why the others were left out."""

from collections.abc import Iterator
from typing import BinaryIO

from mt_trainer.data.checking.check import CorpusReport
from mt_trainer.data.cleaning import Verdict
from mt_trainer.data.encoding import changed_while_reading
from mt_trainer.errors import DataError, Problem

HEADER = "file\tline\treason\n"
"""First line of the list of what was left out. A file is named as the report names it, lines count from 1."""


def write_cleaned(report: CorpusReport, src: BinaryIO, tgt: BinaryIO, dropped: BinaryIO) -> None:
    """Writes the kept pairs to `src` and `tgt`, a line each, and all others to `dropped`, with the reason.

    The verdicts are those of the report: the first reason that applies, in the order of `cleaning`.

    Raises:
        DataError: MT050 when the text has another number of pairs than it had.
    """
    train = report.parts["train"]
    verdicts = iter(report.verdicts.tolist())
    dropped.write(HEADER.encode())
    for row, item in train.rows():
        reason = "invalid text"
        if not isinstance(item, Problem):
            verdict = next(verdicts, None)
            if verdict is None:
                raise DataError(changed_while_reading(train.texts))
            if verdict == Verdict.KEPT:
                for stream, text in zip((src, tgt), item, strict=True):
                    stream.write(f"{text}\n".encode())
                continue
            reason = Verdict(verdict).name.lower().replace("_", " ")
        source, number = train.source_of(row)
        # A path may hold bytes that are no text.
        dropped.write(f"{train.texts[source].name}\t{number}\t{reason}\n".encode(errors="surrogateescape"))
    if next(verdicts, None) is not None:
        raise DataError(changed_while_reading(train.texts))


def files_read(report: CorpusReport) -> Iterator[str]:
    """The paths of the text files that the report is about; they must not be written."""
    for part in report.parts.values():
        for text in part.texts:
            yield from (traits.path for traits in text.file_traits())
