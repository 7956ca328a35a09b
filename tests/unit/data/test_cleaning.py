"""Every dropped pair is counted under exactly one reason, in the documented order."""

import numpy as np

from mt_trainer.data.cleaning import CleaningCounts, Verdict, count_verdicts, judge_lengths, judge_texts

V = Verdict


def judged(
    pairs: list[tuple[str, str]],
    *,
    max_length: int = 100,
    drop_identical: bool = True,
    drop_duplicates: bool = True,
) -> list[Verdict]:
    verdicts = judge_texts(pairs, max_length=max_length, drop_identical=drop_identical, drop_duplicates=drop_duplicates)
    return [Verdict(each) for each in verdicts]


def test_blank_means_white_space_of_any_kind_on_either_side() -> None:
    blanks = ["", " ", "\t", "\u00a0", "\u3000", "\u2028", "\r"]
    assert judged([(blank, "Text") for blank in blanks]) == [V.BLANK] * len(blanks)
    assert judged([("text", blank) for blank in blanks]) == [V.BLANK] * len(blanks)


def test_duplicates_are_equal_on_both_sides_and_the_first_stays() -> None:
    pairs = [("a", "b"), ("a", "c"), ("a", "b"), ("x", "b"), ("a", "b"), ("a", "c")]
    assert judged(pairs) == [V.KEPT, V.KEPT, V.DUPLICATE, V.KEPT, V.DUPLICATE, V.DUPLICATE]
    assert judged(pairs, drop_duplicates=False) == [V.KEPT] * 6


def test_where_one_side_ends_matters() -> None:
    assert judged([("ab", "c"), ("a", "bc")]) == [V.KEPT, V.KEPT]


def test_a_dropped_pair_does_not_shift_the_duplicates() -> None:
    assert judged([("", "x"), ("a", "b"), ("", "y"), ("a", "b"), ("c", "d")]) == [
        V.BLANK,
        V.KEPT,
        V.BLANK,
        V.DUPLICATE,
        V.KEPT,
    ]


def test_identical_sides_of_more_than_three_words() -> None:
    pairs = [("one two three", "one two three"), ("one two three four", " one two three four")]
    assert judged(pairs) == [V.KEPT, V.IDENTICAL]
    assert judged(pairs, drop_identical=False) == [V.KEPT, V.KEPT]


def test_what_no_tokenizer_could_shorten_is_too_long() -> None:
    assert judged([("x" * 640, "y"), ("x" * 641, "y"), ("x", "y" * 641)], max_length=10) == [
        V.KEPT,
        V.TOO_LONG,
        V.TOO_LONG,
    ]


def test_no_pairs_at_all() -> None:
    assert judged([]) == []


def test_lengths() -> None:
    # max_length 10 counts the end mark: 9 pieces pass. Ratio 2 with 5 added: (9+5)/(2+5) = 2 passes, (9+5)/(1+5) not.
    src = np.array([9, 10, 9, 9, 0, 3], dtype=np.int32)
    tgt = np.array([9, 10, 2, 1, 4, 0], dtype=np.int32)
    verdicts = judge_lengths(src, tgt, max_length=10, max_length_ratio=2.0)
    assert [Verdict(each) for each in verdicts] == [
        V.KEPT,
        V.TOO_LONG,
        V.KEPT,
        V.LENGTH_RATIO,
        V.EMPTY_AFTER_TOKENISATION,
        V.EMPTY_AFTER_TOKENISATION,
    ]
    assert (judge_lengths(tgt, src, max_length=10, max_length_ratio=2.0) == verdicts).all()


def test_counts_add_up_and_read_well() -> None:
    verdicts = np.array([V.KEPT] * 1200 + [V.BLANK] * 3 + [V.LENGTH_RATIO], dtype=np.uint8)
    counts = count_verdicts(verdicts, invalid_text=2)
    assert counts == CleaningCounts(
        read=1206,
        kept=1200,
        invalid_text=2,
        blank=3,
        too_long=0,
        identical=0,
        duplicate=0,
        empty_after_tokenisation=0,
        length_ratio=1,
    )
    assert counts.describe() == "kept 1,200 of 1,206 pairs; dropped 2 invalid text, 3 blank, 1 length ratio"


def test_a_filter_that_drops_much_is_named_with_its_setting() -> None:
    verdicts = np.array([V.KEPT] * 80 + [V.TOO_LONG] * 11 + [V.DUPLICATE] * 9, dtype=np.uint8)
    assert count_verdicts(verdicts, invalid_text=0).notable() == [
        "warning: 11% of the training pairs are dropped as too long: see `data.max_length`"
    ]
    assert count_verdicts(verdicts[:80], invalid_text=0).notable() == []
