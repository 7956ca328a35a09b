"""In float64, any way to cut a step into micro-batches, rows and padding gives the same gradient."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.batching import Row
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.model.build import build_transformer
from mt_trainer.model.transformer import Transformer
from mt_trainer.objectives import LossSums, TranslationLoss, build_objective
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.training.step import train_step

V = 19
SPECIAL = {"pad_id": 0, "bos_id": 2, "eos_id": 3}
NUM_PAIRS = 8
# Lengths from 1 to 12, so that a mean over the means of micro-batches would be far off.
CORPUS = PairList(
    [([4 + i % 15] * (1 + 5 * i % 12), [4 + (3 * i + j) % 15 for j in range(1 + 7 * i % 12)]) for i in range(16)]
)
PAIR_ROWS = [[pair] for pair in range(NUM_PAIRS)]
LATER_ROWS = [[pair] for pair in range(NUM_PAIRS, 2 * NUM_PAIRS)]

OBJECTIVES: list[dict[str, Any]] = [
    {"name": "cross_entropy", "z_loss": 1e-3},
    *({"name": "label_smoothing", "convention": convention} for convention in ("torch", "fairseq", "no_pad", "kl")),
    {"name": "graduated_label_smoothing"},
    {"name": "confidence_penalty"},
    {"name": "tailr", "weight_from": "eval"},
    {"name": "mixce"},
    {"name": "gold_delta"},
    {"name": "focal", "gamma": 1.5},
    {"name": "anti_focal"},
    {"name": "error_norm_truncation", "fraction": 0.3, "window": 200, "min_count": 10},
    {"name": "loss_truncation", "fraction": 0.4, "window": 200, "min_count": 4},
    {"name": "brier"},
    {"name": "spherical"},
    {"name": "emo"},
    {"name": "unlikelihood"},
    {"name": "r_drop"},
    {"name": "distillation", "teacher": "runs/a", "divergence": "js"},
    {"name": "sparse_distillation", "teacher": "runs/a", "method": "top", "num_pieces": 3, "ghost": True},
]
WHOLE: dict[str, tuple[LossSums, dict[str, Tensor]]] = {}
"""What the step gives in one micro-batch, a pair a row, computed once for each objective."""

every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: "-".join(map(str, each.values())))


def make_model(d_model: int, seed: int) -> Transformer:
    torch.manual_seed(seed)
    config = ModelConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=d_model, ffn_dim=16, num_heads=2, dropout=0.0
    )
    model = build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=128, pad_id=0)
    return model.double()


def batches_of(parts: list[list[Row]], *, row_length: int = 13) -> StepBatches:
    return StepBatches(tuple(collate(CORPUS, part, row_length=row_length, **SPECIAL) for part in parts), Position())


def gradients(objective: dict[str, Any], *steps: StepBatches) -> tuple[LossSums, dict[str, Tensor]]:
    """Sums and gradients of the last of the steps; the learning rate is 0, so that only the loss learns."""
    config = TypeAdapter(ObjectiveConfig).validate_python(objective)
    loss = TranslationLoss(V, 0, objective=build_objective(config, vocab_size=V, pad_id=0))
    teacher = Teacher(make_model(32, 2).eval().requires_grad_(False), torch.float64)
    both = TeacherForcing(make_model(16, 1), loss, torch.float64, teacher).train()
    optimizer = build_optimizer(OptimConfig(), both.model)
    found: dict[str, Tensor] = {}
    optimizer.register_step_pre_hook(
        lambda *_: found.update({name: p.grad.clone() for name, p in both.named_parameters() if p.grad is not None})
    )
    for number, batches in enumerate(steps, start=1):
        result = train_step(
            both,
            optimizer,
            batches,
            step=number,
            lr=0.0,
            clip_norm=None,
            seed=1,
            device=torch.device("cpu"),
            workers=None,
        )
        assert bool(result.is_finite)
    return result.sums, found


def assert_same(a: tuple[LossSums, dict[str, Tensor]], b: tuple[LossSums, dict[str, Tensor]]) -> None:
    for name, value, other in zip(LossSums._fields, a[0], b[0], strict=True):
        assert (value is None) == (other is None), name
        if value is not None and other is not None:
            torch.testing.assert_close(other, value, rtol=1e-12, atol=0, msg=name)
    assert a[1].keys() == b[1].keys()
    for name, gradient in a[1].items():
        torch.testing.assert_close(b[1][name], gradient, rtol=0, atol=1e-12, msg=name)


FIRST = batches_of([PAIR_ROWS])
"""The step before: what a truncated objective learns from it decides about the step that is compared."""


@every_objective
@settings(max_examples=3, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_partition_gives_the_same_gradient(objective: dict[str, Any], data: st.DataObject) -> None:
    """Pairs in any order, packed into rows of any length, the rows dealt out to any number of micro-batches."""
    order = data.draw(st.permutations(range(NUM_PAIRS)))
    row_cuts = sorted(data.draw(st.sets(st.integers(1, NUM_PAIRS - 1))))
    rows = [[LATER_ROWS[i][0] for i in order[a:b]] for a, b in pairwise([0, *row_cuts, NUM_PAIRS])]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(rows) - 1)), max_size=4)) - {len(rows)})
    parts = [rows[a:b] for a, b in pairwise([0, *cuts, len(rows)])]
    room = max(sum(max(len(CORPUS.src(p)), len(CORPUS.tgt(p))) + 1 for p in row) for row in rows)
    split = batches_of(parts, row_length=room + data.draw(st.integers(0, 7)))
    if str(objective) not in WHOLE:
        WHOLE[str(objective)] = gradients(objective, FIRST, batches_of([LATER_ROWS]))
    assert_same(WHOLE[str(objective)], gradients(objective, FIRST, split))


@every_objective
def test_micro_batches_without_tokens_are_harmless(objective: dict[str, Any]) -> None:
    """Before, between and after the others, and in the step that a truncated objective learns from."""
    parts = [LATER_ROWS[:3], LATER_ROWS[3:]]
    with_empty = [[[], []], LATER_ROWS[:3], [[]], LATER_ROWS[3:], [[], [], []]]
    assert batches_of(with_empty).micro_batches[0].num_tokens == 0
    first = batches_of([[[]], PAIR_ROWS, [[]]])
    assert_same(gradients(objective, FIRST, batches_of(parts)), gradients(objective, first, batches_of(with_empty)))


def test_a_mean_over_micro_batches_would_be_found_out() -> None:
    """What the tolerance is worth: the gradients of such halves differ by far more than 1e-12."""
    (_, first), (_, second) = (
        gradients(OBJECTIVES[0], batches_of([rows])) for rows in (LATER_ROWS[:3], LATER_ROWS[3:])
    )
    _, whole = gradients(OBJECTIVES[0], batches_of([LATER_ROWS]))
    wrong = max((first[name] + second[name]).div(2).sub(whole[name]).abs().max().item() for name in whole)
    assert wrong > 1e-3
