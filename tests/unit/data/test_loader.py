"""From rows to tensors, and the position in the data."""

from itertools import islice

import numpy as np
import pytest
import torch

from mt_trainer.data.lengths import LengthSums
from mt_trainer.data.loader import Batch, Loader, PairList, Position, collate, pad_pairs
from mt_trainer.teacher_forcing import of_targets

PAD, BOS, EOS = 0, 2, 3
SPECIAL = {"pad_id": PAD, "bos_id": BOS, "eos_id": EOS}
PAIRS = [([11, 12], [21]), ([13], [22, 23]), ([], [24])]


def test_a_packed_row_by_hand() -> None:
    batch = collate(PairList(PAIRS), [[0, 1], [2]], row_length=6, **SPECIAL)
    assert batch.src_tokens.tolist() == [[11, 12, EOS, 13, EOS, PAD], [EOS, PAD, PAD, PAD, PAD, PAD]]
    assert batch.src_segments.tolist() == [[1, 1, 1, 2, 2, 0], [1, 0, 0, 0, 0, 0]]
    assert batch.tgt_inputs.tolist() == [[BOS, 21, BOS, 22, 23, PAD], [BOS, 24, PAD, PAD, PAD, PAD]]
    assert batch.tgt_labels.tolist() == [[21, EOS, 22, 23, EOS, PAD], [24, EOS, PAD, PAD, PAD, PAD]]
    assert batch.tgt_segments.tolist() == [[1, 1, 2, 2, 2, 0], [1, 1, 0, 0, 0, 0]]
    assert (batch.num_tokens, batch.num_pairs, batch.longest_tgt) == (7, 3, 3)
    assert batch.lengths == LengthSums(src=6, tgt=7, src_src=9 + 4 + 1, tgt_tgt=4 + 9 + 4, tgt_src=6 + 6 + 2)
    assert batch.src_tokens.dtype == torch.int64
    assert batch.tgt_places.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert of_targets(batch.tgt_labels, batch).tolist() == [21, EOS, 22, 23, EOS, 24, EOS]
    assert of_targets(torch.arange(24).view(2, 6, 2), batch).tolist()[-1] == [14, 15]


def test_the_last_step_of_an_epoch_is_filled_up_where_that_is_asked_for() -> None:
    plain, filled = loader(accumulation=2), loader(accumulation=2)
    filled.is_filled_up = True
    shapes = set()
    for ours, theirs in zip(islice(filled.steps(Position()), 20), plain.steps(Position()), strict=False):
        assert (ours.after, ours.num_tokens) == (theirs.after, theirs.num_tokens)
        assert [row for batch in ours.micro_batches for row in batch.rows if row] == [
            row for batch in theirs.micro_batches for row in batch.rows
        ]
        shapes.add(tuple(batch.src_tokens.shape for batch in ours.micro_batches))
    assert len(shapes) == 1
    assert len({len(step.micro_batches[0].rows) for step in islice(plain.steps(Position()), 20)}) > 1


def test_a_batch_without_pairs_has_no_target_tokens() -> None:
    batch = collate(PairList(PAIRS), [[], []], row_length=6, **SPECIAL)
    assert (batch.num_tokens, batch.longest_tgt) == (0, 0)
    assert of_targets(batch.tgt_labels, batch).shape == (0,)


def test_to_a_device_keeps_everything() -> None:
    batch = collate(PairList(PAIRS), [[0, 1], [2]], row_length=6, **SPECIAL)
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.tgt_labels, batch.tgt_labels)
    assert (moved.num_tokens, moved.num_pairs) == (7, 3)


def corpus(num_pairs: int = 30) -> PairList:
    """Pair i has the ids 100 + i, so that it can be recognised, in lengths from 1 to 4."""
    return PairList([([100 + i] * (i % 4 + 1), [100 + i] * ((i * 7) % 4 + 1)) for i in range(num_pairs)])


def loader(
    *, accumulation: int = 1, seed: int = 5, rows_per_step: int = 3, rank: int = 0, world_size: int = 1
) -> Loader:
    sizes = {"row_length": 8, "rows_per_step": rows_per_step, "accumulation": accumulation}
    return Loader(corpus(), seed=seed, sampler=None, rank=rank, world_size=world_size, **sizes, **SPECIAL)


def pairs_in(batches: tuple[Batch, ...]) -> list[int]:
    """The pairs of a step by their place in the corpus, in order."""
    ids = [set(row[row >= 100].tolist()) for batch in batches for row in batch.src_tokens]
    return [i - 100 for row in ids for i in sorted(row)]


def test_positions_count_pairs_and_turn_over_at_the_end_of_an_epoch() -> None:
    steps = list(islice(loader().steps(Position()), 12))
    per_epoch = next(i for i, step in enumerate(steps) if step.after.epoch == 1) + 1
    sizes = [len(pairs_in(step.micro_batches)) for step in steps]
    assert [step.after for step in steps[:per_epoch]] == [
        *(Position(0, sum(sizes[:done])) for done in range(1, per_epoch)),
        Position(1, 0),
    ]
    assert steps[per_epoch].after == Position(1, sizes[per_epoch])
    seen = [pair for step in steps[:per_epoch] for pair in pairs_in(step.micro_batches)]
    assert sorted(seen) == list(range(30))


def test_from_any_position_the_same_steps_follow() -> None:
    steps = list(islice(loader().steps(Position()), 12))
    for done in range(11):
        following = next(loader().steps(steps[done].after))
        expected = steps[done + 1]
        assert following.after == expected.after
        for ours, theirs in zip(following.micro_batches, expected.micro_batches, strict=True):
            assert torch.equal(ours.src_tokens, theirs.src_tokens)
            assert torch.equal(ours.tgt_labels, theirs.tgt_labels)


def test_a_position_inside_a_step_is_refused() -> None:
    first = next(loader().steps(Position())).after.pairs
    with pytest.raises(ValueError, match=f"no step begins after {first + 1} pairs of epoch 0: one ends after {first}"):
        next(loader().steps(Position(0, first + 1)))


@pytest.mark.parametrize("accumulation", [1, 2, 3])
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_deal_out_the_micro_batches_of_one_process(world_size: int, accumulation: int) -> None:
    """Micro-batch i of the step goes to rank i modulo the world size; one that lacks has one row without tokens."""
    sizes = {"rows_per_step": 12}
    alone = islice(loader(accumulation=accumulation * world_size, **sizes).steps(Position()), 5)
    shared = [
        loader(accumulation=accumulation, rank=rank, world_size=world_size, **sizes).steps(Position())
        for rank in range(world_size)
    ]
    for whole, *parts in zip(alone, *shared, strict=False):
        assert len({len(part.micro_batches) for part in parts}) == 1
        found = {i: batch for part in parts for i, batch in zip(part.indexes, part.micro_batches, strict=True)}
        assert sorted(found) == list(range(world_size * len(parts[0].micro_batches)))
        for index, batch in found.items():
            if index < len(whole.micro_batches):
                assert torch.equal(batch.src_tokens, whole.micro_batches[index].src_tokens)
                assert torch.equal(batch.tgt_labels, whole.micro_batches[index].tgt_labels)
            else:
                assert (len(batch.src_tokens), batch.num_tokens, batch.num_pairs) == (1, 0, 0)
        for part in parts:
            assert (part.after, part.num_tokens, part.lengths) == (whole.after, whole.num_tokens, whole.lengths)


def test_a_rank_without_rows_has_one_without_tokens() -> None:
    step = next(loader(rows_per_step=3, rank=3, world_size=4).steps(Position()))
    (batch,) = step.micro_batches
    assert (tuple(batch.src_tokens.shape), batch.num_tokens, list(step.indexes)) == ((1, 8), 0, [3])
    assert step.num_tokens == next(loader(rows_per_step=3).steps(Position())).num_tokens


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first = pairs_in(next(loader().steps(Position(0))).micro_batches)
    assert first == pairs_in(next(loader().steps(Position(0))).micro_batches)
    assert first != pairs_in(next(loader().steps(Position(1))).micro_batches)
    assert first != pairs_in(next(loader(seed=6).steps(Position(0))).micro_batches)


@pytest.mark.parametrize(("accumulation", "sizes"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (5, [1] * 5)])
def test_a_step_is_dealt_out_in_order(accumulation: int, sizes: list[int]) -> None:
    whole = next(loader(rows_per_step=5).steps(Position()))
    step = next(loader(rows_per_step=5, accumulation=accumulation).steps(Position()))
    assert [len(batch.src_tokens) for batch in step.micro_batches] == sizes
    together = torch.cat([batch.tgt_labels for batch in step.micro_batches])
    assert torch.equal(together, whole.micro_batches[0].tgt_labels)
    assert step.num_tokens == whole.num_tokens == int((together != PAD).sum())


def test_evaluation_pairs_are_sorted_and_no_row_is_wider_than_its_batch_needs() -> None:
    pairs = [([7] * 5, [7]), ([7], [7, 7]), ([7], [7] * 9), ([], [])]
    batches = pad_pairs(pairs, batch_tokens=12, **SPECIAL)
    # With the end mark the longer sides have 6, 3, 10 and 1 tokens: 1 and 3 share a batch (2 * 3 <= 12), 6 stands
    # alone (3 * 6 > 12), and so does 10.
    assert [tuple(batch.src_tokens.shape) for batch in batches] == [(2, 3), (1, 6), (1, 10)]
    assert [batch.num_tokens for batch in batches] == [1 + 3, 2, 10]
    assert sum(batch.num_pairs for batch in batches) == 4


def test_an_evaluation_pair_longer_than_the_budget_stands_alone() -> None:
    batches = pad_pairs([([7] * 50, [7] * 50), ([7], [7])], batch_tokens=8, **SPECIAL)
    assert [tuple(batch.src_tokens.shape) for batch in batches] == [(1, 2), (1, 51)]


def test_pair_list_reads_like_a_corpus() -> None:
    pairs = PairList(PAIRS)
    assert (pairs.src(1), pairs.tgt(1)) == ([13], [22, 23])
    assert (pairs.src_lengths.tolist(), pairs.tgt_lengths.tolist()) == ([2, 1, 0], [1, 2, 1])
    assert pairs.src_lengths.dtype == np.int32
