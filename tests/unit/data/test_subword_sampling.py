"""Subword sampling changes the pieces and nothing else; how often each segmentation comes is worked by hand."""

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest

from mt_trainer.data.corpus import Pairs
from mt_trainer.data.loader import Loader, Position
from mt_trainer.data.prepare import PreparedData
from mt_trainer.data.subword_sampling import SideWords, SubwordSampler, side_words
from mt_trainer.tokenizer import Tokenizer


def sampler(prepared: PreparedData, **changes: Any) -> SubwordSampler:
    settings = {"alpha": 0.2, "num_best": 4, "max_length": 128, "seed": 7} | changes
    return SubwordSampler(prepared.train, prepared.tokenizers, **settings)


def ids(pairs: Pairs, count: int) -> list[tuple[list[int], list[int]]]:
    return [(list(pairs.src(i)), list(pairs.tgt(i))) for i in range(count)]


@pytest.fixture
def prepared(project: Any) -> PreparedData:
    result: PreparedData = project.prepare()
    return result


def test_the_text_stays_and_the_pieces_change(prepared: PreparedData, project: Any) -> None:
    count = prepared.train.num_pairs
    drawn = sampler(prepared).draw(0)
    texts = [
        tuple(
            tokenizer.decode(side)
            for tokenizer, side in ((prepared.tokenizers.src, src), (prepared.tokenizers.tgt, tgt))
        )
        for src, tgt in [([src], [tgt]) for src, tgt in ids(drawn, count)]
    ]
    assert [(src[0], tgt[0]) for src, tgt in texts] == project.decoded(prepared)
    changed = sum(a != b for a, b in zip(ids(drawn, count), ids(prepared.train, count), strict=True))
    assert changed > count / 2
    assert drawn.src_lengths.tolist() == [len(src) for src, _ in ids(drawn, count)]
    assert drawn.tgt_lengths.tolist() == [len(tgt) for _, tgt in ids(drawn, count)]


def test_a_large_alpha_gives_the_corpus(prepared: PreparedData) -> None:
    count = prepared.train.num_pairs
    assert ids(sampler(prepared, alpha=100.0).draw(0), count) == ids(prepared.train, count)


def test_an_epoch_is_a_function_of_seed_and_number(prepared: PreparedData) -> None:
    count = prepared.train.num_pairs
    first = ids(sampler(prepared).draw(3), count)
    assert ids(sampler(prepared).draw(3), count) == first
    assert ids(sampler(prepared).draw(4), count) != first
    assert ids(sampler(prepared, seed=8).draw(3), count) != first


def test_a_pair_that_would_be_too_long_keeps_its_best_segmentation(prepared: PreparedData) -> None:
    count = prepared.train.num_pairs
    limit = int(max(prepared.train.src_lengths.max(), prepared.train.tgt_lengths.max())) + 1
    drawn = sampler(prepared, alpha=0.0, max_length=limit).draw(0)
    unbounded = sampler(prepared, alpha=0.0).draw(0)
    too_long = np.maximum(unbounded.src_lengths, unbounded.tgt_lengths) + 1 > limit
    assert 0 < too_long.sum() < count
    assert max(drawn.src_lengths.max(), drawn.tgt_lengths.max()) + 1 <= limit
    for i in range(count):
        expected = prepared.train if too_long[i] else unbounded
        assert (list(drawn.src(i)), list(drawn.tgt(i))) == (list(expected.src(i)), list(expected.tgt(i)))


class Alphabet:
    """Words are cut into `ab` + `c`, `a` + `bc` or `a` + `b` + `c`, with probabilities 0.6, 0.3 and 0.1."""

    vocab_size = 7

    def starts_word(self, index: int) -> bool:
        return index in (1, 2)

    def decode(self, sequences: list[list[int]]) -> list[str]:
        return ["abc" if sequence == [1, 3] else "other" for sequence in sequences]

    def segmentations(self, text: str, number: int) -> list[tuple[list[int], float]]:
        if text == "other":
            return [([1, 6], -1.0)]
        return [([1, 3], np.log(0.6)), ([2, 5], np.log(0.3)), ([2, 4, 3], np.log(0.1))][:number]


def words(alpha: float, num_best: int = 3, tokens: tuple[int, ...] = (1, 3, 1, 3, 2)) -> SideWords:
    """Two pairs: `abc abc` and a word that the tokenizer itself would cut in another way."""
    side = (np.array(tokens, dtype=np.uint16), np.array([0, 4, 5], dtype=np.int64))
    return side_words(side, Alphabet(), alpha=alpha, num_best=num_best)  # type: ignore[arg-type]


def test_words_and_probabilities_by_hand() -> None:
    side = words(alpha=1.0)
    assert side.words.tolist() == [0, 0, 1]
    assert side.offsets.tolist() == [0, 2, 3]
    np.testing.assert_allclose(side.cumulative, [[0.6, 0.9, 1.0], [1.0, 1.0, 1.0]])
    roots = np.sqrt([0.6, 0.3, 0.1])
    np.testing.assert_allclose(words(alpha=0.5).cumulative[0], np.append(np.cumsum(roots)[:2] / roots.sum(), 1.0))
    np.testing.assert_allclose(words(alpha=0.0, num_best=2).cumulative[0], [0.5, 1.0])


def test_pieces_by_hand() -> None:
    side = words(alpha=1.0)
    pieces, offsets = side.pieces_of(np.array([1, 2, 0]))
    assert pieces.tolist() == [2, 5, 2, 4, 3, 2]
    assert offsets.tolist() == [0, 5, 6]
    assert side.lengths(np.array([1, 2, 0])).tolist() == [5, 1]
    assert side.with_best(np.array([1, 2, 0]), np.array([True, False])).tolist() == [0, 0, 0]


def test_segmentations_come_as_often_as_they_should() -> None:
    side = words(alpha=1.0, tokens=(1, 3, 1, 3, 2))
    random = np.random.default_rng(0)
    counts = Counter(int(side.draw(random)[0]) for _ in range(20_000))
    for number, probability in enumerate((0.6, 0.3, 0.1)):
        error = (probability * (1 - probability) / 20_000) ** 0.5
        assert abs(counts[number] / 20_000 - probability) < 4 * error


def test_an_empty_side_is_drawn_too() -> None:
    side = (np.zeros(0, dtype=np.uint16), np.zeros(3, dtype=np.int64))
    empty = side_words(side, Alphabet(), alpha=1.0, num_best=2)  # type: ignore[arg-type]
    pieces, offsets = empty.pieces_of(empty.draw(np.random.default_rng(0)))
    assert (pieces.tolist(), offsets.tolist()) == ([], [0, 0, 0])


def test_steps_go_on_with_the_same_pieces_from_any_position(prepared: PreparedData) -> None:
    tokenizer: Tokenizer = prepared.tokenizers.tgt

    def steps(start: Position) -> list[Any]:
        special = {"pad_id": tokenizer.pad_id, "bos_id": tokenizer.bos_id, "eos_id": tokenizer.eos_id}
        loader = Loader(
            prepared.train,
            row_length=128,
            rows_per_step=16,
            accumulation=1,
            seed=1,
            sampler=sampler(prepared),
            **special,
        )
        return list(islice(loader.steps(start), 12))

    whole = steps(Position())
    for step, again in zip(whole[5:], steps(whole[4].after), strict=False):
        assert again.micro_batches[0].tgt_labels.tolist() == step.micro_batches[0].tgt_labels.tolist()
        assert again.after == step.after
    assert whole[-1].after.epoch > 0


def test_a_tokenizer_without_probabilities_is_refused(project: Any) -> None:
    bpe = project.prepare(tokenizer={"algorithm": "bpe"}).tokenizers
    bpe.save(project.folder)
    given = {"model_file": str(project.folder / "tokenizer.model"), "vocab_size": 8000}
    problems = project.problems(data={"subword_alpha": 0.3}, tokenizer=given)
    assert [problem.code for problem in problems] == ["MT084"]
