"""What a profile tells of a step on a GPU. Skipped without CUDA; `make test-gpu`."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.profiler import ProfilerActivity, record_function

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.lengths import LengthSums
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.model.build import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.floor import training_operations
from mt_trainer.training.matmul_rate import measure_matmul_rate
from mt_trainer.training.phases import Phase
from mt_trainer.training.profiling.calls import STEP, calls_of
from mt_trainer.training.profiling.kinds import Kind
from mt_trainer.training.profiling.shares import shares_of
from mt_trainer.training.step import train_step

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

CUDA = torch.device("cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rate_of_a_gpu_is_measured_in_its_precision(dtype: torch.dtype) -> None:
    before = torch.cuda.get_rng_state()
    assert measure_matmul_rate(CUDA, dtype) > 1e11
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_kernels_are_found_by_the_operators_that_started_them() -> None:
    """Rows without padding: the products done are those of the floor, attention in one operator takes one more."""
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 1, "d_model": 64, "ffn_dim": 128}
    config = ModelConfig.model_validate({**sizes, "num_heads": 2})
    model = build_transformer(config, src_vocab_size=64, tgt_vocab_size=64, max_positions=32, pad_id=0)
    both = TeacherForcing(model, TranslationLoss(64, 0, 0.1), torch.bfloat16).to(CUDA).train()
    pairs = PairList([([5] * 31, [6] * 31)] * 16)
    batch = collate(pairs, [[i] for i in range(16)], row_length=32, pad_id=0, bos_id=2, eos_id=3)
    step = partial(
        train_step,
        both,
        build_optimizer(OptimConfig(), model),
        StepBatches((batch,), Position()),
        lr=1e-3,
        clip_norm=1.0,
        seed=1,
        device=CUDA,
        workers=None,
    )
    step(step=1)
    everywhere = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    profiler = torch.profiler.profile(activities=activities, record_shapes=True, experimental_config=everywhere)
    with profiler as seen, record_function(STEP):
        step(step=2)
        torch.cuda.synchronize()
    shares = shares_of(calls_of(seen.events(), is_cuda=True), num_threads=1, is_cuda=True)
    assert {Phase.FORWARD, Phase.BACKWARD, Phase.UPDATE} <= set(shares.phases)
    assert all(seconds > 0 for seconds in shares.phases.values())
    assert sum(shares.phases.values()) == pytest.approx(shares.operator_seconds)
    assert 0 < shares.operator_seconds <= shares.step_seconds
    done = sum(each.operations for each in shares.kinds.values())
    operations = training_operations(**sizes, tgt_vocab_size=64, is_gated=False)
    floor, lengths = operations.over(batch.lengths), replace(batch.lengths, src=0, tgt=0)
    attention = operations.over(lengths)
    assert lengths == LengthSums(0, 0, 16 * 32**2, 16 * 32**2, 16 * 32**2)
    # the prior of label smoothing adds two products with a vector
    assert done in (pytest.approx(floor, rel=5e-3), pytest.approx(floor + attention / 6, rel=5e-3))
    assert shares.kinds[Kind.PRODUCTS].seconds > 0
