"""Greedy search, beam search and ancestral sampling over a step function. Imports no model.

B sentences, B' those not yet done, W beam_size or samples a sentence, V vocabulary, T longest output.

What holds for all three:

* A hypothesis always ends with EOS. Its length is its number of generated tokens, EOS included, and is at most the
  sentence's own entry of `max_lengths`; in the last place only EOS is allowed. So forced scoring of a translation
  gives its log-probability again, also where the output was cut short.
* Log-probabilities are the model's own, normalised over the whole vocabulary: forbidden tokens (padding, BOS) are
  never chosen, but keep the mass the model gives them.
* Sentences that are done are dropped from the batch, so that the later steps cost less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mt_trainer.decoding.top_k import top_k

COMPACT_SHARE = 1 / 8
"""Done sentences are dropped once they are this share of the batch: dropping copies the whole cache."""


class StepFunction(Protocol):
    """A decoder with its state: beam w of sentence b is row [b, w] of all it is given and gives back."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Append tokens, int64 [B', W], and return the logits of what follows, [B', W, V]."""

    def reorder(self, beams: Tensor) -> None:
        """From now on there are as many beams as are given, and beam w of sentence b continues beams[b, w] of before.

        Args:
            beams: int64 [B', W].
        """

    def keep(self, sentences: Tensor) -> None:
        """Forget all sentences but these positions of the present batch, ascending; int64."""


@dataclass(frozen=True)
class Hypothesis:
    """One output of a search.

    Attributes:
        tokens: generated ids, without BOS and EOS.
        score: log_prob divided by the length penalty; what hypotheses are ranked by.
        log_prob: natural logarithm of the probability of tokens and EOS.
    """

    tokens: list[int]
    score: float
    log_prob: float


def penalty_at(length: Tensor, length_penalty: float) -> Tensor:
    """((5 + length) / 6) ** length_penalty, which log-probabilities are divided by (Wu et al., 2016, equation 14).

    1 for length 1 and for length_penalty 0. The coverage penalty of that paper is not used.
    """
    return ((5.0 + length) / 6.0) ** length_penalty


def greedy_search(
    step: StepFunction,
    *,
    bos_id: int,
    eos_id: int,
    forbidden_ids: Sequence[int],
    max_lengths: Tensor,
    length_penalty: float,
) -> list[list[Hypothesis]]:
    """The most probable next token, again and again: one hypothesis a sentence, as beam search with beam_size 1.

    Args:
        step: at its beginning, with one beam a sentence.
        bos_id: the token that every output starts from.
        eos_id: the token that ends an output.
        forbidden_ids: tokens never generated.
        max_lengths: int64 [B], each at least 1: the longest output of each sentence, EOS included.
        length_penalty: exponent of `penalty_at`; changes the score alone.
    """

    def most_probable(log_probs: Tensor, sentences: Tensor, position: int) -> Tensor:
        return top_k(log_probs.flatten(0, 1), 1)[1].view(log_probs.shape[:2])

    return _generate(
        step,
        most_probable,
        bos_id=bos_id,
        eos_id=eos_id,
        forbidden_ids=forbidden_ids,
        max_lengths=max_lengths,
        num_outputs=1,
        length_penalty=length_penalty,
    )


def sample(
    step: StepFunction,
    *,
    bos_id: int,
    eos_id: int,
    forbidden_ids: Sequence[int],
    max_lengths: Tensor,
    length_penalty: float,
    num_samples: int,
    temperature: float,
    seed: int,
    sentence_ids: Sequence[int],
) -> list[list[Hypothesis]]:
    """Ancestral sampling: each token drawn from softmax(logits / temperature) without the forbidden tokens.

    One uniform number per sample and position, turned into a token by inverting the cumulative distribution. The
    numbers come from a counter-based generator (Philox) keyed by seed and sentence id, with the sample's number as
    counter: what is drawn for a sentence depends neither on its neighbours in the batch nor on the device.

    Args:
        step: at its beginning, with num_samples beams a sentence.
        bos_id: the token that every output starts from.
        eos_id: the token that ends an output.
        forbidden_ids: tokens never generated.
        max_lengths: int64 [B], each at least 1: the longest output of each sentence, EOS included.
        length_penalty: exponent of `penalty_at`; changes the score alone.
        num_samples: independent outputs a sentence, returned in the order of their numbers, not of their scores.
        temperature: above 0. The log-probabilities returned are those at temperature 1.
        seed: of all draws.
        sentence_ids: for each sentence a number of its own, such as its line number.
    """
    num_positions = int(max_lengths.max())
    streams = [
        [np.random.Generator(np.random.Philox(key=[seed, i], counter=[0, 0, 0, n])) for n in range(num_samples)]
        for i in sentence_ids
    ]
    uniform = torch.from_numpy(np.array([[stream.random(num_positions) for stream in row] for row in streams]))
    uniform = uniform.to(max_lengths.device)  # float64 [B, W, T]

    def drawn(log_probs: Tensor, sentences: Tensor, position: int) -> Tensor:
        cumulative = (log_probs.double() / temperature).softmax(-1).cumsum(-1)  # [B', W, V]
        # Times the total, which rounding leaves just beside 1.
        threshold = uniform[sentences, :, position, None] * cumulative[..., -1:]
        return torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)

    return _generate(
        step,
        drawn,
        bos_id=bos_id,
        eos_id=eos_id,
        forbidden_ids=forbidden_ids,
        max_lengths=max_lengths,
        num_outputs=num_samples,
        length_penalty=length_penalty,
    )


def _generate(
    step: StepFunction,
    choose: Callable[[Tensor, Tensor, int], Tensor],
    *,
    bos_id: int,
    eos_id: int,
    forbidden_ids: Sequence[int],
    max_lengths: Tensor,
    num_outputs: int,
    length_penalty: float,
) -> list[list[Hypothesis]]:
    """W outputs a sentence, each token by token: choose(log_probs [B', W, V], sentences [B'], position) -> [B', W]."""
    device = max_lengths.device
    forbidden = torch.tensor(list(forbidden_ids), device=device, dtype=torch.long)
    outputs = torch.full((len(max_lengths), num_outputs, int(max_lengths.max())), eos_id, device=device)  # [B, W, T]
    lengths = torch.zeros(outputs.shape[:2], device=device, dtype=torch.long)  # [B, W]
    sums = torch.zeros(outputs.shape[:2], device=device)  # [B, W]
    sentences = torch.arange(len(max_lengths), device=device)  # [B'] which of the B the rows of the batch are
    tokens = torch.full(outputs.shape[:2], bos_id, device=device)  # [B', W]
    is_open = torch.ones_like(tokens, dtype=torch.bool)  # [B', W]
    for position in range(outputs.shape[2]):
        log_probs = step(tokens).log_softmax(-1)  # [B', W, V]
        is_last = max_lengths[sentences] == position + 1
        tokens = choose(log_probs.index_fill_(-1, forbidden, -torch.inf), sentences, position)
        tokens = tokens.masked_fill(is_last[:, None] | ~is_open, eos_id)
        outputs[sentences, :, position] = tokens
        lengths[sentences] += is_open
        sums[sentences] += log_probs.gather(-1, tokens[..., None]).squeeze(-1) * is_open
        is_open &= tokens != eos_id
        going_on = is_open.any(1)
        num_done = len(sentences) - int(going_on.sum())
        if num_done == len(sentences):
            break
        if num_done >= COMPACT_SHARE * len(sentences):
            kept = going_on.nonzero().squeeze(1)
            step.keep(kept)
            sentences, tokens, is_open = sentences[kept], tokens[kept], is_open[kept]
    return _hypotheses(outputs, lengths, sums / penalty_at(lengths, length_penalty), sums)


def _hypotheses(outputs: Tensor, lengths: Tensor, scores: Tensor, log_probs: Tensor) -> list[list[Hypothesis]]:
    """outputs int64 [B, W, T], the rest [B, W]; lengths count EOS. Hypotheses of score -inf do not exist."""
    return [
        [
            Hypothesis(tokens[: length - 1], score, log_prob)
            for tokens, length, score, log_prob in zip(*row, strict=True)
            if score != -torch.inf
        ]
        for row in zip(outputs.tolist(), lengths.tolist(), scores.tolist(), log_probs.tolist(), strict=True)
    ]


def beam_search(
    step: StepFunction,
    *,
    bos_id: int,
    eos_id: int,
    forbidden_ids: Sequence[int],
    max_lengths: Tensor,
    beam_size: int,
    length_penalty: float,
    n_best: int,
) -> list[list[Hypothesis]]:
    """The n_best best hypotheses found for each sentence, best first.

    At each step the beam_size most probable continuations live on, as with 2 * beam_size candidates of which those
    that end are set aside: an ending hypothesis counts as finished if it is among the beam_size most probable
    candidates of the step, ended or not. The search of a sentence stops

    * when no live one can reach the n_best best finished ones: log-probabilities only fall, so a live one's score is
      bounded by its log-probability over the penalty of the sentence's longest output. This loses nothing;
    * when beam_size hypotheses have finished and the best of them is ahead of the best live one, by their scores now.
      This may lose a longer one that would have won later, but the bound alone would drag most searches to the
      longest length; and with beam_size 1 it is exactly greedy search;
    * at the sentence's longest length, where all live ones are ended.

    Args:
        step: at its beginning, with one beam a sentence.
        bos_id: the token that every output starts from.
        eos_id: the token that ends an output.
        forbidden_ids: tokens never generated.
        max_lengths: int64 [B], each at least 1: the longest output of each sentence, EOS included.
        beam_size: hypotheses that live on at each step.
        length_penalty: exponent of `penalty_at`.
        n_best: at most beam_size. Fewer are returned where there are not so many different outputs.
    """
    device = max_lengths.device
    barred = torch.tensor([*forbidden_ids, eos_id], device=device)  # what does not go on
    num_sentences, num_steps = len(max_lengths), int(max_lengths.max())
    chosen = torch.full((num_steps, num_sentences, beam_size), eos_id, device=device)  # [T, B, W] token of each beam
    parents = torch.zeros_like(chosen)  # [T, B, W] the beam it continued
    finished = torch.full((num_sentences, beam_size), -torch.inf, device=device)  # [B, W] scores, best first
    places = torch.zeros_like(chosen[0])  # [B, W] where each ended: step * W + beam
    penalties = penalty_at(torch.arange(1, num_steps + 1, device=device), length_penalty)  # [T]
    sentences = torch.arange(num_sentences, device=device)  # [B'] which of the B the rows of the batch are
    tokens = torch.full((num_sentences, 1), bos_id, device=device)  # [B', W]; there is one beam before the first step
    live = torch.zeros(num_sentences, 1, device=device)  # [B', W] log-probabilities, best first
    for t in range(num_steps):
        continued = step(tokens).log_softmax(-1).add_(live[..., None])  # [B', W, V]
        num_beams, vocab_size = continued.shape[1:]
        ended = continued[..., eos_id].clone()  # [B', W]
        live, index = top_k(continued.index_fill_(-1, barred, -torch.inf).flatten(1), beam_size)  # [B', W]
        parent, tokens = index // vocab_size, index % vocab_size
        chosen[t, sentences], parents[t, sentences] = tokens, parent

        is_last = max_lengths[sentences] == t + 1  # [B']
        top = torch.cat([live, ended], dim=1).topk(beam_size).indices  # [B', W] of 2 W, the second W ended
        is_top = torch.zeros_like(top[:, :1], dtype=torch.bool).repeat(1, beam_size + num_beams).scatter_(1, top, True)
        scores = (ended / penalties[t]).masked_fill(~(is_top[:, beam_size:] | is_last[:, None]), -torch.inf)
        here = (t * beam_size + torch.arange(num_beams, device=device)).expand_as(ended)
        pool, order = torch.cat([finished[sentences], scores], dim=1).topk(beam_size)  # [B', W]
        finished[sentences] = pool
        places[sentences] = torch.cat([places[sentences], here], dim=1).gather(1, order)

        is_unbeatable = pool[:, n_best - 1] >= live[:, 0] / penalties[max_lengths[sentences] - 1]
        is_ahead = (pool[:, -1] > -torch.inf) & (pool[:, 0] >= live[:, 0] / penalties[t])
        is_done = is_last | is_unbeatable | is_ahead  # [B']
        num_done = int(is_done.sum())
        if num_done == len(sentences):
            break
        live.masked_fill_(is_done[:, None], -torch.inf)  # nothing of it can finish any more; it stays done
        if num_done >= COMPACT_SHARE * len(sentences):
            kept = (~is_done).nonzero().squeeze(1)
            step.keep(kept)
            sentences, tokens, live, parent = sentences[kept], tokens[kept], live[kept], parent[kept]
        step.reorder(parent)

    finished, places = finished[:, :n_best], places[:, :n_best]
    lengths = places // beam_size + 1
    outputs = _follow(chosen, parents, ends=lengths - 1, beams=places % beam_size)
    return _hypotheses(outputs, lengths, finished, finished * penalty_at(lengths, length_penalty))


def _follow(chosen: Tensor, parents: Tensor, *, ends: Tensor, beams: Tensor) -> Tensor:
    """The tokens [B, N, T] of the hypotheses that ended at step ends [B, N] from beam beams [B, N], by [T, B, W]."""
    tokens = torch.empty((*beams.shape, len(chosen)), dtype=torch.long, device=beams.device)
    for t in reversed(range(len(chosen))):
        tokens[..., t] = chosen[t].gather(1, beams)
        beams = torch.where(t < ends, parents[t].gather(1, beams), beams)
    return tokens
