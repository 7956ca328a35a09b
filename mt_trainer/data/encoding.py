"""From clean text to a tokenizer and an encoded corpus, streaming: only a chunk of text is held in memory."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mt_trainer.config.data import DataConfig, TokenizerConfig
from mt_trainer.data.cleaning import CleaningCounts, Verdict, count_verdicts
from mt_trainer.data.corpus import CorpusWriter
from mt_trainer.data.encoded_pairs import CHUNK_PAIRS, EncodedChunk, LengthRules, encode_pairs
from mt_trainer.data.encoding_processes import corpus_parts
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.text_files import TextFile
from mt_trainer.errors import DataError, Problem
from mt_trainer.tokenizer import TRAINING_THREADS, Tokenizer, TokenizerPair, train_tokenizer

Item = TypeVar("Item")

MOST_CHARACTERS = 100_000_000
"""Of the text that a tokenizer is trained on. The trainer of a unigram model holds tables over all of them: this bounds
the memory, whatever the corpus and its lines are like."""


def all_pairs(texts: Sequence[ParallelText]) -> Iterator[tuple[str, str]]:
    """The pairs of all sources, one source after the other.

    Raises:
        DataError: when all are read, with what was wrong in any of them.
    """
    problems: list[Problem] = []
    for text in texts:
        try:
            yield from text.pairs()
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(problems)


def kept_pairs(texts: Sequence[ParallelText], verdicts: NDArray[np.uint8]) -> Iterator[tuple[str, str]]:
    """The pairs whose verdict is KEPT.

    Raises:
        DataError: MT050 when the text has another number of pairs than verdicts: a file was changed in between.
    """
    is_kept = iter((verdicts == Verdict.KEPT).tobytes())  # a byte a pair
    for pair in all_pairs(texts):
        keep = next(is_kept, None)
        if keep is None:
            raise DataError(changed_while_reading(texts))
        if keep:
            yield pair
    if next(is_kept, None) is not None:
        raise DataError(changed_while_reading(texts))


def changed_while_reading(texts: Sequence[ParallelText]) -> Problem:
    """MT050: what was read first and what was read later do not belong together."""
    where, advice = ", ".join(text.name for text in texts), "start again when nobody writes to it any more"
    return Problem("MT050", "a file was changed while it was read", where=where, help=advice)


def sampled(items: Iterable[Item], *, num_items: int, max_items: int) -> Iterator[Item]:
    """At most `max_items` of the `num_items` items, evenly spread and in order."""
    for index, item in enumerate(items):
        if num_items <= max_items or (index * max_items) // num_items != ((index + 1) * max_items) // num_items:
            yield item


def num_sampled(num_items: int, num_characters: int, *, max_items: int) -> int:
    """How many of `num_items` items, with `num_characters` in all, a tokenizer is trained on.

    At most `max_items`, and as many as have `MOST_CHARACTERS` if they are of ordinary length.
    """
    return max(1, min(max_items, num_items * MOST_CHARACTERS // max(num_characters, 1)))


def train_tokenizers(
    texts: Sequence[ParallelText], verdicts: NDArray[np.uint8], config: TokenizerConfig
) -> TokenizerPair:
    """Trains one tokenizer on both sides of the kept pairs, or one on each side: on a sample, where they are many.

    Raises:
        TokenizerError: MT080 or MT083 when the vocabulary does not fit the text.
    """
    num_kept = int((verdicts == Verdict.KEPT).sum())

    def trained(sides: tuple[int, ...]) -> Tokenizer:
        num_characters = sum(len(pair[side]) for pair in kept_pairs(texts, verdicts) for side in sides)
        max_items = num_sampled(num_kept, num_characters, max_items=config.max_training_lines)
        pairs = sampled(kept_pairs(texts, verdicts), num_items=num_kept, max_items=max_items)
        return _train((pair[side] for pair in pairs for side in sides), config)

    if config.joint:
        joint = trained((0, 1))
        return TokenizerPair(src=joint, tgt=joint, is_joint=True)
    return TokenizerPair(src=trained((0,)), tgt=trained((1,)), is_joint=False)


def train_on_files(paths: Sequence[str], config: TokenizerConfig) -> Tokenizer:
    """Trains one tokenizer on the lines of text files, one file after the other: on a sample, where they are many.

    Raises:
        DataError: MT050, MT052 or MT053 when a file cannot be read.
        TokenizerError: MT080 or MT083 when the vocabulary does not fit the text.
    """
    files = [TextFile(path) for path in paths]
    if problems := [problem for file in files for problem in file.missing()]:
        raise DataError(problems)
    num_lines = num_characters = 0
    for file in files:
        for line in file.texts():
            num_lines, num_characters = num_lines + 1, num_characters + len(line)
    max_items = num_sampled(num_lines, num_characters, max_items=config.max_training_lines)
    lines = (line for file in files for line in file.texts())
    return _train(sampled(lines, num_items=num_lines, max_items=max_items), config)


def _train(lines: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    return train_tokenizer(
        lines,
        algorithm=config.algorithm,
        vocab_size=config.vocab_size,
        character_coverage=config.character_coverage,
        byte_fallback=config.byte_fallback,
        num_threads=TRAINING_THREADS,
    )


@dataclass(frozen=True)
class Coverage:
    """How well a vocabulary suits a text; a word is what stands between white space."""

    num_words: int
    num_pieces: int
    num_byte_pieces: int
    num_unknown: int

    def describe(self) -> str:
        """One line."""
        pieces = max(self.num_pieces, 1)
        return (
            f"{self.num_words:,} words in {self.num_pieces:,} pieces ({self.num_pieces / max(self.num_words, 1):.2f} a "
            f"word), {self.num_byte_pieces / pieces:.2%} of them bytes, {self.num_unknown / pieces:.2%} unknown"
        )


def coverage(tokenizer: Tokenizer, lines: Sequence[str]) -> Coverage:
    """Counts words and pieces of `lines`."""
    ids = [index for sequence in tokenizer.encode(lines) for index in sequence]
    return Coverage(
        num_words=sum(len(line.split()) for line in lines),
        num_pieces=len(ids),
        num_byte_pieces=sum(map(tokenizer.is_byte, ids)),
        num_unknown=ids.count(tokenizer.unk_id),
    )


def encoded_chunks(
    texts: Sequence[ParallelText], verdicts: NDArray[np.uint8], tokenizers: TokenizerPair, config: DataConfig
) -> Iterator[EncodedChunk]:
    """The pairs whose verdict is KEPT, encoded, with the verdict that their lengths lead to."""
    for pairs in _chunks(kept_pairs(texts, verdicts)):
        yield encode_pairs(pairs, tokenizers, _length_rules(config))


def encode_corpus(
    folder: Path,
    texts: Sequence[ParallelText],
    verdicts: NDArray[np.uint8],
    tokenizers: TokenizerPair,
    config: DataConfig,
    *,
    num_processes: int,
) -> CleaningCounts:
    """Encodes the kept pairs into the arrays of `folder`, dropping those of unsuitable length, and counts everything.

    The hashes of the kept sources go with them, for the overlap with evaluation sets. Memory: some chunks of text,
    and some numbers for each pair.

    Args:
        num_processes: that encode, beside this one, which reads and writes; with 0 this one does it all. What is
            written does not depend on it.

    Raises:
        DataError: MT054 when no pair is left.
        MtError: MT160 when one of the processes is lost.
    """
    places = np.flatnonzero(verdicts == Verdict.KEPT)
    verdicts = verdicts.copy()
    hashes: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
    writer = CorpusWriter(folder, src_vocab_size=tokenizers.src.vocab_size, tgt_vocab_size=tokenizers.tgt.vocab_size)
    try:
        start = 0
        parts = corpus_parts(
            _chunks(kept_pairs(texts, verdicts.copy())), tokenizers, _length_rules(config), num_processes=num_processes
        )
        total = len(places)
        with (
            contextlib.closing(parts),
            tqdm(total=total, desc="encoding", unit=" pairs", disable=None, leave=False) as progress,
        ):
            for part in parts:
                stop = start + len(part.verdicts)
                verdicts[places[start:stop]] = part.verdicts
                writer.append(part.src, part.tgt)
                hashes.append((part.src_hashes, part.src_hashes_alike))
                progress.update(stop - start)
                start = stop
        counts = count_verdicts(verdicts, invalid_text=sum(text.num_invalid for text in texts))
        require_pairs(counts)
        exact, alike = (np.unique(np.concatenate(parts)) for parts in zip(*hashes, strict=True))
        notes = [note for text in texts for note in text.notes()]
        writer.finish(
            meta={"counts": asdict(counts), "notes": notes},
            arrays={"src_hashes": exact, "src_hashes_alike": alike},
        )
    finally:
        writer.close()
    return counts


def require_pairs(counts: CleaningCounts) -> None:
    """Stops when no training pair is left.

    Raises:
        DataError: MT054, with what was dropped why.
    """
    if counts.kept:
        return
    advice = "loosen data.max_length, data.max_length_ratio or the filter that dropped most"
    if 2 * counts.identical > counts.read:
        advice = "are both sides the same file?"
    elif not counts.read:
        advice = "the training files are empty"
    problem = Problem("MT054", f"no training pair is left: {counts.describe()}", where="data.train", help=advice)
    raise DataError(problem)


def _length_rules(config: DataConfig) -> LengthRules:
    return LengthRules(max_length=config.max_length, max_length_ratio=config.max_length_ratio)


def _chunks(pairs: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    while chunk := list(islice(pairs, CHUNK_PAIRS)):
        yield chunk
