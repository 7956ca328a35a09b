"""Shifted lines are found where they begin, and nowhere else."""

import random

import pytest

from mt_trainer.data.checking.alignment import UNRELATED, Aligner, ShiftedRun
from mt_trainer.data.checking.lexicon import Sample, learned_evidence, strength_of_alignment
from mt_trainer.data.checking.misalignment import WEAK, misalignment
from mt_trainer.data.checking.part_traits import alignable

Pairs = list[tuple[str, str]]
Sides = tuple[list[str], list[str]]


def sides(pairs: Pairs) -> Sides:
    return [src for src, _ in pairs], [tgt for _, tgt in pairs]


def runs_of(src: list[str], tgt: list[str]) -> list[ShiftedRun]:
    rows = [alignable(*pair) for pair in zip(src, tgt, strict=False)]
    sample = Sample()
    for number, row in enumerate(rows):
        sample.add(number, row)
    evidence = learned_evidence(sample.blocks())
    assert evidence is not None
    aligner = Aligner(evidence)
    for row in rows:
        aligner.add(row)
    return aligner.finish()[0]


def test_text_that_fits_has_no_shift(pairs: Pairs) -> None:
    assert runs_of(*sides(pairs)) == []


@pytest.mark.parametrize("place", [0, 1, 40, 800, 1450])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("side", [0, 1])
def test_a_lost_line_is_found_where_it_was(pairs: Pairs, place: int, count: int, side: int) -> None:
    both = sides(pairs)
    del both[side][place : place + count]
    [run] = runs_of(*both)
    # Lines that lost their translation belong to neither side of the place.
    assert place - 1 <= run.start <= place + (count if side == 1 else 1)
    assert run.shift == (count if side == 0 else -count)
    assert run.stop >= len(pairs) - 2 * count  # the last of them face nothing


@pytest.mark.parametrize("length", [12, 30, 300])
def test_a_run_between_two_losses_is_found_from_end_to_end(pairs: Pairs, length: int) -> None:
    src, tgt = sides(pairs)
    del tgt[500], src[500 + length]
    [run] = runs_of(src, tgt)
    assert abs(run.start - 500) <= 1
    assert abs(run.stop - (500 + length)) <= 1
    assert "1 line lost in the target" in run.describe()


def test_shifts_in_both_directions(pairs: Pairs) -> None:
    src, tgt = sides(pairs)
    del tgt[300], src[700], src[1100]
    assert [(run.start, run.shift) for run in runs_of(src, tgt)] == [
        (pytest.approx(300, abs=1), -1),
        (pytest.approx(1099, abs=2), 1),
    ]


def test_blank_lines_and_neighbours_that_resemble_each_other_are_no_shift(pairs: Pairs) -> None:
    rng = random.Random(5)
    sorted_pairs = sorted(pairs)
    repeated = [pair for pair in sorted_pairs for _ in range(rng.choice([1, 1, 3]))]
    holes = [(src if rng.random() > 0.1 else "", tgt if rng.random() > 0.1 else " ") for src, tgt in repeated]
    assert runs_of(*sides(holes)) == []


def test_sides_that_have_nothing_in_common(pairs: Pairs) -> None:
    src, tgt = sides(pairs)
    random.Random(1).shuffle(tgt)
    rows = [(number, alignable(*pair)) for number, pair in enumerate(zip(src, tgt, strict=True))]
    sample = Sample()
    for row in rows:
        sample.add(*row)
    strength = strength_of_alignment(sample.blocks())
    assert strength is not None
    assert strength < WEAK
    shifted, unrelated = misalignment(rows, learned_evidence(sample.blocks()), strength=strength, starts=[0])
    assert (shifted.tally.count, unrelated.tally.count) == (0, len(pairs))


def test_single_pairs_that_do_not_belong_together_are_counted(pairs: Pairs) -> None:
    changed = list(pairs)
    wrong = list(range(100, 1400, 100))
    for place in wrong:
        changed[place] = (pairs[place][0], pairs[place + 50][1])
    rows = [(number, alignable(*pair)) for number, pair in enumerate(changed)]
    sample = Sample()
    for row in rows:
        sample.add(*row)
    strength = strength_of_alignment(sample.blocks())
    assert strength is not None
    assert strength > 2 * WEAK
    shifted, unrelated = misalignment(rows, learned_evidence(sample.blocks()), strength=strength, starts=[0])
    assert shifted.tally.count == 0
    assert set(unrelated.tally.rows) <= set(wrong)
    assert unrelated.tally.count >= 0.6 * len(wrong)
    assert UNRELATED < 0


def test_more_lost_lines_than_can_be_followed_are_unrelated_from_there_on(pairs: Pairs) -> None:
    src, tgt = sides(pairs)
    del tgt[900:910]
    rows = [(number, alignable(*pair)) for number, pair in enumerate(zip(src, tgt, strict=False))]
    sample = Sample()
    for row in rows:
        sample.add(*row)
    strength = strength_of_alignment(sample.blocks())
    shifted, unrelated = misalignment(rows, learned_evidence(sample.blocks()), strength=strength, starts=[0])
    assert shifted.tally.count == 0
    assert unrelated.tally.count == pytest.approx(590, abs=15)
    assert unrelated.tally.rows[0] == pytest.approx(900, abs=3)
    assert unrelated.tally.notes[0].startswith("from here the lines do not belong together, for 5")


def test_sources_are_aligned_each_for_itself(pairs: Pairs) -> None:
    src, tgt = sides(pairs[:700])
    del tgt[200]
    first = list(zip(src, tgt, strict=False))
    rows = [(number, alignable(*pair)) for number, pair in enumerate([*first, *pairs[700:]])]
    sample = Sample()
    for row in rows:
        sample.add(*row)
    shifted, _ = misalignment(rows, learned_evidence(sample.blocks()), strength=5.0, starts=[0, len(first)])
    assert shifted.tally.rows == [pytest.approx(200, abs=1)]
    assert shifted.tally.count == pytest.approx(len(first) - 200, abs=2)


def test_too_little_text_is_not_judged(pairs: Pairs) -> None:
    sample = Sample()
    for row, pair in enumerate(pairs[:20]):
        sample.add(row, alignable(*pair))
    assert learned_evidence(sample.blocks()) is None
    shifted, unrelated = misalignment([], None, strength=None, starts=[0])
    assert (shifted.total, unrelated.total) == (0, 0)
    assert "too little" in shifted.detail


def test_a_long_text_is_sampled_evenly() -> None:
    from mt_trainer.data.checking.lexicon import BLOCK_ROWS, MAX_BLOCKS

    sample = Sample()
    for row in range(3 * MAX_BLOCKS * BLOCK_ROWS):
        sample.add(row, None)
    blocks = sample.blocks()
    assert MAX_BLOCKS // 4 < len(blocks) <= MAX_BLOCKS
    assert {len(block) for block in blocks} == {BLOCK_ROWS}
