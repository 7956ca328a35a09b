"""Text for validation and test: never cleaned, never reordered; and how much of it the training text gives away."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mt_trainer.config.data import SourceConfig
from mt_trainer.data.checking.catalogue import CHECKS, Grade
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.sources import read_source
from mt_trainer.errors import DataError, Problem


@dataclass(frozen=True)
class EvalSet:
    """One evaluation set.

    Attributes:
        name: `dev`, or the name of the test set in the config.
        src_texts, tgt_texts: raw text, blank lines included, in the order of the source.
        fingerprint: content hash of the source's bytes.
        notes: what was put right while reading.
        train_overlap: pairs whose source also is the source of a training pair, compared without case, punctuation
            and spacing; None while not counted.
        exact_train_overlap: those of them that are equal character for character.
    """

    name: str
    src_texts: list[str]
    tgt_texts: list[str]
    fingerprint: str
    notes: tuple[str, ...] = ()
    train_overlap: int | None = None
    exact_train_overlap: int | None = None

    def describe_overlap(self) -> str:
        """A few words about the pairs that training gives away."""
        line = f"{len(self.src_texts):,} pairs"
        if self.train_overlap is None:
            return f"{line}; overlap with training not counted"
        line += f"; {self.train_overlap:,} of the sources also occur in training"
        return f"{line} ({self.exact_train_overlap or 0:,} letter for letter)" if self.train_overlap else line


def overlap_line(eval_set: EvalSet) -> str:
    """What a run says of a set when it starts; a warning where `mt-data check` sees a fault."""
    is_fault = CHECKS["overlap"].grade(eval_set.train_overlap or 0, len(eval_set.src_texts)) is Grade.FAULT
    return f"{'warning: ' if is_fault else ''}{eval_set.name}: {eval_set.describe_overlap()}"


def evaluation_text(source: SourceConfig, *, src_lang: str, tgt_lang: str) -> ParallelText:
    """The source of an evaluation set. Invalid text always stops: a set with lines left out is another set."""
    return read_source(source, src_lang=src_lang, tgt_lang=tgt_lang, on_invalid_text="stop")


def read_evaluation_set(name: str, text: ParallelText) -> EvalSet:
    """Reads a whole set into memory; its overlap is counted by `with_overlap`.

    Raises:
        DataError: MT054 when it has no pairs, and whatever is wrong with the source.
    """
    pairs = list(text.pairs())
    if not pairs:
        message, advice = f"the evaluation set `{name}` has no pairs", "give text, or leave the set out"
        raise DataError(Problem("MT054", message, where=text.name, help=advice))
    return EvalSet(
        name=name,
        src_texts=[src for src, _ in pairs],
        tgt_texts=[tgt for _, tgt in pairs],
        fingerprint=text.fingerprint,
        notes=tuple(text.notes()),
    )


def text_hashes(texts: Iterable[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """64-bit hashes of texts as they are (but for spaces at the edge) and as `normalised` makes them."""
    exact, alike = bytearray(), bytearray()
    for text in texts:
        exact += hashlib.blake2b(text.strip().encode(), digest_size=8).digest()
        alike += hashlib.blake2b((normalised(text) or text.strip()).encode(), digest_size=8).digest()
    return np.frombuffer(exact, dtype=np.uint64), np.frombuffer(alike, dtype=np.uint64)


def with_overlap(eval_set: EvalSet, *, exact: NDArray[np.uint64], alike: NDArray[np.uint64]) -> EvalSet:
    """The set with its overlap counted against the sorted hashes of the training sources. Blank lines do not count."""
    hashes = text_hashes(text for text in eval_set.src_texts if text.strip())
    found = [_num_found(wanted, train) for wanted, train in zip(hashes, (exact, alike), strict=True)]
    return replace(eval_set, exact_train_overlap=found[0], train_overlap=found[1])


def require_little_overlap(sets: Mapping[str, EvalSet], max_overlap: float | None) -> None:
    """Refuses sets of which training gives away too much.

    Args:
        sets: with their overlap counted, by their keys in the config.
        max_overlap: largest share of the sources that may also occur in training; None for any.

    Raises:
        DataError: MT058 for each set with more.
    """
    problems = []
    for key, each in sets.items():
        share = (each.train_overlap or 0) / len(each.src_texts)
        if max_overlap is not None and share > max_overlap:
            message = (
                f"{each.train_overlap:,} of the {len(each.src_texts):,} sources of `{each.name}` also occur in "
                f"training: {share:.2%}, more than `data.max_overlap` {max_overlap:.2%}"
            )
            advice = "`mt-data check` names them; remove them from the training text, or allow more"
            problems.append(Problem("MT058", message, where=key, help=advice))
    if problems:
        raise DataError(problems)


def normalised(text: str) -> str:
    """The text in NFKC without case, punctuation, symbols and control characters, one space between words."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS_ONLY).split())


class _LettersOnly(dict[int, int]):
    """For `str.translate`: punctuation, symbols, separators and control characters become a space."""

    def __missing__(self, codepoint: int) -> int:
        replacement = ord(" ") if unicodedata.category(chr(codepoint))[0] in "PSZC" else codepoint
        self[codepoint] = replacement
        return replacement


_LETTERS_ONLY = _LettersOnly()


def _num_found(wanted: NDArray[np.uint64], sorted_hashes: NDArray[np.uint64]) -> int:
    places = np.searchsorted(sorted_hashes, wanted)
    inside = places < len(sorted_hashes)
    return int((sorted_hashes[places[inside]] == wanted[inside]).sum())
