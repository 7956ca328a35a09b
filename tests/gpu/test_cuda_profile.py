"""What a profile tells of a step on a GPU. Skipped without CUDA; `make test-gpu`."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.lengths import LengthSums
from mt_trainer.data.loader import Loader, PairList, StepBatches
from mt_trainer.model.build import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.floor import training_operations
from mt_trainer.training.matmul_rate import measure_matmul_rate
from mt_trainer.training.phases import Phase
from mt_trainer.training.profiling.calls import calls_of
from mt_trainer.training.profiling.kinds import Kind
from mt_trainer.training.profiling.profile import Steps, on_all_threads
from mt_trainer.training.profiling.shares import shares_of
from mt_trainer.training.step import StepResult, train_step

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

CUDA = torch.device("cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rate_of_a_gpu_is_measured_in_its_precision(dtype: torch.dtype) -> None:
    before = torch.cuda.get_rng_state()
    assert measure_matmul_rate(CUDA, dtype) > 1e11
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert torch.cuda.max_memory_allocated() == torch.cuda.memory_allocated(), "its matrices are not in the peak"


def test_kernels_are_found_by_the_operators_that_started_them() -> None:
    """Rows without padding: the products done are those of the floor, attention in one operator takes one more."""
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 1, "d_model": 64, "ffn_dim": 128}
    config = ModelConfig.model_validate({**sizes, "num_heads": 2})
    model = build_transformer(config, src_vocab_size=64, tgt_vocab_size=64, max_positions=32, pad_id=0)
    both = TeacherForcing(model, TranslationLoss(64, 0, 0.1), torch.bfloat16).to(CUDA).train()
    pairs = PairList([([5] * 31, [6] * 31)] * 16)
    special: Any = {"pad_id": 0, "bos_id": 2, "eos_id": 3}
    loader = Loader(pairs, row_length=32, rows_per_step=16, accumulation=1, seed=1, sampler=None, **special)
    optimizer = build_optimizer(OptimConfig(), model)

    def take_step(number: int, batches: StepBatches) -> StepResult:
        return train_step(
            both, optimizer, batches, step=number, lr=1e-3, clip_norm=1.0, seed=1, device=CUDA, workers=None
        )

    trial: Any = SimpleNamespace(
        machine=SimpleNamespace(device=CUDA), parts=SimpleNamespace(loader=loader), take_step=take_step
    )
    steps = Steps(trial)
    steps.take(2)
    events, lengths, step_seconds = steps.profiled(1, on_all_threads())
    shares = shares_of(calls_of(events, is_cuda=True), step_seconds=step_seconds, num_threads=1, is_cuda=True)
    assert all(shares.phases[name] > 0 for name in (Phase.FORWARD, Phase.BACKWARD, Phase.UPDATE))
    assert sum(shares.phases.values()) == pytest.approx(shares.operator_seconds)
    assert 0 < shares.operator_seconds <= shares.step_seconds
    done = sum(each.operations for each in shares.kinds.values())
    operations = training_operations(**sizes, tgt_vocab_size=64, is_gated=False)
    floor, products = operations.over(lengths), replace(lengths, src=0, tgt=0)
    attention = operations.over(products)
    assert products == LengthSums(0, 0, 16 * 32**2, 16 * 32**2, 16 * 32**2)
    # the prior of label smoothing adds two products with a vector
    assert done in (pytest.approx(floor, rel=5e-3), pytest.approx(floor + attention / 6, rel=5e-3))
    assert shares.kinds[Kind.PRODUCTS].seconds > 0
