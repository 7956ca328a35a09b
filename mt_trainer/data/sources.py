"""From a source in the config to its pairs of text."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, assert_never

from mt_trainer.config.data import HuggingFaceSource, PhrasebookSource, SourceConfig, TextSource, TsvSource
from mt_trainer.data.hugging_face import HuggingFaceTable
from mt_trainer.data.reading import FileTraits, PairRow, ParallelText, RowReader
from mt_trainer.data.text_files import AlignedFiles, TsvFile
from mt_trainer.errors import DataError, Problem


def read_source(
    source: SourceConfig, *, src_lang: str, tgt_lang: str, on_invalid_text: Literal["stop", "skip"]
) -> ParallelText:
    """The parallel text of one source; nothing is opened before it is asked for."""
    return ParallelText(_reader(source, src_lang=src_lang, tgt_lang=tgt_lang), on_invalid_text=on_invalid_text)


def _reader(source: SourceConfig, *, src_lang: str, tgt_lang: str) -> RowReader:
    match source:
        case TextSource():
            return AlignedFiles(source.src, source.tgt)
        case TsvSource():
            return TsvFile(source.path, source.src_column, source.tgt_column)
        case HuggingFaceSource():
            return HuggingFaceTable(
                source.path,
                config=source.config,
                split=source.split,
                revision=source.revision,
                src_lang=src_lang,
                tgt_lang=tgt_lang,
                src_column=source.src_column,
                tgt_column=source.tgt_column,
            )
        case PhrasebookSource():
            return Phrasebook(source.split, source.max_pairs, languages=(src_lang, tgt_lang))
        case _:
            assert_never(source)


class Phrasebook:
    """The built-in English-German corpus, in either direction."""

    def __init__(
        self, split: Literal["train", "dev", "test"], max_pairs: int | None, *, languages: tuple[str, str]
    ) -> None:
        self.name = f"phrasebook[{split}]"
        self.split = split
        self.max_pairs = max_pairs
        self.languages = languages
        self._rows: list[PairRow] = []

    def missing(self) -> list[Problem]:
        """MT026 when the languages are others than English and German."""
        if set(self.languages) == {"en", "de"}:
            return []
        message = f"the phrasebook is English-German, not {self.languages[0]}-{self.languages[1]}"
        advice = "set data.src_lang and data.tgt_lang to en and de, or de and en"
        return [Problem("MT026", message, where="data.src_lang", help=advice)]

    def fingerprint(self) -> str:
        """sha256 over the source code that generates the pairs, and which of them are taken."""
        from mt_trainer.data import phrasebook

        digest = hashlib.sha256(repr((self.split, self.max_pairs, self.languages)).encode())
        for file in sorted(Path(str(phrasebook.__file__)).parent.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()

    def rows(self) -> Iterator[PairRow]:
        """The generated pairs; kept in memory, since making them again takes longer than training a tokenizer."""
        from mt_trainer.data.phrasebook import phrasebook_pairs

        if not self._rows:
            for english, german in islice(phrasebook_pairs(self.split), self.max_pairs):
                self._rows.append((english, german) if self.languages[0] == "en" else (german, english))
        yield from self._rows

    def notes(self) -> list[str]:
        """Nothing: generated text needs no mending."""
        return []

    def places(self, number: int) -> tuple[str, str]:
        """The number of the sentence."""
        return f"{self.name}:{number}", f"{self.name}:{number}"

    def file_traits(self) -> list[FileTraits]:
        """Nothing: there is no file."""
        return []


def require_sources(texts: Mapping[str, ParallelText]) -> None:
    """Checks, without reading, that all sources can be read.

    Args:
        texts: by what names them, a key of the config or the options of a command.

    Raises:
        DataError: everything that is missing, at once.
    """
    named_by: dict[Problem, list[str]] = {}
    for name, text in texts.items():
        for problem in text.missing():
            named_by.setdefault(problem, []).append(f"`{name}`")
    if named_by:
        raise DataError(
            [
                replace(problem, help="; ".join([f"it is named by {', '.join(names)}", *filter(None, [problem.help])]))
                for problem, names in named_by.items()
            ]
        )
