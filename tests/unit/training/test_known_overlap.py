"""The overlap of any set with the training text of a run, long after the training."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mt_trainer.data.corpus import Corpus, CorpusWriter, EncodedSide
from mt_trainer.data.evaluation_sets import EvalSet, text_hashes
from mt_trainer.training.known_overlap import with_known_overlap

KEY = "0123456789abcdef" * 2
SET = EvalSet("news", ["A dog.", "a DOG", "A cat."], ["x", "y", "z"], fingerprint="f")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A cached corpus that was made from the one source `A dog.`"""
    folder = tmp_path / "cache/corpora" / KEY
    folder.mkdir(parents=True)
    writer = CorpusWriter(folder, src_vocab_size=9, tgt_vocab_size=9)
    writer.append(EncodedSide.of([[4]], vocab_size=9), EncodedSide.of([[5]], vocab_size=9))
    exact, alike = (np.unique(hashes) for hashes in text_hashes(["A dog."]))
    writer.finish(meta={}, arrays={"src_hashes": exact, "src_hashes_alike": alike})
    return Corpus(folder)


def overlap(tmp_path: Path, record: Any) -> tuple[int | None, int | None]:
    run = tmp_path / "run"
    run.mkdir()
    (run / "data.json").write_text(json.dumps(record))
    known = with_known_overlap(SET, run, cache_folder=tmp_path / "cache")
    return known.train_overlap, known.exact_train_overlap


def test_a_set_of_the_config_has_what_was_recorded(tmp_path: Path) -> None:
    entry = {"fingerprint": "f", "train_overlap": 7, "exact_train_overlap": 5}
    assert overlap(tmp_path, {"sets": {"other": entry}}) == (7, 5)


def test_another_set_is_counted_against_the_cached_corpus(tmp_path: Path, corpus: Corpus) -> None:
    assert overlap(tmp_path, {"sets": {}, "corpus": corpus.content_hash, "cached_as": corpus.name}) == (2, 1)


@pytest.mark.parametrize("name", [f"../corpora/{KEY}", f"{KEY}/.", "f" * 32, "", 7, None, [KEY]])
def test_a_corpus_that_is_not_in_the_cache_under_its_key_is_not_read(tmp_path: Path, corpus: Corpus, name: Any) -> None:
    assert overlap(tmp_path, {"sets": {}, "corpus": corpus.content_hash, "cached_as": name}) == (None, None)


def test_another_corpus_or_a_damaged_one_tells_nothing(tmp_path: Path, corpus: Corpus) -> None:
    assert overlap(tmp_path, {"sets": {}, "corpus": "0" * 64, "cached_as": corpus.name}) == (None, None)
    (tmp_path / "cache/corpora" / KEY / "src_tokens.bin").write_bytes(b"")
    (tmp_path / "run/data.json").write_text(
        json.dumps({"sets": {}, "corpus": corpus.content_hash, "cached_as": corpus.name})
    )
    assert with_known_overlap(SET, tmp_path / "run", cache_folder=tmp_path / "cache") == SET


def test_a_pipe_is_no_record(tmp_path: Path, corpus: Corpus) -> None:
    reading, writing = os.pipe()
    os.write(writing, json.dumps({"sets": {}, "corpus": corpus.content_hash, "cached_as": corpus.name}).encode())
    os.close(writing)
    (tmp_path / "data.json").symlink_to(f"/dev/fd/{reading}")
    try:
        assert with_known_overlap(SET, tmp_path, cache_folder=tmp_path / "cache") == SET
    finally:
        os.close(reading)


def test_without_a_record_nothing_is_known(tmp_path: Path) -> None:
    assert with_known_overlap(SET, tmp_path, cache_folder=tmp_path) == SET
