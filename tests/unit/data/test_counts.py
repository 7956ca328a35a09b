"""Counts of pieces, by hand."""

from pathlib import Path

import pytest

from mt_trainer.data import counts
from mt_trainer.data.corpus import Corpus, CorpusWriter, EncodedSide


@pytest.mark.parametrize("at_once", [2, 1 << 20])
def test_pieces_and_end_marks_are_counted(tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "COUNTED_AT_ONCE", at_once)
    writer = CorpusWriter(tmp_path, src_vocab_size=9, tgt_vocab_size=8)
    src, tgt = [[5, 8, 5], [], [4]], [[7, 7, 7], [4], [7, 5]]
    writer.append(EncodedSide.of(src, vocab_size=9), EncodedSide.of(tgt, vocab_size=8))
    writer.finish(meta={}, arrays={})
    writer.close()
    corpus = Corpus(tmp_path)
    assert counts.target_counts(corpus, vocab_size=8, eos_id=3).tolist() == [0, 0, 0, 3, 1, 1, 0, 4]
    assert counts.source_counts(corpus, vocab_size=9, eos_id=3).tolist() == [0, 0, 0, 3, 1, 2, 0, 0, 1]


def test_an_empty_corpus_has_none(tmp_path: Path) -> None:
    writer = CorpusWriter(tmp_path, src_vocab_size=9, tgt_vocab_size=8)
    writer.finish(meta={}, arrays={})
    writer.close()
    assert counts.target_counts(Corpus(tmp_path), vocab_size=8, eos_id=3).tolist() == [0] * 8
