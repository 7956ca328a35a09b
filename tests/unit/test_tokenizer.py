"""SentencePiece: training is reproducible, refuses what cannot be, and a broken file is an error, not a crash."""

import hashlib
import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from mt_trainer.errors import MtError
from mt_trainer.tokenizer import LONGEST_LINE, Tokenizer, TokenizerPair, train_tokenizer

RANDOM = random.Random(1)
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
WORDS = ["".join(RANDOM.choices(SYLLABLES, k=RANDOM.randint(2, 4))) for _ in range(60)]
LINES = ["the red dog sees two birds", "the cow"] + [" ".join(RANDOM.choices(WORDS, k=8)) for _ in range(200)]


def trained(lines: Iterable[str] = LINES, **changes: Any) -> Tokenizer:
    settings: dict[str, Any] = dict(
        algorithm="unigram", vocab_size=320, character_coverage=1.0, byte_fallback=True, num_threads=2
    )
    return train_tokenizer(lines, **{**settings, **changes})


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return trained()


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(MtError) as caught:
        call()
    assert len(caught.value.problems) == 1
    return caught.value.problems[0].code


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_has_exactly_the_pieces_asked_for_and_the_special_ids(algorithm: str) -> None:
    tokenizer = trained(algorithm=algorithm)
    assert tokenizer.vocab_size == 320
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    assert tokenizer.algorithm == algorithm
    assert tokenizer.content_hash == hashlib.sha256(tokenizer.model_bytes).hexdigest()


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_training_twice_gives_the_same_bytes(algorithm: str) -> None:
    first = trained(iter(LINES), algorithm=algorithm)
    assert trained(list(LINES), algorithm=algorithm).model_bytes == first.model_bytes


def test_encoding_adds_no_special_ids_and_decoding_inverts_it(tokenizer: Tokenizer) -> None:
    texts = ["the red dog sees two birds", "", "   ", "the cow", "日本 naïve"]
    ids = tokenizer.encode(texts)
    assert ids[1] == ids[2] == []
    assert not {0, 1, 2, 3} & {index for sequence in ids for index in sequence}
    assert tokenizer.decode(ids) == ["the red dog sees two birds", "", "", "the cow", "日本 naïve"]
    assert tokenizer.encode([]) == []
    assert tokenizer.decode([]) == []


def test_decoding_drops_special_ids_and_never_gives_two_lines(tokenizer: Tokenizer) -> None:
    [ids] = tokenizer.encode(["the cow"])
    assert tokenizer.decode([[2, *ids, 3, 0, 0]]) == ["the cow"]
    # Line feed, carriage return and space are bytes 10, 13 and 32; the 256 bytes follow the four special pieces.
    spaces = [i for i in range(tokenizer.vocab_size) if tokenizer.is_byte(i) and tokenizer.decode([[i]]) == [" "]]
    assert spaces == [4 + 10, 4 + 13, 4 + 32]
    for index in spaces:
        assert tokenizer.decode([[*ids, index, *ids]]) == ["the cow  the cow"]


def test_unknown_characters_are_bytes_or_unknown() -> None:
    assert trained().pieces("漢")[-3:] == ["<0xE6>", "<0xBC>", "<0xA2>"]
    without_bytes = trained(vocab_size=60, byte_fallback=False)
    assert without_bytes.encode(["漢"])[0][-1] == without_bytes.unk_id


def test_a_vocabulary_larger_than_the_text_names_the_largest_possible() -> None:
    with pytest.raises(MtError) as caught:
        trained(vocab_size=50_000)
    [problem] = caught.value.problems
    assert problem.code == "MT080"
    largest = int(str(problem.help).split()[-1])
    assert trained(vocab_size=largest).vocab_size == largest
    assert code_of(lambda: trained(vocab_size=largest + 1)) == "MT080"


def test_a_vocabulary_smaller_than_the_characters_names_the_smallest_possible() -> None:
    # 4 special pieces and 256 bytes, and a piece for every character: space and the letters of LINES.
    smallest = 260 + len(set("".join(LINES)))
    with pytest.raises(MtError) as caught:
        trained(vocab_size=smallest - 1)
    [problem] = caught.value.problems
    assert problem.code == "MT083"
    assert str(smallest) in str(problem.help)


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_no_text_is_an_error(lines: list[str]) -> None:
    assert code_of(lambda: trained(lines)) == "MT054"


def test_a_long_line_is_not_skipped() -> None:
    long = ("extraordinary " * (5 * LONGEST_LINE // 14)).strip()
    assert "▁extraordinary" in trained([*LINES, long], vocab_size=330).pieces("extraordinary")


def test_a_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "x.model")
    loaded = Tokenizer.load(tmp_path / "x.model")
    assert loaded.content_hash == tokenizer.content_hash
    assert loaded.encode(LINES) == tokenizer.encode(LINES)


@pytest.mark.parametrize("content", [b"", b"\0", b"{}", b"\x80" * 100_000, b"not a model " * 50, bytes(range(256)) * 9])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.model"
    path.write_bytes(content)
    assert code_of(lambda: Tokenizer.load(path)) == "MT081"


def test_a_cut_file_is_refused_wherever_it_is_cut(tokenizer: Tokenizer) -> None:
    size = len(tokenizer.model_bytes)
    for cut in [*range(0, size, size // 60), *range(size - 200, size)]:
        # The last field, the denormaliser, is empty: a model is whole without it.
        if tokenizer.model_bytes[cut:] != tokenizer.model_bytes[-2:]:
            assert code_of(partial(Tokenizer, tokenizer.model_bytes[:cut])) == "MT081"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MtError, match=r"MT081.*\n.*nowhere\.model"):
        Tokenizer.load(tmp_path / "nowhere.model")


def test_a_model_without_padding_is_refused(tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_prefix=str(tmp_path / "default"), vocab_size=60, minloglevel=2
    )
    with pytest.raises(MtError, match=r"MT081.*no piece for pad"):
        Tokenizer.load(tmp_path / "default.model")


def test_pairs_are_stored_as_one_file_or_two(tokenizer: Tokenizer, tmp_path: Path) -> None:
    joint = TokenizerPair(src=tokenizer, tgt=tokenizer, is_joint=True)
    joint.save(tmp_path)
    assert [file.name for file in Path(tmp_path).iterdir()] == ["tokenizer.model"]
    assert TokenizerPair.load(tmp_path).content_hash == joint.content_hash == tokenizer.content_hash

    other = trained(vocab_size=310)
    folder = tmp_path / "two"
    folder.mkdir()
    two = TokenizerPair(src=tokenizer, tgt=other, is_joint=False)
    two.save(folder)
    loaded = TokenizerPair.load(folder)
    assert (loaded.src.vocab_size, loaded.tgt.vocab_size, loaded.is_joint) == (320, 310, False)
    assert loaded.content_hash == two.content_hash
    swapped = TokenizerPair(src=other, tgt=tokenizer, is_joint=False)
    assert swapped.content_hash != two.content_hash


def test_a_pair_with_different_special_ids_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_prefix=str(tmp_path / "other"),
        vocab_size=60,
        pad_id=3,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    other = Tokenizer.load(tmp_path / "other.model")
    with pytest.raises(MtError) as caught:
        TokenizerPair(src=tokenizer, tgt=other, is_joint=False)
    [problem] = caught.value.problems
    assert (problem.code, problem.help) == ("MT081", "train both with `mt-tokenizer train`")
    assert "source pad 0, unk 1, bos 2, eos 3, target pad 3, unk 0, bos 1, eos 2" in problem.message
