"""From the config to tokenizers, an encoded corpus and evaluation sets; what was made before comes from the cache.

    <cache_folder>/tokenizers/<key>/tokenizer.model              key: training bytes, text filters, tokenizer settings
    <cache_folder>/corpora/<key>/{meta.json, src_tokens.bin ...}  key: training bytes, all filters, tokenizer content

Nothing is written before all text has been read once without a fault.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mt_trainer.config.data import DataConfig
from mt_trainer.config.schema import TrainConfig
from mt_trainer.data.cache import cache_key, new_folder
from mt_trainer.data.cleaning import CleaningCounts, Verdict, count_verdicts, judge_texts
from mt_trainer.data.corpus import CORPUS_FORMAT, Corpus
from mt_trainer.data.encoding import all_pairs, changed_while_reading, encode_corpus, require_pairs, train_tokenizers
from mt_trainer.data.encoding_processes import num_encoding_processes
from mt_trainer.data.evaluation_sets import (
    EvalSet,
    evaluation_text,
    overlap_line,
    read_evaluation_set,
    require_little_overlap,
    with_overlap,
)
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.sources import read_source, require_sources
from mt_trainer.data.tokenizers import keep_tokenizers, known_tokenizers
from mt_trainer.errors import DataError, MtError, Problem
from mt_trainer.tokenizer import TokenizerPair

PREPARATION_FORMAT = 1
"""Changes whenever the same text and settings would give another selection of pairs."""


@dataclass(frozen=True)
class PreparedData:
    """Everything that training reads.

    Attributes:
        tokenizers: given, cached or just trained.
        train: the encoded training corpus.
        counts: what was dropped from it, and why.
        dev, test: raw evaluation text, with the overlap with the training text.
        notes: what was put right while reading, and warnings.
    """

    tokenizers: TokenizerPair
    train: Corpus
    counts: CleaningCounts
    dev: EvalSet
    test: dict[str, EvalSet]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """What `data.json` says: counts by reason, content hashes, and how much of each set the training text knows."""
        return {
            "corpus": self.corpus_hash,
            "cached_as": self.train.name,
            "tokenizer": self.tokenizers.content_hash,
            "counts": asdict(self.counts),
            "notes": list(self.notes),
            "sets": {
                name: {
                    "fingerprint": eval_set.fingerprint,
                    "pairs": len(eval_set.src_texts),
                    "train_overlap": eval_set.train_overlap,
                    "exact_train_overlap": eval_set.exact_train_overlap,
                }
                for name, eval_set in {"dev": self.dev, **self.test}.items()
            },
        }

    @property
    def corpus_hash(self) -> str:
        """Content hash of the encoded corpus."""
        return self.train.content_hash


def prepare_data(
    config: TrainConfig,
    *,
    announce: Callable[[str], None],
    require_tokenizers: Callable[[TokenizerPair], None] | None = None,
) -> PreparedData:
    """Reads, cleans and encodes all text that the config names.

    Args:
        config: of the run.
        announce: told in single lines what happens.
        require_tokenizers: raises MtError for tokenizers that will not do; asked before anything is written.

    Raises:
        DataError, TokenizerError: everything that is wrong with the text, at once; then nothing was written.
    """
    data = config.data
    languages = {"src_lang": data.src_lang, "tgt_lang": data.tgt_lang}
    texts = training_texts(data)
    evaluation = [("dev", evaluation_text(data.dev, **languages))]
    evaluation += [(name, evaluation_text(source, **languages)) for name, source in data.test.items()]
    keys = {name: "data.dev" if name == "dev" else f"data.test.{name}" for name, _ in evaluation}
    require_sources(training_sources(texts) | {keys[name]: text for name, text in evaluation})

    problems: list[Problem] = []
    eval_sets: list[EvalSet] = []
    for name, text in evaluation:
        try:
            eval_sets.append(read_evaluation_set(name, text))
        except DataError as error:
            problems.extend(error.problems)
    try:
        tokenizers, corpus = _tokenizers_and_corpus(texts, config, problems, announce, require_tokenizers)
    except MtError as error:
        if not problems:
            raise
        raise DataError(list(dict.fromkeys([*problems, *error.problems]))) from error
    if problems:
        raise DataError(problems)

    eval_sets = [
        with_overlap(eval_set, exact=corpus.array("src_hashes"), alike=corpus.array("src_hashes_alike"))
        for eval_set in eval_sets
    ]
    counts = CleaningCounts(**corpus.meta["counts"])
    notes = tuple(dict.fromkeys([*corpus.meta["notes"], *(note for each in eval_sets for note in each.notes)]))
    announce(f"training text: {counts.describe()}")
    for line in [*counts.notable(), *notes, *map(overlap_line, eval_sets)]:
        announce(line)
    require_little_overlap({keys[eval_set.name]: eval_set for eval_set in eval_sets}, data.max_overlap)
    test = {eval_set.name: eval_set for eval_set in eval_sets[1:]}
    return PreparedData(tokenizers=tokenizers, train=corpus, counts=counts, dev=eval_sets[0], test=test, notes=notes)


def _tokenizers_and_corpus(
    texts: Sequence[ParallelText],
    config: TrainConfig,
    problems: Sequence[Problem],
    announce: Callable[[str], None],
    require_tokenizers: Callable[[TokenizerPair], None] | None,
) -> tuple[TokenizerPair, Corpus]:
    """Both from the cache, or made now; when there are `problems` already, reading ends before anything is made."""
    data, cache = config.data, Path(config.runtime.cache_folder)
    fingerprints = [text.fingerprint for text in texts]
    tokenizers = known_tokenizers(config, fingerprints)
    if tokenizers is not None:
        if require_tokenizers is not None:
            require_tokenizers(tokenizers)
        corpus_folder = cache / "corpora" / _corpus_key(fingerprints, data, tokenizers)
        if corpus_folder.exists():
            announce(f"encoded corpus: from the cache, {corpus_folder}")
            return tokenizers, Corpus(corpus_folder)

    announce("reading the training text")
    verdicts = judge_training_text(texts, data)
    if problems:
        raise DataError(problems)
    is_new = tokenizers is None
    if tokenizers is None:
        start = time.perf_counter()
        tokenizers = train_tokenizers(texts, verdicts, config.tokenizer)
        kind = f"{config.tokenizer.algorithm}, {config.tokenizer.vocab_size:,} pieces"
        kind += " for both sides" if tokenizers.is_joint else " a side"
        announce(f"tokenizer: trained in {time.perf_counter() - start:.1f} s ({kind})")
        if require_tokenizers is not None:
            require_tokenizers(tokenizers)
    corpus_folder = cache / "corpora" / _corpus_key(fingerprints, data, tokenizers)
    with new_folder(corpus_folder) as folder:
        num_processes = num_encoding_processes(int((verdicts == Verdict.KEPT).sum()), threads=config.runtime.threads)
        encode_corpus(folder, texts, verdicts, tokenizers, data, num_processes=num_processes)
        if [text.fingerprint for text in texts] != fingerprints:
            raise DataError(changed_while_reading(texts))
    if is_new:
        keep_tokenizers(tokenizers, config, fingerprints)
    return tokenizers, Corpus(corpus_folder)


def judge_training_text(texts: Sequence[ParallelText], data: DataConfig) -> NDArray[np.uint8]:
    """The verdict of the text filters on every training pair.

    Raises:
        DataError: all that is wrong with the text; MT054 when no pair is left.
    """
    verdicts = judge_texts(
        all_pairs(texts),
        max_length=data.max_length,
        drop_identical=data.drop_identical,
        drop_duplicates=data.drop_duplicates,
    )
    require_pairs(count_verdicts(verdicts, invalid_text=sum(text.num_invalid for text in texts)))
    return verdicts


def training_texts(data: DataConfig) -> list[ParallelText]:
    """The sources of the training text, unread."""
    return [
        read_source(source, src_lang=data.src_lang, tgt_lang=data.tgt_lang, on_invalid_text=data.on_invalid_text)
        for source in data.train
    ]


def training_sources(texts: Sequence[ParallelText]) -> dict[str, ParallelText]:
    """The sources of the training text by their keys in the config."""
    return {"data.train" if len(texts) == 1 else f"data.train.{i}": text for i, text in enumerate(texts)}


def _corpus_key(fingerprints: Sequence[str], data: DataConfig, tokenizers: TokenizerPair) -> str:
    return cache_key(
        {
            "format": [PREPARATION_FORMAT, CORPUS_FORMAT],
            "text": list(fingerprints),
            "filters": {
                "max_length": data.max_length,
                "max_length_ratio": data.max_length_ratio,
                "drop_identical": data.drop_identical,
                "drop_duplicates": data.drop_duplicates,
                "on_invalid_text": data.on_invalid_text,
            },
            "tokenizer": tokenizers.content_hash,
        }
    )
