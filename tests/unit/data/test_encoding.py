"""Sampling lines for the tokenizer, and how well a vocabulary covers a text."""

from itertools import pairwise

from mt_trainer.data.encoding import coverage, sampled
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
