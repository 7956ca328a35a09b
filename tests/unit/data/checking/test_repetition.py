"""Repeated pairs, several translations, and what of the test sets stands in training, against a slow count."""

from hypothesis import given
from hypothesis import strategies as st

from mt_trainer.data.checking.overlap import Overlap
from mt_trainer.data.checking.repetition import Repetitions
from mt_trainer.data.evaluation_sets import normalised

TEXTS = st.sampled_from(["a", "b", "c", " a", "A!", "c d"])
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=25)


@given(pairs=PAIRS)
def test_repetition_is_what_counting_by_hand_finds(pairs: list[tuple[str, str]]) -> None:
    repetitions = Repetitions()
    for row, pair in enumerate(pairs):
        repetitions.add(10 * row, *pair)
    duplicate, src, tgt = repetitions.observations()
    stripped = [(a.strip(), b.strip()) for a, b in pairs]
    repeated = [10 * row for row, pair in enumerate(stripped) if pair in stripped[:row]]
    assert (duplicate.tally.count, duplicate.tally.rows) == (len(repeated), repeated[:5])
    first = list(dict.fromkeys(stripped))
    for side, found in ((0, src), (1, tgt)):
        sides = [pair[side] for pair in first]
        assert found.tally.count == sum(sides.count(text) > 1 for text in sides)


@given(train=PAIRS, test=PAIRS)
def test_overlap_is_what_comparing_all_with_all_finds(
    train: list[tuple[str, str]], test: list[tuple[str, str]]
) -> None:
    overlap = Overlap({"news": [*test, None]})
    for row, pair in enumerate(train):
        overlap.add(row, *pair)
    found = overlap.observations("news", lambda row: (f"en:{row}", f"de:{row}"))
    for side, observation in enumerate(found):
        known = {normalised(pair[side]) for pair in train}
        in_training = [number for number, pair in enumerate(test) if normalised(pair[side]) in known]
        assert observation.tally.count == len(in_training)
        assert observation.tally.notes == [f"as {'en de'.split()[side]}:{number}" for number in in_training[:5]]
        exact = sum(pair[side].strip() in {each[side].strip() for each in train} for pair in test)
        if in_training:
            assert observation.detail.startswith(f"{exact} letter for letter")


def test_blank_lines_are_no_overlap() -> None:
    overlap = Overlap({"news": [("", ""), ("?!", "x")]})
    overlap.add(0, "?!", "y")
    src, tgt = overlap.observations("news", lambda row: ("", ""))
    assert (src.tally.count, tgt.tally.count) == (1, 0)
