"""Sampling lines for the tokenizer, and how well a vocabulary covers a text."""

from itertools import pairwise

import pytest

from mt_trainer.data.cleaning import CleaningCounts
from mt_trainer.data.encoding import coverage, require_pairs, sampled
from mt_trainer.errors import DataError
from mt_trainer.tokenizer import train_tokenizer


def test_sampling_is_even_and_in_order() -> None:
    assert list(sampled(range(10), num_items=10, max_items=20)) == list(range(10))
    assert len(list(sampled(range(10), num_items=10, max_items=4))) == 4
    chosen = list(sampled(range(1000), num_items=1000, max_items=10))
    assert {second - first for first, second in pairwise(chosen)} == {100}


def test_coverage_counts_words_pieces_and_bytes() -> None:
    # Pieces: 4 special, 256 bytes, the letters a-d, the word mark, and the mark merged with each letter.
    tokenizer = train_tokenizer(
        ["a b c d", "d c b a"] * 10,
        algorithm="bpe",
        vocab_size=269,
        character_coverage=1.0,
        byte_fallback=True,
        num_threads=1,
    )
    counted = coverage(tokenizer, ["a b", "é"])
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
