"""From a failing step to the pair: the halving by itself, and with a model whose weights overflow on one piece."""

import math
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from mt_trainer.config.model import ModelConfig
from mt_trainer.data.loader import Loader, PairList, Position
from mt_trainer.model.build import build_transformer
from mt_trainer.model.layer_pass import compiled
from mt_trainer.objectives import TranslationLoss
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.diverging.narrowing import Probe, smallest_failing

V = 40
CULPRIT = 11
PAIRS = PairList([([5 + i % 20, 6], [7, 8 + i % 20]) if i != CULPRIT else ([39, 5], [7, 9]) for i in range(24)])


@pytest.mark.parametrize("size", range(1, 12))
def test_halving_finds_the_one_that_fails(size: int) -> None:
    for culprit in range(size):
        assert smallest_failing(range(size), lambda part, culprit=culprit: culprit in part) == [culprit]


def test_halving_finds_the_first_of_several() -> None:
    assert smallest_failing(range(10), lambda part: bool({3, 8} & set(part))) == [3]


def test_halving_stops_where_only_both_halves_fail_together() -> None:
    assert smallest_failing(range(8), lambda part: {1, 6} <= set(part)) == list(range(8))
    assert smallest_failing(range(8), lambda part: {4, 6} <= set(part)) == [4, 5, 6, 7]


def build(**damage: float) -> tuple[TeacherForcing, Loader, list[list[list[int]]], Probe]:
    """A model with one altered weight, and the first step of a loader in three micro-batches."""
    torch.manual_seed(1)
    config = ModelConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=16,
        ffn_dim=16,
        num_heads=2,
        dropout=0.1,
        share_embeddings="decoder",
    )
    model = build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=16, pad_id=0)
    with torch.no_grad():
        for name, value in damage.items():
            parameter = dict(model.named_parameters())[name.replace("__", ".")]
            parameter[-1] = value
    both = TeacherForcing(model, TranslationLoss(V, 0, 0.1), torch.float32).train()
    return both, *first_step(both, row_length=9, rows_per_step=9, accumulation=3)


def first_step(both: TeacherForcing, **shape: Any) -> tuple[Loader, list[list[list[int]]], Probe]:
    special: Any = {"pad_id": 0, "bos_id": 2, "eos_id": 3}
    loader = Loader(PAIRS, seed=4, sampler=None, **shape, **special)
    batches = next(loader.steps(Position()))
    micro_batches = [batch.rows for batch in batches.micro_batches]
    probe = Probe(
        both,
        loader,
        epoch=0,
        micro_batches=micro_batches,
        key=(4, 1),
        num_tokens=batches.num_tokens,
        device=torch.device("cpu"),
    )
    return loader, micro_batches, probe


def test_the_pair_with_the_piece_that_overflows_is_found() -> None:
    both, _, micro_batches, probe = build(src_embedding__weight=3e38)
    (place,) = [i for i, rows in enumerate(micro_batches) if any(CULPRIT in row for row in rows)]
    before = {name: p.detach().clone() for name, p in both.named_parameters()}
    found = probe.narrow()
    assert (found.micro_batches, found.pair, found.num_others_failing) == ([place], CULPRIT, 0)
    assert found.num_others == 8
    trace = probe.trace(place, found.rows)
    assert trace.module is not None
    assert trace.module.startswith("src_")
    assert trace.gradients
    assert all(p.grad is None for p in both.parameters())
    assert all(torch.equal(p, before[name]) for name, p in both.named_parameters()), "nothing has changed"


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
def test_compiled_layers_are_narrowed_in_the_one_shape_that_they_are_compiled_for() -> None:
    """One pair a row: the halves have 12, 6, 3, 2 and 1 rows, and torch refuses a ninth program."""
    both = build(src_embedding__weight=3e38)[0]
    both.model.layer_pass = compiled("eager")
    _, micro_batches, probe = first_step(both, row_length=4, rows_per_step=24, accumulation=1, is_filled_up=True)
    assert [len(rows) for rows in micro_batches] == [24]
    torch._dynamo.reset()
    counters.clear()
    try:
        found = probe.narrow()
        num_programs = counters["stats"]["unique_graphs"]
    finally:
        torch._dynamo.reset()
    assert (found.micro_batches, found.pair, found.num_others, found.num_others_failing) == ([0], CULPRIT, 8, 0)
    assert num_programs == 2, "one for the encoder and one for the decoder"
    assert (probe.trace(0, found.rows).module or "").startswith("src_")


def test_weights_that_fail_on_everything_are_told_from_a_pair() -> None:
    *_, probe = build(decoder__0__feed_forward__output__bias=math.nan)
    found = probe.narrow()
    assert found.micro_batches == [0, 1, 2]
    assert found.num_others == found.num_others_failing == 8
    assert "feed_forward" in probe.trace(0, found.rows).first()


def test_a_step_that_is_finite_in_all_its_parts() -> None:
    _, _, micro_batches, probe = build()
    found = probe.narrow()
    assert (found.micro_batches, found.rows, found.pair) == ([], [], None)
    trace = probe.trace(0, micro_batches[0])
    assert (trace.module, trace.is_loss_finite, trace.gradients) == (None, True, [])


def test_a_gradient_alone_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    both, _, micro_batches, probe = build()
    hook = both.model.encoder[0].feed_forward.output.weight.register_hook(lambda gradient: gradient * math.inf)
    trace = probe.trace(0, micro_batches[0])
    hook.remove()
    assert (trace.module, trace.is_loss_finite) == (None, True)
    assert trace.gradients == ["encoder.0.feed_forward.output.weight"]
    assert "the loss is finite; the gradient of encoder.0" in trace.first()
