"""In a step nothing waits for the device: no operation that does on a GPU, seen on a CPU, where it costs nothing."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.utils._python_dispatch import TorchDispatchMode

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.model.layer_pass import LayerPass, recomputed, straight
from mt_trainer.objectives import Objective, TranslationLoss, build_objective
from mt_trainer.optim import ExponentialMovingAverage, build_optimizer
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.training.records import Window
from mt_trainer.training.step import train_step

V = 19
PAIRS = PairList([([4 + i % 15] * (2 + i % 5), [4 + 3 * i % 15] * (1 + i % 7)) for i in range(12)])
BATCHES = StepBatches(
    tuple(
        collate(PAIRS, [[3 * i, 3 * i + 1, 3 * i + 2]], row_length=32, pad_id=0, bos_id=2, eos_id=3) for i in range(4)
    ),
    Position(),
)
WAITING = {
    "_local_scalar_dense",  # .item(), bool(), int(), float()
    "bincount",
    "equal",
    "lift_fresh",  # torch.tensor([...]): a copy from the host
    "masked_select",
    "nonzero",
    "_unique2",
    "unique_consecutive",
}


class Waits(TorchDispatchMode):
    """Notes the operations that would keep the host waiting for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in WAITING or by_mask:
            self.found.append(f"{name} by a mask" if by_mask else name)
        return func(*args, **(kwargs or {}))


def model(**dropout: float) -> Transformer:
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2, **dropout)
    return build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=32, pad_id=0)


def waits_of_a_step(objective: dict[str, Any], layer_pass: LayerPass = straight) -> list[str]:
    """In the second step: in the first one the optimizer and the loss make what they then keep."""
    config = TypeAdapter(ObjectiveConfig).validate_python(objective)
    counts = torch.arange(V)
    loss = TranslationLoss(
        V, 0, objective=build_objective(config, vocab_size=V, pad_id=0, target_counts=counts, source_counts=counts)
    )
    teacher = Teacher(model().eval().requires_grad_(False), torch.float32)
    both = TeacherForcing(model(dropout=0.2, attention_dropout=0.1), loss, torch.bfloat16, teacher).train()
    both.model.layer_pass = layer_pass
    optimizer, average, window = (
        build_optimizer(OptimConfig(), both.model),
        ExponentialMovingAverage(both.model, 0.9),
        Window(),
    )
    for step in (1, 2):
        with Waits() as waits:
            result = train_step(
                both, optimizer, BATCHES, step=step, lr=1e-2, clip_norm=1.0, seed=1, device=torch.device("cpu"),
                workers=None,
            )  # fmt: skip
            average.update(step, is_finite=result.is_finite)
            window.add(result)
    return waits.found


def test_what_waits_is_seen() -> None:
    values = torch.arange(4.0)
    with Waits() as waits:
        values[values > 1].sum().item()
        values[values > 1] = torch.tensor([1.0, 2.0])
        assert values.any()
    assert set(waits.found) == {"index by a mask", "index_put_ by a mask", "_local_scalar_dense", "lift_fresh"}


@pytest.mark.parametrize(
    "objective",
    [
        {"name": "label_smoothing"},
        {"name": "label_smoothing", "convention": "kl", "prior": "unigram"},
        {"name": "cross_entropy", "z_loss": 1e-4},
        {"name": "confidence_penalty"},
        {"name": "tailr"},
        {"name": "tailr", "weight_from": "eval"},
        {"name": "mixce"},
        {"name": "gold_delta"},
        {"name": "focal"},
        {"name": "brier"},
        {"name": "spherical"},
        {"name": "emo"},
        {"name": "unlikelihood"},
        {"name": "error_norm_truncation", "threshold": 1.0},
        {"name": "graduated_label_smoothing"},
        {"name": "r_drop"},
        {"name": "distillation", "teacher": "run", "divergence": "js"},
        {"name": "sparse_distillation", "teacher": "run", "method": "top"},
        {"name": "sparse_distillation", "teacher": "run"},
        {
            "name": "label_smoothing",
            "epsilon": {"schedule": "linear", "start": 0.0, "end": 0.2, "end_step": 10},
        },
    ],
    ids=lambda objective: " ".join(map(str, objective.values())),
)
def test_no_operation_of_a_step_waits(objective: dict[str, Any]) -> None:
    assert waits_of_a_step(objective) == []


def test_none_waits_where_activations_are_computed_again() -> None:
    assert waits_of_a_step({"name": "label_smoothing"}, recomputed(straight)) == []


def test_what_an_objective_holds_fixed_is_moved_to_the_device_once() -> None:
    gamma = {"schedule": "linear", "start": 0.0, "end": 0.2, "end_step": 10}
    config: Any = TypeAdapter(ObjectiveConfig).validate_python({"name": "tailr", "gamma": gamma, "epsilon": 0.1})
    objective = build_objective(config, vocab_size=V, pad_id=0)
    second, third = objective.at(2), objective.at(3)
    assert second.parameters != third.parameters
    assert isinstance(second, Objective)
    assert isinstance(third, Objective)
    assert second.constants is third.constants
    assert second.constants.prior is not None


@pytest.mark.parametrize("objective", [{"name": "loss_truncation"}, {"name": "error_norm_truncation", "fraction": 0.1}])
def test_objectives_that_leave_out_a_share_wait_for_what_counts(objective: dict[str, Any]) -> None:
    """Once a micro-batch: how many scores there are is known to the device alone."""
    assert waits_of_a_step(objective) == ["index by a mask"] * len(BATCHES.micro_batches)
