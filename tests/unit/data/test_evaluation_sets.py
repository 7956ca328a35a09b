"""What counts as the same sentence in training and evaluation text."""

import numpy as np

from mt_trainer.data.evaluation_sets import EvalSet, normalised, text_hashes, with_overlap


def test_normalised_text() -> None:
    assert normalised("  „Straße“ -- ＡＢＣ\u00a0d.\n") == "strasse abc d"
    assert normalised("?!") == ""


def test_overlap_of_hashes() -> None:
    train = ["One fish.", "Two fish!", "?!"]
    exact, alike = (sorted(hashes) for hashes in text_hashes(train))
    texts = ["One fish.", "one  FISH", "two fishes", "", "?!", "..."]
    eval_set = EvalSet("dev", texts, texts, fingerprint="")
    counted = with_overlap(eval_set, exact=np.array(exact), alike=np.array(alike))
    assert (counted.exact_train_overlap, counted.train_overlap) == (2, 3)
    nothing = np.zeros(0, dtype=np.uint64)
    untouched = with_overlap(eval_set, exact=nothing, alike=nothing)
    assert (untouched.exact_train_overlap, untouched.train_overlap) == (0, 0)
    assert eval_set.train_overlap is None
