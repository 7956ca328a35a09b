"""Equivalences that hold for any model: cached = uncached, batched = single, beam 1 = greedy, score = forced score."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.decoding.search import Hypothesis, beam_search, greedy_search, penalty_at, sample
from mt_trainer.decoding.translate import ModelStep
from mt_trainer.model.build import build_transformer
from mt_trainer.model.packed import unpacked
from mt_trainer.model.transformer import Transformer

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL: dict[str, Any] = {"bos_id": BOS, "eos_id": EOS, "forbidden_ids": (PAD, BOS)}
VOCAB_SIZE = 13


def tiny_model(seed: int, **variant: Any) -> Transformer:
    """A random model, in evaluation mode."""
    torch.manual_seed(seed)
    config = ModelConfig(
        preset="transformer_tiny",
        num_encoder_layers=1,
        num_decoder_layers=2,
        d_model=16,
        ffn_dim=24,
        num_heads=2,
        **variant,
    )
    model = build_transformer(
        config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=32, pad_id=PAD
    )
    with torch.no_grad():
        model.output_weight *= 4  # opinions of its own
    return model.eval()


@dataclass(frozen=True)
class Sources:
    """Padded source ids [B, S], which of them are real, and the longest outputs [B]."""

    tokens: Tensor
    is_real: Tensor
    max_lengths: Tensor

    def only(self, i: int) -> "Sources":
        """Sentence i alone, without padding."""
        real = self.is_real[i]
        return Sources(self.tokens[i : i + 1, real], self.is_real[i : i + 1, real], self.max_lengths[i : i + 1])


def random_sources(seed: int, num_sentences: int) -> Sources:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (num_sentences,), generator=generator)
    tokens = torch.randint(4, VOCAB_SIZE, (num_sentences, int(lengths.max())), generator=generator)
    is_real = torch.arange(tokens.shape[1]) < lengths[:, None]
    max_lengths = torch.randint(1, 12, (num_sentences,), generator=generator)
    return Sources(tokens.masked_fill(~is_real, PAD), is_real, max_lengths)


def step_function(model: Transformer, sources: Sources, num_beams: int, width: int) -> ModelStep:
    """At its beginning, with num_beams beams a sentence, later width."""
    memory = model.encode(sources.tokens, sources.is_real.long())
    max_slots = width * int(sources.max_lengths.max())
    return ModelStep(
        unpacked(model), model.start_decoding(memory, sources.is_real, num_beams=num_beams, max_slots=max_slots)
    )


def beam(model: Transformer, sources: Sources, width: int, alpha: float = 0.6) -> list[list[Hypothesis]]:
    return beam_search(
        step_function(model, sources, 1, width),
        **SPECIAL,
        max_lengths=sources.max_lengths,
        beam_size=width,
        length_penalty=alpha,
        n_best=width,
    )


def teacher_forced(model: Transformer, source: Sources, tokens: list[int]) -> Tensor:
    """Logits [T, V] of all positions of one target at once, by the definition without a cache."""
    memory = model.encode(source.tokens, source.is_real.long())
    inputs = torch.tensor([[BOS, *tokens]])
    hidden = model.decode(inputs, torch.ones_like(inputs), memory, source.is_real.long())
    return (hidden @ model.output_weight.T)[0]


NUM_BEAMS = [1, 2, 3, 3, 2, 2, 3, 3, 3, 2, 1, 3]

VARIANTS = st.fixed_dictionaries(
    {
        "norm_first": st.booleans(),
        "positions": st.sampled_from(["sinusoidal", "learned", "rotary"]),
        "activation": st.sampled_from(["relu", "swiglu"]),
        "share_embeddings": st.sampled_from(["none", "decoder", "all"]),
    }
)


@torch.inference_mode()
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), variant=VARIANTS)
def test_cached_steps_with_reordering_equal_the_full_forward(seed: int, variant: dict[str, Any]) -> None:
    """Random tokens, random reorderings into more and fewer beams, a dropped sentence.

    Each beam's own prefix is scored without a cache.
    """
    model, sources = tiny_model(seed, **variant), random_sources(seed, 3)
    generator = torch.Generator().manual_seed(seed)
    memory = model.encode(sources.tokens, sources.is_real.long())
    cache = model.start_decoding(memory, sources.is_real, num_beams=1, max_slots=sum(NUM_BEAMS))
    step = ModelStep(unpacked(model), cache)
    alive = [0, 1, 2]
    prefixes: list[list[list[int]]] = [[[]] for _ in alive]
    tokens = torch.full((3, 1), BOS)
    for t, (num_beams, num_next) in enumerate(pairwise([*NUM_BEAMS, 1])):
        logits = step(tokens)
        for row, i in enumerate(alive):
            for w in range(num_beams):
                expected = teacher_forced(model, sources.only(i), prefixes[row][w])[-1]
                torch.testing.assert_close(logits[row, w], expected, atol=1e-4, rtol=1e-4)
        if t == 2:
            step.keep(torch.tensor([0, 2]))
            alive, prefixes = [0, 2], [prefixes[0], prefixes[2]]
        order = torch.randint(num_beams, (len(alive), num_next), generator=generator)
        tokens = torch.randint(4, VOCAB_SIZE, (len(alive), num_next), generator=generator)
        step.reorder(order)
        prefixes = [
            [[*row[old], token] for old, token in zip(o, new, strict=True)]
            for row, o, new in zip(prefixes, order.tolist(), tokens.tolist(), strict=True)
        ]


@torch.inference_mode()
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), width=st.sampled_from([1, 2, 5]), variant=VARIANTS)
def test_batched_equals_single(seed: int, width: int, variant: dict[str, Any]) -> None:
    model, sources = tiny_model(seed, **variant), random_sources(seed, 6)
    together = beam(model, sources, width)
    for i in range(6):
        [alone] = beam(model, sources.only(i), width)
        assert [h.tokens for h in together[i]] == [h.tokens for h in alone]
        assert [h.score for h in together[i]] == pytest.approx([h.score for h in alone], abs=1e-4)


@torch.inference_mode()
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.0, 0.6, 1.0]))
def test_beam_size_one_equals_greedy(seed: int, alpha: float) -> None:
    model, sources = tiny_model(seed), random_sources(seed, 6)
    greedy = greedy_search(
        step_function(model, sources, 1, 1), **SPECIAL, max_lengths=sources.max_lengths, length_penalty=alpha
    )
    one = beam(model, sources, 1, alpha)
    assert [h.tokens for [h] in one] == [h.tokens for [h] in greedy]
    assert [h.score for [h] in one] == pytest.approx([h.score for [h] in greedy], abs=1e-5)


@torch.inference_mode()
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), search=st.sampled_from(["beam", "sampling"]))
def test_forced_scoring_gives_the_score_of_the_search(seed: int, search: str) -> None:
    model, sources = tiny_model(seed), random_sources(seed, 5)
    if search == "beam":
        rows = beam(model, sources, 3)
    else:
        rows = sample(
            step_function(model, sources, 3, 3),
            **SPECIAL,
            max_lengths=sources.max_lengths,
            length_penalty=0.6,
            num_samples=3,
            temperature=1.3,
            seed=seed,
            sentence_ids=range(5),
        )
    for i, row in enumerate(rows):
        for h in row:
            log_probs = teacher_forced(model, sources.only(i), h.tokens).log_softmax(-1)
            forced = log_probs.gather(1, torch.tensor([*h.tokens, EOS])[:, None]).sum().item()
            assert h.log_prob == pytest.approx(forced, abs=1e-4)
            penalty = penalty_at(torch.tensor(len(h.tokens) + 1), 0.6).item()
            assert h.score == pytest.approx(forced / penalty, abs=1e-4)
