"""What differs on a GPU: kernels, where state lies, the skipped update. Skipped without CUDA; `make test-gpu`."""

import math
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import LossTruncationConfig, RDropConfig, SparseDistillationConfig, UnlikelihoodConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.decoding.search import Hypothesis, beam_search
from mt_trainer.decoding.translate import ModelStep
from mt_trainer.model.attention import AttentionMask, attend, segment_mask
from mt_trainer.model.build import build_transformer
from mt_trainer.model.packed import unpacked
from mt_trainer.model.transformer import Transformer
from mt_trainer.objectives import Statistic, TranslationLoss, build_objective, linear_objective, logit_statistics
from mt_trainer.objectives.formulas.divergences import r_drop
from mt_trainer.objectives.formulas.token_weights import tailr
from mt_trainer.objectives.objective import LogitPair, TeacherPieces
from mt_trainer.objectives.projection.linear_pair import linear_pair_objective
from mt_trainer.objectives.projection.teacher_pieces import linear_teacher_pieces
from mt_trainer.objectives.running_quantile import RunningQuantile
from mt_trainer.objectives.token_inputs import Constants, TokenInputs
from mt_trainer.optim import ExponentialMovingAverage, build_optimizer, load_optimizer_tensors, optimizer_tensors
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from mt_trainer.training.records import Window
from mt_trainer.training.step import StepResult, train_step

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
VOCAB_SIZE = 13
PAIRS = PairList([([5, 6], [7, 8, 9]), ([10], [11]), ([12, 4], [5])])
BATCHES = StepBatches(
    (collate(PAIRS, [[0], [1, 2]], row_length=6, pad_id=0, bos_id=2, eos_id=3),),
    Position(),
)


def small_model() -> Transformer:
    """The same weights at every call."""
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=2, num_decoder_layers=2, d_model=32, ffn_dim=64, num_heads=4, dropout=0.0)
    return build_transformer(config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=32, pad_id=0)


def in_training(dtype: torch.dtype) -> tuple[TeacherForcing, torch.optim.AdamW]:
    both = TeacherForcing(small_model(), TranslationLoss(VOCAB_SIZE, 0, 0.1), dtype).to(CUDA).train()
    return both, build_optimizer(OptimConfig(), both.model)


def step(both: TeacherForcing, optimizer: torch.optim.AdamW, number: int) -> StepResult:
    return train_step(both, optimizer, BATCHES, step=number, lr=1e-2, clip_norm=1.0, seed=1, device=CUDA, workers=None)


def state_of(both: TeacherForcing, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """Copies of weights and moments."""
    tensors = dict(both.named_parameters()) | optimizer_tensors(optimizer, both.model)
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual.cpu().double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("length", [64, 96, 128])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_that_of_the_cpu_and_fully_masked_rows_are_harmless(
    length: int, dtype: torch.dtype, tolerance: float, causal: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    segments = torch.ones(3, length, dtype=torch.long)
    segments[1, length // 2 :] = 0
    segments[2] = 0
    mask = segment_mask(segments, segments, causal=causal)
    values = [torch.randn(3, 4, length, 64, generator=generator).to(dtype) for _ in range(3)]

    results = []
    for device, precision in ((CPU, torch.float32), (CUDA, dtype)):
        inputs = [value.to(device, precision).requires_grad_() for value in values]
        context = attend(inputs[0], inputs[1], inputs[2], AttentionMask.of(mask.to(device)), dropout=0.0)
        results.append([context.detach(), *torch.autograd.grad(context.float().square().sum(), inputs)])
    for expected, actual in zip(*results, strict=True):
        assert actual.dtype == dtype
        assert actual.isfinite().all()
        assert relative_error(actual, expected) < tolerance
        assert actual[2].eq(0).all()
    assert results[1][0][1, :, length // 2 :].eq(0).all()


@pytest.mark.parametrize(("matmul_dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("needs", [frozenset({Statistic.PRIOR_LOGIT}), frozenset(Statistic)])
def test_the_output_layer_is_its_definition_and_repeats_itself_to_the_bit(
    needs: frozenset[Statistic], matmul_dtype: torch.dtype, tolerance: float
) -> None:
    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(700, 64, generator=generator, dtype=torch.float64)
    weight = torch.randn(1000, 64, generator=generator, dtype=torch.float64) / 8
    labels = torch.randint(1000, (700,), generator=generator)
    mask = labels % 5 != 0
    ids = torch.randint(1000, (700, 3), generator=generator)
    constants = Constants(
        prior=torch.full((1000,), 1 / 1000, dtype=torch.float64),
        values=torch.linspace(-1, 1, 1000, dtype=torch.float64),
        embedding=torch.randn(1000, 16, generator=generator, dtype=torch.float64),
        tail_below=1e-4,
    )
    function = partial(tailr, gamma=0.1, min_weight=0.3, epsilon=0.1)

    exact = [hidden.requires_grad_(), weight.requires_grad_()]
    statistics = logit_statistics(hidden @ weight.t(), TokenInputs(labels, ids=ids), constants=constants, needs=needs)
    loss = function(statistics).where(mask, 0).sum()
    expected = [loss.detach(), *torch.autograd.grad(loss, exact)]

    runs = []
    for _ in range(2):
        inputs = [tensor.detach().to(CUDA, torch.float32).requires_grad_() for tensor in exact]
        loss, collected = linear_objective(
            *inputs,
            TokenInputs(labels.to(CUDA), ids=ids.to(CUDA)),
            function=function,
            mask=mask.to(CUDA),
            constants=constants.to(CUDA, torch.float32),
            needs=needs,
            chunk_rows=128,
            matmul_dtype=matmul_dtype,
        )
        runs.append([loss.detach(), *torch.autograd.grad(loss, inputs), *collected.values.values()])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    for actual, truth in zip(runs[0], expected, strict=False):
        assert relative_error(actual, truth) < tolerance
    for name in needs - {Statistic.ARGMAX}:
        assert relative_error(collected.values[name], statistics.values[name].detach()) < tolerance


@pytest.mark.parametrize(("matmul_dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_the_output_layer_of_a_pair_is_its_definition_and_repeats_itself_to_the_bit(
    matmul_dtype: torch.dtype, tolerance: float
) -> None:
    generator = torch.Generator().manual_seed(5)
    hidden, other = (torch.randn(700, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(1000, 64, generator=generator, dtype=torch.float64) / 8
    labels = torch.randint(1000, (700,), generator=generator)
    mask = labels % 5 != 0
    function = partial(r_drop, alpha=5.0, epsilon=0.1)

    exact = [tensor.requires_grad_() for tensor in (hidden, weight, other)]
    loss = function(LogitPair(hidden @ weight.t(), other @ weight.t(), labels)).where(mask, 0).sum()
    expected = [loss.detach(), *torch.autograd.grad(loss, exact)]

    runs = []
    for _ in range(2):
        inputs = [tensor.detach().to(CUDA, torch.float32).requires_grad_() for tensor in exact]
        loss, statistics = linear_pair_objective(
            inputs[0],
            inputs[1],
            inputs[2],
            inputs[1],
            labels.to(CUDA),
            function=function,
            mask=mask.to(CUDA),
            chunk_rows=128,
            matmul_dtype=matmul_dtype,
            other_matmul_dtype=matmul_dtype,
        )
        runs.append([loss.detach(), *torch.autograd.grad(loss, inputs), *statistics.values.values()])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    for actual, truth in zip(runs[0], expected, strict=False):
        assert relative_error(actual, truth) < tolerance


def test_pieces_of_a_teacher_are_those_of_the_cpu() -> None:
    generator = torch.Generator().manual_seed(5)
    hidden, weight = torch.randn(70, 16, generator=generator), torch.randn(100, 16, generator=generator)
    pieces = TeacherPieces(5, "top")
    ids, weights = linear_teacher_pieces(hidden, weight, pieces, matmul_dtype=torch.float32)
    there = linear_teacher_pieces(hidden.to(CUDA), weight.to(CUDA), pieces, matmul_dtype=torch.float32)
    assert torch.equal(there[0].cpu(), ids)
    torch.testing.assert_close(there[1].cpu(), weights, rtol=1e-4, atol=1e-6)
    drawn = linear_teacher_pieces(
        hidden.to(CUDA), weight.to(CUDA), TeacherPieces(5, "sample"), matmul_dtype=torch.bfloat16
    )
    assert drawn[0].shape == (70, 5)
    assert drawn[0].device.type == CUDA.type


@pytest.mark.parametrize(
    "config",
    [
        LossTruncationConfig(name="loss_truncation", fraction=0.5, window=4, min_count=2),
        RDropConfig(name="r_drop"),
        SparseDistillationConfig(name="sparse_distillation", teacher="runs/a", method="top", num_pieces=3),
        UnlikelihoodConfig(name="unlikelihood"),
    ],
    ids=lambda config: config.name,
)
def test_two_steps_with_an_objective_that_reads_or_remembers_more(config: Any) -> None:
    """Their sums are those of the CPU."""
    totals = []
    for device in (CPU, CUDA):
        objective = build_objective(config, vocab_size=VOCAB_SIZE, pad_id=0)
        teacher = Teacher(small_model().to(device).eval().requires_grad_(False), torch.float32)
        loss = TranslationLoss(VOCAB_SIZE, 0, objective=objective)
        both = TeacherForcing(small_model(), loss, torch.float32, teacher).to(device).train()
        optimizer = build_optimizer(OptimConfig(), both.model)
        results = [
            train_step(
                both, optimizer, BATCHES, step=number, lr=0.0, clip_norm=1.0, seed=1, device=device, workers=None
            )
            for number in (1, 2)
        ]
        totals.append([float(value) for result in results for value in result.sums if value is not None])
    assert totals[1] == pytest.approx(totals[0], rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_learns_and_one_with_an_infinite_gradient_changes_nothing(dtype: torch.dtype) -> None:
    both, optimizer = in_training(dtype)
    start = state_of(both, optimizer)
    assert bool(step(both, optimizer, 1).is_finite)
    learned = state_of(both, optimizer)
    assert not torch.equal(learned["model.output_weight"], start["model.output_weight"])
    assert all(tensor.device.type == CUDA.type and tensor.isfinite().all() for tensor in learned.values())

    bias: Tensor = both.model.decoder[0].feed_forward.output.bias
    hook = bias.register_hook(lambda gradient: torch.full_like(gradient, math.inf))
    result = step(both, optimizer, 2)
    hook.remove()
    assert not bool(result.is_finite)
    assert bool(result.sums.loss.isfinite())
    after = state_of(both, optimizer)
    assert after.keys() == learned.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, learned[name]), name

    assert bool(step(both, optimizer, 2).is_finite)
    assert not torch.equal(state_of(both, optimizer)["model.output_weight"], learned["model.output_weight"])


def test_a_skipped_step_moves_neither_average_nor_quantile_and_nothing_waits_for_the_gpu() -> None:
    both, optimizer = in_training(torch.float32)
    ema, quantile, window = ExponentialMovingAverage(both.model, 0.9), RunningQuantile(4).to(CUDA), Window()
    result = step(both, optimizer, 1)
    skipped = replace(result, is_finite=torch.tensor(False, device=CUDA))
    before = {name: average.clone() for name, average in ema.average.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this mode calls itself a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        for each in (skipped, result):
            ema.update(1, is_finite=each.is_finite)
            quantile.add(result.sums.nll.expand(3))
            quantile.end_step(each.is_finite)
            window.add(each)
            if each is skipped:
                after = {name: average.clone() for name, average in ema.average.items()}
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(after[name], average) for name, average in before.items())
    assert not all(torch.equal(ema.average[name], average) for name, average in before.items())
    assert quantile.count.item() == 3
    assert (window.read()["num_steps"], window.read()["num_skipped"]) == (1.0, 1.0)


def test_beam_search_finds_what_it_finds_on_the_cpu() -> None:
    src_tokens = torch.tensor([[5, 6, 7, 8, 3], [9, 10, 3, 0, 0], [4, 3, 0, 0, 0], [12, 11, 12, 3, 0]])
    is_real = src_tokens != 0

    @torch.inference_mode()
    def found(device: torch.device) -> list[list[Hypothesis]]:
        model = small_model()
        model.output_weight *= 4  # opinions of its own
        model.to(device).eval()
        memory = model.encode(src_tokens.to(device), is_real.long().to(device))
        cache = model.start_decoding(memory, is_real.to(device), num_beams=1, max_slots=4 * 20)
        settings: dict[str, Any] = {"beam_size": 4, "length_penalty": 1.0, "n_best": 2}
        return beam_search(
            ModelStep(unpacked(model), cache),
            bos_id=2,
            eos_id=3,
            forbidden_ids=(0, 2),
            max_lengths=torch.tensor([20, 12, 8, 16], device=device),
            **settings,
        )

    expected, actual = found(CPU), found(CUDA)
    assert [[h.tokens for h in row] for row in actual] == [[h.tokens for h in row] for row in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], rel=1e-4, abs=1e-5)


def test_the_optimizer_state_of_a_checkpoint_comes_back_on_the_gpu(tmp_path: Path) -> None:
    both, optimizer = in_training(torch.float32)
    step(both, optimizer, 1)
    saved = optimizer_tensors(optimizer, both.model)
    save_checkpoint(tmp_path, "step_1", model=dict(both.model.named_parameters()), optimizer=saved, state={"step": 1})

    other, restored = in_training(torch.float32)
    other.load_state_dict(both.state_dict())
    load_optimizer_tensors(restored, other.model, load_checkpoint(tmp_path / "step_1").optimizer())
    loaded = optimizer_tensors(restored, other.model)
    assert loaded.keys() == saved.keys()
    for name, tensor in loaded.items():
        assert tensor.device.type == CUDA.type, name
        assert torch.equal(tensor, saved[name]), name
    for model, its_optimizer in ((both, optimizer), (other, restored)):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        for group in its_optimizer.param_groups:
            group["lr"] = 1e-2
        its_optimizer.step()
    for parameter, twin in zip(both.parameters(), other.parameters(), strict=True):
        assert torch.equal(parameter, twin)
