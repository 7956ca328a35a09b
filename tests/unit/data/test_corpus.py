"""The corpus on disk gives back what was appended, and notices every change to its files."""

from pathlib import Path

import numpy as np
import pytest

from mt_trainer.data.cache import cache_key, new_folder
from mt_trainer.data.corpus import Corpus, CorpusWriter, EncodedSide, token_dtype
from mt_trainer.errors import DataError

SRC = [[5, 6, 7], [8], [9, 10]]
TGT = [[300], [301, 302], [303]]


def write(folder: Path, *, vocab_size: int = 1000) -> Path:
    folder.mkdir()
    writer = CorpusWriter(folder, src_vocab_size=vocab_size, tgt_vocab_size=vocab_size)
    for pairs in (slice(2), slice(0), slice(2, 3)):
        writer.append(*(EncodedSide.of(ids[pairs], vocab_size=vocab_size) for ids in (SRC, TGT)))
    writer.finish(meta={"counts": {"kept": 3}}, arrays={"extra": np.array([1, 2], dtype=np.uint64)})
    writer.close()
    return folder


@pytest.mark.parametrize(("vocab_size", "dtype"), [(1000, "uint16"), (65535, "uint16"), (65536, "int32")])
def test_gives_back_what_was_appended(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    corpus = Corpus(write(tmp_path / "corpus", vocab_size=vocab_size))
    assert token_dtype(vocab_size) == dtype
    assert corpus.num_pairs == 3
    assert [corpus.src(i).tolist() for i in range(3)] == SRC
    assert [corpus.tgt(i).tolist() for i in range(3)] == TGT
    assert corpus.src(0).dtype == dtype
    assert corpus.src_lengths.tolist() == [3, 1, 2]
    assert corpus.tgt_lengths.tolist() == [1, 2, 1]
    assert corpus.src_lengths.dtype == corpus.tgt_lengths.dtype == np.int32
    assert corpus.meta["counts"] == {"kept": 3}
    assert corpus.array("extra").tolist() == [1, 2]


def test_content_hash_is_that_of_the_content(tmp_path: Path) -> None:
    first, second = Corpus(write(tmp_path / "a")), Corpus(write(tmp_path / "b"))
    assert first.content_hash == second.content_hash
    folder = tmp_path / "c"
    folder.mkdir()
    writer = CorpusWriter(folder, src_vocab_size=1000, tgt_vocab_size=1000)
    cut_elsewhere = [[5, 6], [7, 8], [9, 10]]  # the same ids
    writer.append(*(EncodedSide.of(ids, vocab_size=1000) for ids in (cut_elsewhere, TGT)))
    writer.finish(meta={}, arrays={})
    assert Corpus(folder).content_hash != first.content_hash


def test_ids_of_another_type_are_refused(tmp_path: Path) -> None:
    writer = CorpusWriter(tmp_path, src_vocab_size=1000, tgt_vocab_size=1000)
    with pytest.raises(ValueError, match="ids of type int32 in a corpus of uint16"):
        writer.append(EncodedSide.of(SRC, vocab_size=1000), EncodedSide.of(TGT, vocab_size=70_000))
    writer.close()


@pytest.mark.parametrize("name", ["src_tokens", "tgt_tokens", "src_offsets", "tgt_offsets", "extra"])
@pytest.mark.parametrize("damage", ["cut", "flip", "grow", "delete", "empty"])
def test_damage_is_noticed(tmp_path: Path, name: str, damage: str) -> None:
    folder = write(tmp_path / "corpus")
    file = folder / f"{name}.bin"
    content = bytearray(file.read_bytes())
    match damage:
        case "cut":
            file.write_bytes(content[:-1])
        case "flip":
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        case "grow":
            file.write_bytes(content + b"\0")
        case "empty":
            file.write_bytes(b"")
        case "delete":
            file.unlink()
    with pytest.raises(DataError, match=r"MT057[\s\S]*rm -r ") as caught:
        Corpus(folder)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("meta", ["", "{}", "[]", '{"num_pairs": 3, "arrays": {}}', '{"num_pairs": 3, "arrays": 1}'])
def test_a_damaged_description_is_noticed(tmp_path: Path, meta: str) -> None:
    folder = write(tmp_path / "corpus")
    (folder / "meta.json").write_text(meta)
    with pytest.raises(DataError, match="MT057"):
        Corpus(folder)


def test_a_new_folder_is_complete_or_not_there(tmp_path: Path) -> None:
    destination = tmp_path / "cache" / "corpora" / "key"
    with new_folder(destination) as folder:
        (folder / "file").write_text("content")
        assert not destination.exists()
    assert (destination / "file").read_text() == "content"
    assert [each.name for each in destination.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_folder_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def build() -> None:
        with new_folder(tmp_path / "cache" / "corpora" / "key") as folder:
            (folder / "file").write_text("half")
            raise error

    with pytest.raises(error):
        build()
    assert list(tmp_path.iterdir()) == []


def test_the_quicker_process_wins(tmp_path: Path) -> None:
    destination = tmp_path / "key"
    with new_folder(destination) as folder:
        (folder / "file").write_text("mine")
        destination.mkdir()
        (destination / "file").write_text("theirs")
    assert (destination / "file").read_text() == "theirs"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="MT103"), new_folder(tmp_path / "file" / "key"):
        pass


def test_keys_depend_on_every_part() -> None:
    keys = {cache_key({"a": 1, "b": [2, 3]}), cache_key({"a": 1, "b": [3, 2]}), cache_key({"a": "1", "b": [2, 3]})}
    assert len(keys) == 3
    assert cache_key({"b": [2, 3], "a": 1}) in keys
