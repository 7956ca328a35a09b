"""Sampling lines for the tokenizer, and how well a vocabulary covers a text."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mt_trainer.config.data import TokenizerConfig
from mt_trainer.data import encoding
from mt_trainer.data.cleaning import CleaningCounts, Verdict
from mt_trainer.data.encoding import coverage, num_sampled, require_pairs, sampled
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.text_files import AlignedFiles
from mt_trainer.errors import DataError
from mt_trainer.tokenizer import Tokenizer, train_tokenizer


def test_sampling_is_even_and_in_order() -> None:
    assert list(sampled(range(10), num_items=10, max_items=20)) == list(range(10))
    assert len(list(sampled(range(10), num_items=10, max_items=4))) == 4
    chosen = list(sampled(range(1000), num_items=1000, max_items=10))
    assert {second - first for first, second in pairwise(chosen)} == {100}


@pytest.mark.parametrize(
    ("num_items", "num_characters", "max_items", "expected"),
    [
        (1000, 99_000_000, 5000, 1010),  # all of them
        (1000, 100_000_000, 5000, 1000),
        (1000, 400_000_000, 5000, 250),  # the characters decide
        (1000, 400_000_000, 200, 200),  # the lines do
        (3, 900_000_000, 5000, 1),
        (0, 0, 5000, 1),
    ],
)
def test_a_tokenizer_is_trained_on_a_bounded_number_of_lines_and_characters(
    num_items: int, num_characters: int, max_items: int, expected: int
) -> None:
    assert num_sampled(num_items, num_characters, max_items=max_items) == expected


@pytest.mark.parametrize("is_joint", [True, False])
def test_what_the_trainer_is_given_is_bounded_in_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_joint: bool
) -> None:
    given: list[list[str]] = []

    def noted(lines: Iterable[str], **_: object) -> Tokenizer:
        given.append(list(lines))
        return letters()

    monkeypatch.setattr(encoding, "train_tokenizer", noted)
    monkeypatch.setattr(encoding, "MOST_CHARACTERS", 600)
    paths = [tmp_path / "train.en", tmp_path / "train.de"]
    for path, text in zip(paths, ("abc def ", "dcba"), strict=True):
        path.write_text("".join(f"{text}{number:02}\n" for number in range(100)))
    files = AlignedFiles(*map(str, paths))
    verdicts = np.full(100, Verdict.KEPT, dtype=np.uint8)
    verdicts[0] = Verdict.DUPLICATE
    config = TokenizerConfig(joint=is_joint)
    encoding.train_tokenizers([ParallelText(files, on_invalid_text="stop")], verdicts, config)
    encoding.train_on_files([str(paths[0])], config)
    # 99 pairs of 10 and 6 characters, 594 of which are all taken; then 100 lines of 10.
    expected = [2 * (99 * 600 // 1584)] if is_joint else [99 * 600 // 990, 99]
    assert [len(lines) for lines in given] == [*expected, 60]
    assert all(sum(map(len, lines)) <= 600 for lines in given)
    assert {line[-2:] for line in given[-1]} > {"01", "49", "98"}, "evenly spread"


def letters() -> Tokenizer:
    """Pieces: 4 special, 256 bytes, the letters a-d, the word mark, and the mark merged with each letter."""
    return train_tokenizer(
        ["a b c d", "d c b a"] * 10,
        algorithm="bpe",
        vocab_size=269,
        character_coverage=1.0,
        byte_fallback=True,
        num_threads=1,
    )


def test_coverage_counts_words_pieces_and_bytes() -> None:
    counted = coverage(letters(), ["a b", "é"])
    # "▁a" "▁b", then "▁" and the two bytes of é (C3 A9).
    assert (counted.num_words, counted.num_pieces, counted.num_byte_pieces, counted.num_unknown) == (3, 5, 2, 0)
    assert counted.describe() == "3 words in 5 pieces (1.67 a word), 40.00% of them bytes, 0.00% unknown"


@pytest.mark.parametrize(
    ("identical", "blank", "advice"),
    [
        (6, 4, "are both sides the same file?"),
        (5, 5, "loosen data.max_length, data.max_length_ratio or the filter that dropped most"),
        (0, 0, "the training files are empty"),
    ],
)
def test_what_may_be_wrong_where_no_pair_is_left(identical: int, blank: int, advice: str) -> None:
    dropped = dict(invalid_text=0, too_long=0, duplicate=0, empty_after_tokenisation=0, length_ratio=0)
    counts = CleaningCounts(read=identical + blank, kept=0, identical=identical, blank=blank, **dropped)
    with pytest.raises(DataError) as caught:
        require_pairs(counts)
    [problem] = caught.value.problems
    assert (problem.code, problem.help) == ("MT054", advice)
