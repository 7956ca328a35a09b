"""Splitting a step into micro-batches changes no gradient, whatever the objective reads or remembers."""

from itertools import islice
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import Loader, PairList, Position
from mt_trainer.model.build import build_transformer
from mt_trainer.model.transformer import Transformer
from mt_trainer.objectives import LossSums, TranslationLoss, build_objective
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.training.step import train_step
from mt_trainer.workers import Workers

V = 19
CORPUS = PairList(
    [([4 + i % 15] * (1 + 5 * i % 7), [4 + (3 * i + j) % 9 for j in range(1 + 7 * i % 9)]) for i in range(40)]
)


def make_model(d_model: int, seed: int, dropout: float) -> Transformer:
    torch.manual_seed(seed)
    config = ModelConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=d_model, ffn_dim=16, num_heads=2, dropout=dropout
    )
    return build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=32, pad_id=0)


def steps_of(
    settings: dict[str, Any], accumulation: int, *, dropout: float = 0.0, workers: Workers | None = None
) -> list[tuple[LossSums, dict[str, Tensor]]]:
    """Sums and gradients of three steps, whose learning rate of 0 leaves the model as it was."""
    config = TypeAdapter(ObjectiveConfig).validate_python(settings)
    loss = TranslationLoss(V, 0, objective=build_objective(config, vocab_size=V, pad_id=0))
    teacher = Teacher(make_model(32, 2, dropout).eval().requires_grad_(False), torch.float32)
    both = TeacherForcing(make_model(16, 1, dropout), loss, torch.float32, teacher).train()
    optimizer = build_optimizer(OptimConfig(), both.model)
    gradients: dict[str, Tensor] = {}
    optimizer.register_step_pre_hook(
        lambda *_: gradients.update({name: p.grad.clone() for name, p in both.named_parameters() if p.grad is not None})
    )
    loader = Loader(
        CORPUS,
        row_length=12,
        rows_per_step=6,
        accumulation=accumulation,
        seed=1,
        pad_id=0,
        bos_id=2,
        eos_id=3,
        sampler=None,
    )
    found = []
    for step, batches in enumerate(islice(loader.steps(Position()), 3), start=1):
        assert len(batches.micro_batches) == accumulation
        result = train_step(
            both,
            optimizer,
            batches,
            step=step,
            lr=0.0,
            clip_norm=None,
            seed=1,
            device=torch.device("cpu"),
            workers=workers,
        )
        found.append((result.sums, dict(gradients)))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "loss_truncation", "fraction": 0.4, "window": 12, "min_count": 4},
        {"name": "error_norm_truncation", "fraction": 0.3, "window": 40, "min_count": 10},
        {"name": "unlikelihood"},
        {"name": "tailr", "weight_from": "eval"},
        {"name": "emo"},
        {"name": "r_drop"},
        {"name": "distillation", "teacher": "runs/a", "divergence": "js"},
        {"name": "sparse_distillation", "teacher": "runs/a", "method": "top", "num_pieces": 3, "ghost": True},
    ],
    ids=lambda settings: settings["name"],
)
def test_accumulation_changes_no_gradient(settings: dict[str, Any]) -> None:
    whole = steps_of(settings, 1)
    for split in (steps_of(settings, accumulation) for accumulation in (2, 6)):
        for (sums, gradients), (split_sums, split_gradients) in zip(whole, split, strict=True):
            for name, value, split_value in zip(LossSums._fields, sums, split_sums, strict=True):
                assert (value is None) == (split_value is None), name
                if value is not None and split_value is not None:
                    assert split_value.item() == pytest.approx(value.item(), rel=1e-5), name
            assert gradients.keys() == split_gradients.keys()
            for name, gradient in gradients.items():
                torch.testing.assert_close(split_gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    if "truncation" in settings["name"]:
        assert [bool(sums.num_at_floor) for sums, _ in whole] == [False, True, True]


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "r_drop"},
        {"name": "sparse_distillation", "teacher": "runs/a", "method": "sample", "num_pieces": 3},
        {"name": "loss_truncation", "fraction": 0.4, "window": 12, "min_count": 4},
        {"name": "tailr", "weight_from": "eval"},
    ],
    ids=lambda settings: settings["name"],
)
def test_micro_batches_side_by_side_give_the_bits_of_one_after_the_other(settings: dict[str, Any]) -> None:
    """Whatever is drawn, remembered or switched over: in threads, or not in threads where that would not do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone, together = (steps_of(settings, 3, dropout=0.3, workers=workers) for workers in (None, Workers(2, threads=1)))
    torch.set_num_threads(threads)
    for (sums, gradients), (other_sums, other_gradients) in zip(alone, together, strict=True):
        assert [value for value in sums if value is not None] == [value for value in other_sums if value is not None]
        assert all(torch.equal(gradient, other_gradients[name]) for name, gradient in gradients.items())
