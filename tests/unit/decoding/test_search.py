"""Greedy search, beam search and sampling over a small Markov chain, against enumeration and hand-worked numbers."""

import itertools
import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from mt_trainer.decoding.search import Hypothesis, beam_search, greedy_search, penalty_at, sample

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL = {"bos_id": BOS, "eos_id": EOS, "forbidden_ids": (PAD, BOS)}


class Chain:
    """A step function: the next token's logits depend on all tokens so far, through what is cached in `prefixes`.

    Each sentence has a table [V, V] of logits by last token; a hash of the whole prefix perturbs them, so that a
    wrong reorder or keep shows.
    """

    def __init__(self, tables: Tensor, width: int, disturbance: float = 0.5) -> None:
        self.tables, self.disturbance = tables, disturbance
        self.prefixes: list[list[list[int]]] = [[[] for _ in range(width)] for _ in tables]
        self.batch_sizes: list[int] = []

    def __call__(self, tokens: Tensor) -> Tensor:
        assert tokens.shape == (len(self.prefixes), len(self.prefixes[0]))
        self.batch_sizes.append(len(tokens))
        for row, new_tokens in zip(self.prefixes, tokens.tolist(), strict=True):
            for prefix, token in zip(row, new_tokens, strict=True):
                prefix.append(token)
        return torch.stack(
            [
                torch.stack([prefix_logits(table, prefix, self.disturbance) for prefix in row])
                for table, row in zip(self.tables, self.prefixes, strict=True)
            ]
        )

    def reorder(self, beams: Tensor) -> None:
        self.prefixes = [
            [list(row[beam]) for beam in order] for row, order in zip(self.prefixes, beams.tolist(), strict=True)
        ]

    def keep(self, sentences: Tensor) -> None:
        self.tables = self.tables[sentences]
        self.prefixes = [self.prefixes[sentence] for sentence in sentences.tolist()]


def prefix_logits(table: Tensor, prefix: list[int], disturbance: float) -> Tensor:
    """Logits [V] after a prefix that starts with BOS."""
    code = sum((i + 1) * (token + 3) for i, token in enumerate(prefix))
    vocabulary = torch.arange(table.shape[1])
    return table[prefix[-1]] + disturbance * torch.sin(code * (vocabulary + 1.7))


def log_prob_of(table: Tensor, tokens: list[int], disturbance: float) -> float:
    """log p(tokens, EOS), by definition."""
    total, prefix = 0.0, [BOS]
    for token in [*tokens, EOS]:
        total += prefix_logits(table, prefix, disturbance).log_softmax(-1)[token].item()
        prefix.append(token)
    return total


def penalised(log_prob: float, length: int, alpha: float) -> float:
    return log_prob / ((5 + length) / 6) ** alpha


def random_tables(num_sentences: int, vocab_size: int, seed: int, eos_bonus: float = 0.0) -> Tensor:
    tables = torch.randn(num_sentences, vocab_size, vocab_size, generator=torch.Generator().manual_seed(seed)) * 2
    tables[..., EOS] += eos_bonus
    return tables


def beam(tables: Tensor, max_lengths: list[int], width: int, alpha: float, n_best: int) -> list[list[Hypothesis]]:
    return beam_search(
        Chain(tables, 1),
        **SPECIAL,
        max_lengths=torch.tensor(max_lengths),
        beam_size=width,
        length_penalty=alpha,
        n_best=n_best,
    )


def greedy(tables: Tensor, max_lengths: list[int], alpha: float) -> list[list[Hypothesis]]:
    return greedy_search(Chain(tables, 1), **SPECIAL, max_lengths=torch.tensor(max_lengths), length_penalty=alpha)


def test_length_penalty_is_that_of_wu_et_al() -> None:
    # ((5 + 1) / 6)^a = 1; (12/6)^1 = 2; (12/6)^0.5 = sqrt 2; exponent 0: none
    lengths = torch.tensor([1, 7])
    assert penalty_at(lengths, 1.0).tolist() == [1.0, 2.0]
    assert penalty_at(lengths, 0.5).tolist() == pytest.approx([1.0, math.sqrt(2)])
    assert penalty_at(lengths, 0.0).tolist() == [1.0, 1.0]


def test_beam_search_by_hand() -> None:
    """Two tokens a, b and EOS; the best first token is a trap.

    p(a) = 0.6, p(b) = 0.4; after a: EOS 0.3, a 0.35, b 0.35; after b: EOS 1. Greedy takes a, then (a, a), ...;
    b EOS has probability 0.4 > any continuation of a: 0.6 * 0.35 at most.
    """
    a, b = 4, 5
    probabilities = torch.full((6, 6), 1e-12)
    probabilities[BOS, [a, b]] = torch.tensor([0.6, 0.4])
    probabilities[a, [EOS, a, b]] = torch.tensor([0.3, 0.35, 0.35])
    probabilities[b, EOS] = 1.0
    step = Chain(probabilities.log()[None], 1, disturbance=0.0)
    [[best, second]] = beam_search(
        step, **SPECIAL, max_lengths=torch.tensor([5]), beam_size=2, length_penalty=0.0, n_best=2
    )
    assert best.tokens == [b]
    assert best.score == pytest.approx(math.log(0.4), abs=1e-5)
    assert second.tokens == [a, b]  # 0.6 * 0.35 * 1, against 0.6 * 0.3 for (a)
    assert second.score == pytest.approx(math.log(0.21), abs=1e-5)
    [[penalised_best]] = beam_search(
        Chain(probabilities.log()[None], 1, disturbance=0.0),
        **SPECIAL,
        max_lengths=torch.tensor([5]),
        beam_size=2,
        length_penalty=1.0,
        n_best=1,
    )
    assert penalised_best.score == pytest.approx(math.log(0.4) / (7 / 6), abs=1e-5)  # length 2 with EOS
    assert penalised_best.log_prob == pytest.approx(math.log(0.4), abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_beam_wider_than_the_space_finds_the_best_of_all(alpha: float, seed: int) -> None:
    # Live tokens: unk, 4, 5 (pad and BOS forbidden, EOS ends). Up to 4 tokens with EOS: 1 + 3 + 9 + 27 = 40 outputs.
    # Never more than 27 live hypotheses, so with a beam of 41 nothing is pruned and never 41 finish.
    tables = random_tables(2, 6, seed)
    found = beam(tables, [4, 3], width=41, alpha=alpha, n_best=41)
    for table, longest, hypotheses in zip(tables, [4, 3], found, strict=True):
        outputs = [list(p) for n in range(longest) for p in itertools.product([UNK, 4, 5], repeat=n)]
        scored = sorted(((penalised(log_prob_of(table, o, 0.5), len(o) + 1, alpha), o) for o in outputs), reverse=True)
        assert [h.tokens for h in hypotheses] == [o for _, o in scored]
        assert [h.score for h in hypotheses] == pytest.approx([s for s, _ in scored], abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_stopping_early_does_not_change_the_best(alpha: float) -> None:
    # n_best = beam_size stops by count or at the longest length only; n_best = 1 may stop before, by the bound.
    tables = random_tables(40, 8, seed=3, eos_bonus=1.0)
    lengths = [12] * 40
    patient, eager = beam(tables, lengths, 4, alpha, 4), beam(tables, lengths, 4, alpha, 1)
    assert [p[0].tokens for p in patient] == [e[0].tokens for e in eager]
    assert all(len(e) == 1 for e in eager)


def test_the_bound_is_that_of_the_longest_output() -> None:
    """Ending at once has probability 0.5, going on 0.4, and then all six further tokens are certain.

    With exponent 2: log 0.5 / 1 = -0.69 for length 1, log 0.4 / (13/6)^2 = -0.195 for length 8. When the short one has
    ended, the long one, at length 1, still has the score -0.92. A third, 4 6 7 8 9 10 with probability 1e-12, ends one
    step before the long one: then two have finished, but the long one is ahead of both.
    """
    probabilities = torch.full((11, 11), 1e-12)
    probabilities[BOS, [EOS, 4]] = torch.tensor([0.5, 0.4])
    probabilities[range(4, 10), range(5, 11)] = 1.0
    probabilities[range(4, 10), EOS] = 1e-20
    probabilities[10, EOS] = 1.0
    [[best]] = beam_search(
        Chain(probabilities.log()[None], 1, disturbance=0.0),
        **SPECIAL,
        max_lengths=torch.tensor([8]),
        beam_size=2,
        length_penalty=2.0,
        n_best=1,
    )
    assert best.tokens == [4, 5, 6, 7, 8, 9, 10]
    assert best.score == pytest.approx(math.log(0.4 / 0.9) / (13 / 6) ** 2, abs=1e-5)


def test_the_bound_saves_steps() -> None:
    tables = random_tables(1, 8, seed=0)
    tables[..., EOS] += 8.0  # ending at once is nearly certain
    patient, eager = Chain(tables, 1), Chain(tables, 1)
    for step, n_best in ((patient, 4), (eager, 1)):
        beam_search(step, **SPECIAL, max_lengths=torch.tensor([30]), beam_size=4, length_penalty=0.6, n_best=n_best)
    assert len(eager.batch_sizes) < len(patient.batch_sizes)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0])
def test_beam_size_one_is_greedy_search(alpha: float) -> None:
    tables = random_tables(30, 9, seed=1)
    lengths = [1 + i % 9 for i in range(30)]
    by_beam, by_greedy = beam(tables, lengths, 1, alpha, 1), greedy(tables, lengths, alpha)
    assert [h.tokens for [h] in by_beam] == [h.tokens for [h] in by_greedy]
    assert [h.score for [h] in by_beam] == pytest.approx([h.score for [h] in by_greedy], abs=1e-5)


@pytest.mark.parametrize("width", [2, 5])
def test_a_batch_gives_what_single_sentences_give(width: int) -> None:
    tables = random_tables(20, 9, seed=2, eos_bonus=0.5)
    lengths = [1 + (7 * i) % 11 for i in range(20)]
    together = beam(tables, lengths, width, 0.6, width)
    for i in range(20):
        [alone] = beam(tables[i : i + 1], lengths[i : i + 1], width, 0.6, width)
        assert [h.tokens for h in together[i]] == [h.tokens for h in alone]


@pytest.mark.parametrize("width", [1, 3])
def test_scores_are_those_of_forced_scoring(width: int) -> None:
    tables = random_tables(10, 9, seed=4)
    lengths = [2 + i % 5 for i in range(10)]  # several outputs are cut short
    for table, longest, hypotheses in zip(tables, lengths, beam(tables, lengths, width, 0.6, width), strict=True):
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for h in hypotheses:
            log_prob = log_prob_of(table, h.tokens, 0.5)
            assert h.log_prob == pytest.approx(log_prob, abs=1e-4)
            assert h.score == pytest.approx(penalised(log_prob, len(h.tokens) + 1, 0.6), abs=1e-4)
            assert len(h.tokens) < longest


def test_finished_sentences_leave_the_batch() -> None:
    tables = random_tables(16, 9, seed=5)
    step = Chain(tables, 1)
    lengths = torch.tensor([2] * 8 + [9] * 8)
    beam_search(step, **SPECIAL, max_lengths=lengths, beam_size=3, length_penalty=0.6, n_best=3)
    assert step.batch_sizes[0] == 16
    assert step.batch_sizes[2] <= 8
    step = Chain(tables, 1)
    greedy_search(step, **SPECIAL, max_lengths=lengths, length_penalty=0.6)
    assert step.batch_sizes[2] <= 8


def test_forbidden_tokens_are_never_generated_but_keep_their_mass() -> None:
    tables = random_tables(4, 7, seed=6)
    tables[..., PAD] += 20.0  # the model wants padding
    tables[..., BOS] += 10.0
    results = [beam(tables, [6] * 4, 3, 0.0, 3), greedy(tables, [6] * 4, 0.0), draw(tables, [6] * 4, num_samples=2)]
    for hypotheses in itertools.chain.from_iterable(results):
        assert hypotheses
        for h in hypotheses:
            assert not {PAD, BOS, EOS} & set(h.tokens)
            assert h.log_prob < -10 * (len(h.tokens) + 1)  # by the model's own normalisation


def draw(
    tables: Tensor,
    max_lengths: list[int],
    *,
    num_samples: int,
    temperature: float = 1.0,
    seed: int = 1,
    sentence_ids: list[int] | None = None,
    disturbance: float = 0.5,
) -> list[list[Hypothesis]]:
    return sample(
        Chain(tables, num_samples, disturbance),
        **SPECIAL,
        max_lengths=torch.tensor(max_lengths),
        length_penalty=0.0,
        num_samples=num_samples,
        temperature=temperature,
        seed=seed,
        sentence_ids=sentence_ids or list(range(len(tables))),
    )


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, [0.5, 0.3, 0.2]), (0.5, [25 / 38, 9 / 38, 4 / 38])])
def test_sampling_frequencies(temperature: float, expected: list[float]) -> None:
    # One token, then EOS by force. At temperature 0.5 probabilities are squared: 0.25, 0.09, 0.04 of 0.38.
    table = torch.full((7, 7), -math.inf)
    table[:, [4, 5, 6]] = torch.tensor([0.5, 0.3, 0.2]).log()
    table[:, EOS] = -30.0
    [hypotheses] = draw(table[None], [2], num_samples=4000, temperature=temperature, disturbance=0.0)
    counts = Counter(h.tokens[0] for h in hypotheses)
    for token, probability in zip([4, 5, 6], expected, strict=True):
        deviation = math.sqrt(probability * (1 - probability) / 4000)
        assert abs(counts[token] / 4000 - probability) < 5 * deviation
    assert hypotheses[0].log_prob == pytest.approx(
        math.log({4: 0.5, 5: 0.3, 6: 0.2}[hypotheses[0].tokens[0]]) - 30.0, abs=1e-3
    )


def test_samples_depend_on_seed_and_sentence_alone() -> None:
    tables = random_tables(12, 9, seed=7, eos_bonus=-3.0)
    lengths = [3 + i % 6 for i in range(12)]
    together = draw(tables, lengths, num_samples=2)
    assert together == draw(tables, lengths, num_samples=2)
    assert together != draw(tables, lengths, num_samples=2, seed=2)
    for i in range(12):
        [alone] = draw(tables[i : i + 1], lengths[i : i + 1], num_samples=1, sentence_ids=[i])
        assert alone[0].tokens == together[i][0].tokens
    assert any(first.tokens != second.tokens for first, second in together)


def test_a_vocabulary_smaller_than_the_beam() -> None:
    # V = 5: unk and 4 go on, EOS ends. With one token at most (then EOS): [], [1], [4] are all there is.
    [hypotheses] = beam(random_tables(1, 5, seed=8), [2], width=6, alpha=0.0, n_best=6)
    assert sorted(h.tokens for h in hypotheses) == [[], [UNK], [4]]
    assert sum(math.exp(h.log_prob) for h in hypotheses) < 1
