"""From clean text to a tokenizer and an encoded corpus, streaming: only a chunk of text is held in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mt_trainer.config.data import DataConfig, TokenizerConfig
from mt_trainer.data.cleaning import CleaningCounts, Verdict, count_verdicts, judge_lengths
from mt_trainer.data.corpus import CorpusWriter
from mt_trainer.data.evaluation_sets import text_hashes
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.text_files import TextFile
from mt_trainer.errors import DataError, Problem
from mt_trainer.tokenizer import TRAINING_THREADS, Tokenizer, TokenizerPair, train_tokenizer

Item = TypeVar("Item")

CHUNK_PAIRS = 8192
"""Pairs encoded together."""


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
    is_kept = iter((verdicts == Verdict.KEPT).tolist())
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


def train_tokenizers(
    texts: Sequence[ParallelText], verdicts: NDArray[np.uint8], config: TokenizerConfig
) -> TokenizerPair:
    """Trains one tokenizer on both sides of the kept pairs, or one on each side.

    Raises:
        TokenizerError: MT080 or MT083 when the vocabulary does not fit the text.
    """
    num_kept = int((verdicts == Verdict.KEPT).sum())

    def trained(sides: tuple[int, ...]) -> Tokenizer:
        pairs = sampled(kept_pairs(texts, verdicts), num_items=num_kept, max_items=config.max_training_lines)
        return _train((pair[side] for pair in pairs for side in sides), config)

    if config.joint:
        joint = trained((0, 1))
        return TokenizerPair(src=joint, tgt=joint, is_joint=True)
    return TokenizerPair(src=trained((0,)), tgt=trained((1,)), is_joint=False)


def train_on_files(paths: Sequence[str], config: TokenizerConfig) -> Tokenizer:
    """Trains one tokenizer on the lines of text files, one file after the other.

    Raises:
        DataError: MT050, MT052 or MT053 when a file cannot be read.
        TokenizerError: MT080 or MT083 when the vocabulary does not fit the text.
    """
    files = [TextFile(path) for path in paths]
    if problems := [problem for file in files for problem in file.missing()]:
        raise DataError(problems)
    num_lines = sum(1 for file in files for _ in file.texts())
    lines = (line for file in files for line in file.texts())
    return _train(sampled(lines, num_items=num_lines, max_items=config.max_training_lines), config)


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


@dataclass(frozen=True)
class EncodedChunk:
    """Pairs that passed the text filters, in their order, encoded and judged by their lengths.

    Attributes:
        pairs: their texts.
        src_ids, tgt_ids: their pieces, without special ids.
        verdicts: a `Verdict` each.
    """

    pairs: list[tuple[str, str]]
    src_ids: list[list[int]]
    tgt_ids: list[list[int]]
    verdicts: NDArray[np.uint8]


def encoded_chunks(
    texts: Sequence[ParallelText], verdicts: NDArray[np.uint8], tokenizers: TokenizerPair, config: DataConfig
) -> Iterator[EncodedChunk]:
    """The pairs whose verdict is KEPT, encoded, with the verdict that their lengths lead to."""
    for pairs in _chunks(kept_pairs(texts, verdicts)):
        src_ids = tokenizers.src.encode([src for src, _ in pairs])
        tgt_ids = tokenizers.tgt.encode([tgt for _, tgt in pairs])
        found = judge_lengths(
            np.array([len(ids) for ids in src_ids], dtype=np.int32),
            np.array([len(ids) for ids in tgt_ids], dtype=np.int32),
            max_length=config.max_length,
            max_length_ratio=config.max_length_ratio,
        )
        yield EncodedChunk(pairs, src_ids, tgt_ids, found)


def encode_corpus(
    folder: Path,
    texts: Sequence[ParallelText],
    verdicts: NDArray[np.uint8],
    tokenizers: TokenizerPair,
    config: DataConfig,
) -> CleaningCounts:
    """Encodes the kept pairs into the arrays of `folder`, dropping those of unsuitable length, and counts everything.

    The hashes of the kept sources go with them, for the overlap with evaluation sets.

    Raises:
        DataError: MT054 when no pair is left.
    """
    places = np.flatnonzero(verdicts == Verdict.KEPT)
    verdicts = verdicts.copy()
    hashes: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
    writer = CorpusWriter(folder, src_vocab_size=tokenizers.src.vocab_size, tgt_vocab_size=tokenizers.tgt.vocab_size)
    try:
        start = 0
        with tqdm(total=len(places), desc="encoding", unit=" pairs", disable=None, leave=False) as progress:
            for chunk in encoded_chunks(texts, verdicts.copy(), tokenizers, config):
                verdicts[places[start : start + len(chunk.pairs)]] = chunk.verdicts
                kept = np.flatnonzero(chunk.verdicts == Verdict.KEPT).tolist()
                writer.append([chunk.src_ids[i] for i in kept], [chunk.tgt_ids[i] for i in kept])
                hashes.append(text_hashes(chunk.pairs[i][0] for i in kept))
                start += len(chunk.pairs)
                progress.update(len(chunk.pairs))
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


def _chunks(pairs: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    while chunk := list(islice(pairs, CHUNK_PAIRS)):
        yield chunk
