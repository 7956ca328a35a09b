"""From a pair of the encoded corpus back to its line."""

from pathlib import Path

import pytest

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.data.origin import origin_of
from mt_trainer.data.prepare import PreparedData, prepare_data, training_texts

SRC = [f"the dog sees house number {i}" for i in range(60)]
TGT = [f"der Hund sieht das Haus Nummer {i}" for i in range(60)]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainConfig, PreparedData]:
    """Two sources, of which cleaning drops a blank line, a duplicate and an invalid line."""
    monkeypatch.chdir(tmp_path)
    src, tgt = [line.encode() for line in SRC], [line.encode() for line in TGT]
    src[3] = b""
    src[7], tgt[7] = src[5], tgt[5]
    tgt[40] = b"caf\xe9"
    for name, lines in (("a.en", src[:30]), ("a.de", tgt[:30]), ("b.en", src[30:]), ("b.de", tgt[30:])):
        Path(name).write_bytes(b"".join(line + b"\n" for line in lines))
    Path("c.yaml").write_text(
        "data:\n  src_lang: en\n  tgt_lang: de\n  on_invalid_text: skip\n"
        "  train: [{format: text, src: a.en, tgt: a.de}, {format: text, src: b.en, tgt: b.de}]\n"
        "  dev: {format: phrasebook, split: dev, max_pairs: 5}\n"
        "tokenizer: {vocab_size: 290}\nruntime: {cache_folder: cache}\n"
    )
    config = load_config("c.yaml")
    return config, prepare_data(config, announce=lambda line: None)


def test_every_pair_is_found_on_its_line(prepared: tuple[TrainConfig, PreparedData]) -> None:
    config, data = prepared
    kept = [i for i in range(60) if i not in (3, 7, 40)]
    assert data.train.num_pairs == len(kept)
    for pair, place in enumerate(kept):
        origin = origin_of(pair, data.train, training_texts(config.data), data.tokenizers)
        assert origin is not None
        assert (origin.src, origin.tgt) == (SRC[place], TGT[place])
        name, line = "a" if place < 30 else "b", place % 30 + 1
        assert origin.places == (f"{name}.en:{line}", f"{name}.de:{line}")


def test_a_pair_that_is_gone_is_not_found(prepared: tuple[TrainConfig, PreparedData]) -> None:
    config, data = prepared
    Path("a.en").write_text("".join(f"{line}\n" for line in [*SRC[:20], "another one", *SRC[21:30]]))
    assert origin_of(18, data.train, training_texts(config.data), data.tokenizers) is None
