"""A profile in numbers worked by hand: kinds of work, operations, phases, and the step against its floor.

And on a real step: what it multiplies, in threads and backward, are the operations of the floor.
"""

import threading
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, record_function

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.model import build_transformer
from mt_trainer.model.dropout import MASKS, keep_mask
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.floor import training_operations
from mt_trainer.training.phases import Phase, phase
from mt_trainer.training.profiling.calls import STEP, Call, calls_of
from mt_trainer.training.profiling.kinds import Kind, kind_of, operations_of
from mt_trainer.training.profiling.profile import Steps, on_all_threads, profile
from mt_trainer.training.profiling.shares import BETWEEN, WAITING, shares_of
from mt_trainer.training.profiling.tables import show_shares
from mt_trainer.training.step import StepResult, train_step
from mt_trainer.workers import Workers


def call(name: str, *inside: str, own: float = 0.0, span: float = 0.0, is_main: bool = True, shapes: Any = ()) -> Call:
    return Call(name, inside, is_main, own, span, shapes)


@pytest.mark.parametrize(
    ("name", "inside", "kind"),
    [
        ("aten::addmm", ["forward", "aten::linear"], Kind.PRODUCTS),
        ("aten::mm", ["forward", "_LinearObjective"], Kind.PRODUCTS),
        ("aten::bmm", ["BmmBackward0"], Kind.ATTENTION),
        ("aten::bmm", ["_LinearObjective", "aten::linalg_vecdot"], Kind.OUTPUT),
        ("aten::_scaled_dot_product_flash_attention", [], Kind.ATTENTION),
        ("aten::_flash_attention_forward", ["aten::_scaled_dot_product_flash_attention"], Kind.ATTENTION),
        ("aten::_softmax", ["forward"], Kind.NORMS),
        ("aten::_softmax", ["forward", "_LinearObjective"], Kind.OUTPUT),
        ("aten::native_layer_norm_backward", [], Kind.NORMS),
        ("aten::copy_", ["forward", "aten::_to_copy"], Kind.COPIES),
        ("aten::copy_", ["forward", "_LinearObjective"], Kind.COPIES),
        ("aten::copy_", ["forward", MASKS], Kind.DROPOUT),
        ("aten::mul_", ["forward", MASKS], Kind.DROPOUT),
        (MASKS, ["forward"], Kind.DROPOUT),
        ("aten::mul", ["forward"], Kind.ELEMENTWISE),
        ("aten::mul_", ["_LinearObjectiveBackward"], Kind.OUTPUT),
        ("_LinearObjective", ["forward"], Kind.OUTPUT),
        ("aten::add_", [Phase.GRADIENTS], Kind.UPDATE),
        ("aten::_fused_adamw_", [Phase.UPDATE, "Optimizer.step#AdamW.step"], Kind.UPDATE),
        ("aten::index_add_", [], Kind.LOOKUPS),
        ("aten::embedding_dense_backward", [], Kind.LOOKUPS),
        ("aten::view", [], Kind.OTHER),
        ("MulBackward0", [], Kind.OTHER),
        ("sm90_xmma_gemm_bf16bf16_tn", ["forward"], Kind.PRODUCTS),
        ("triton_poi_fused_add_0", ["forward"], Kind.ELEMENTWISE),
        ("Torch-Compiled Region: 0/0", ["forward"], Kind.ELEMENTWISE),
        ("Memcpy HtoD", ["forward"], Kind.COPIES),
    ],
)
def test_kinds_of_work(name: str, inside: list[str], kind: Kind) -> None:
    assert kind_of(call(name, *inside)) is kind


@pytest.mark.parametrize(
    ("name", "shapes", "operations"),
    [
        ("aten::mm", ((3, 4), (4, 5)), 2 * 3 * 4 * 5),
        ("aten::addmm", ((5,), (3, 4), (4, 5), (), ()), 2 * 3 * 4 * 5),
        ("aten::addmm_", ((3, 5), (3, 4), (4, 5)), 2 * 3 * 4 * 5),
        ("aten::bmm", ((2, 3, 4), (2, 4, 5)), 2 * 2 * 3 * 4 * 5),
        ("aten::mv", ((3, 4), (4,)), 2 * 3 * 4),
        (
            "aten::_scaled_dot_product_flash_attention",
            ((2, 3, 7, 4), (2, 3, 5, 4), (2, 3, 5, 4)),
            2 * 2 * 6 * 7 * 5 * 4,
        ),
        (
            "aten::_scaled_dot_product_efficient_attention_backward",
            ((2, 3, 7, 4), (2, 3, 7, 4), (2, 3, 5, 4), (2, 3, 5, 4)),
            5 * 2 * 6 * 7 * 5 * 4,
        ),
        ("aten::mul", ((3, 4), (3, 4)), 0),
        ("aten::linear", ((3, 4), (5, 4)), 0),
        ("aten::mm", (), 0),
    ],
)
def test_operations_of_a_call(name: str, shapes: Any, operations: int) -> None:
    assert operations_of(call(name, shapes=shapes)) == operations


def test_a_step_one_micro_batch_after_the_other() -> None:
    """Two steps of 10 s each; numbers are means over both."""
    calls = [call(STEP, span=10.0), call(STEP, span=10.0)]
    calls += [call(Phase.DATA, STEP, span=2.0), call("aten::copy_", STEP, Phase.DATA, own=1.0, span=1.0)]
    calls += [call(Phase.FORWARD, STEP, span=4.0), call(Phase.FORWARD, STEP, span=2.0)]
    calls += [call("aten::mm", STEP, Phase.FORWARD, own=3.0, span=3.0, shapes=((100, 10), (10, 100)))]
    calls += [call(Phase.BACKWARD, STEP, span=8.0), call("aten::mul", STEP, Phase.BACKWARD, own=7.0, span=7.0)]
    calls += [call("aten::mul", STEP, Phase.BACKWARD, own=1.0, span=1.0)]
    shares = shares_of(calls, step_seconds=10.0, num_threads=1, is_cuda=False)
    assert shares.phases == {"waiting for data": 1.0, "forward": 3.0, "backward": 4.0}
    assert {kind: each.seconds for kind, each in shares.kinds.items()} == {Kind.PRODUCTS: 1.5, Kind.ELEMENTWISE: 4.0}
    assert list(shares.operators) == ["aten::mul", "aten::mm"]
    assert (shares.operators["aten::mul"].calls, shares.waiting_seconds, shares.operator_seconds) == (1.0, 1.0, 5.5)
    # 100,000 operations a step: at 1e5 a second they need 1 s of the 1.5 s that they take; 0.75 s of it are the floor
    assert shares.against_floor(0.75, 1e5) == {
        "the floor: real tokens at the full rate": 0.75,
        "padding, and what the objective adds": 0.25,
        "matrix products below the full rate": 0.5,
        "everything else": 8.5,
    }


def test_threads_side_by_side_count_by_their_number() -> None:
    """Two threads of 6 and 4 s in a block of 7 s: 5 s of work on both, and 2 s in which one waits."""
    calls = [call(STEP, span=10.0), call(Phase.SIDE_BY_SIDE, STEP, span=7.0)]
    calls += [call(Phase.FORWARD, span=4.0, is_main=False), call(Phase.FORWARD, span=3.0, is_main=False)]
    calls += [call(Phase.BACKWARD, span=2.0, is_main=False), call(Phase.BACKWARD, span=1.0, is_main=False)]
    calls += [call("aten::mm", Phase.FORWARD, own=3.0, span=3.0, is_main=False, shapes=((10, 10), (10, 10)))] * 2
    calls += [call(Phase.UPDATE, STEP, span=2.0), call("aten::add_", STEP, Phase.UPDATE, own=2.0, span=2.0)]
    shares = shares_of(calls, step_seconds=10.0, num_threads=2, is_cuda=False)
    assert shares.phases == {"forward": 3.5, "backward": 1.5, WAITING: 2.0, "clip and update": 2.0}
    assert {kind: each.seconds for kind, each in shares.kinds.items()} == {Kind.PRODUCTS: 3.0, Kind.UPDATE: 2.0}
    assert (shares.kinds[Kind.PRODUCTS].operations, shares.product_seconds, shares.waiting_seconds) == (4000, 3.0, 2.0)


def test_on_a_gpu_kernels_count_wherever_they_were_started() -> None:
    """The thread of autograd has no marks: its kernels belong to backward. An operator is there beside its kernels.

    The mark of the step ends long before the last kernel does: it is the clock that a step is measured by.
    """
    autograd = "autograd::engine::evaluate_function: MulBackward0"
    calls = [call(STEP, span=0.2)]
    calls += [call("aten::mm", STEP, Phase.FORWARD, span=0.1, shapes=((10, 10), (10, 10)))]
    calls += [call("aten::mm", STEP, Phase.FORWARD, own=3.0)] * 2
    calls += [call("aten::mul", autograd, span=0.1, is_main=False), call("aten::mul", autograd, own=2.0, is_main=False)]
    calls += [call("aten::isfinite", STEP, own=0.5), call("aten::copy_", STEP, own=0.5)]
    shares = shares_of(calls, step_seconds=10.0, num_threads=1, is_cuda=True)
    assert shares.phases == {"forward": 6.0, "backward": 2.0, BETWEEN: 1.0}
    assert (shares.kinds[Kind.PRODUCTS].operations, shares.operators["aten::mm"].calls) == (2000, 1)
    assert shares.operator_seconds == 9.0
    assert sum(shares.against_floor(1.0, 1e3).values()) == shares.step_seconds == 10.0


def test_the_tables() -> None:
    calls = [call(STEP, span=0.01), call(Phase.FORWARD, STEP, span=0.009)]
    calls += [call("aten::mm", STEP, Phase.FORWARD, own=0.005, span=0.005, shapes=((100, 100), (100, 100)))]
    shares = shares_of(calls, step_seconds=0.01, num_threads=1, is_cuda=False)
    assert show_shares(shares, floor_seconds=0.001, rate=1e9, is_cuda=False) == (
        "phase            ms  share\n"
        "forward         9.0   90 %\n"
        "between these   1.0   10 %\n"
        "a step         10.0  100 %\n"
        "\n"
        "kind of work                   ms  share  ms at full rate  rate reached\n"
        "matrix products               5.0   50 %              2.0     0 GFLOP/s\n"
        "waiting: data, other threads  0.0    0 %\n"
        "Python, between operators     5.0   50 %\n"
        "\n"
        "operator, without those it calls   ms  share  calls\n"
        "aten::mm                          5.0   50 %      1\n"
        "\n"
        "against the floor, at 1 GFLOP/s           ms  share\n"
        "the floor: real tokens at the full rate  1.0   10 %\n"
        "padding, and what the objective adds     1.0   10 %\n"
        "matrix products below the full rate      3.0   30 %\n"
        "everything else                          5.0   50 %"
    )


def test_the_profiler_sees_all_threads_and_what_each_call_runs_inside() -> None:
    left, right = torch.ones(3, 4), torch.ones(4, 5)

    def work() -> None:
        with phase(Phase.FORWARD):
            torch.mm(left, right)
            keep_mask(left, 0.5)

    def copy_the_next_step() -> None:
        with torch.profiler.record_function("fetch"):
            left.clone()

    threads = [threading.Thread(target=target) for target in (work, copy_the_next_step)]
    with torch.profiler.profile(
        activities=[ProfilerActivity.CPU], record_shapes=True, experimental_config=on_all_threads()
    ) as seen:
        with record_function(STEP), phase(Phase.GRADIENTS):
            torch.mm(left, right)
        left.exp()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    names = {event.name for event in seen.events()}
    assert {"fetch", "aten::clone", "aten::exp"} <= names
    calls = calls_of(seen.events(), is_cuda=False)
    products = {each.is_main: each for each in calls if each.name == "aten::mm"}
    assert products[True].inside == (STEP, Phase.GRADIENTS)
    assert products[False].inside == (Phase.FORWARD,)
    assert [operations_of(each) for each in products.values()] == [120, 120]
    assert all(0 < each.own_seconds <= each.span_seconds for each in products.values())
    masks = [each for each in calls if kind_of(each) is Kind.DROPOUT]
    assert {"aten::random_", "aten::mul_", MASKS} <= {each.name for each in masks}
    assert not any(each.is_main for each in masks)
    assert {each.name for each in calls}.isdisjoint({"fetch", "aten::clone", "aten::exp"}), "none is of a step"
    assert {STEP, Phase.GRADIENTS, Phase.FORWARD} <= {each.name for each in calls}, "the marks are"


def test_what_torch_has_no_public_name_for_is_asked_for_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C._profiler, "_ExperimentalConfig")
    monkeypatch.setattr("mt_trainer.training.profiling.profile.trial_of", lambda *_, **__: pytest.fail("work began"))
    settings: Any = None
    with pytest.raises(AttributeError, match="_ExperimentalConfig"):
        profile(settings, Path("runs/new"))


@pytest.mark.parametrize("number", [None, 2], ids=["one by one", "side by side"])
def test_the_products_of_a_real_step_are_the_operations_of_the_floor(number: int | None) -> None:
    """Rows without padding. Only the prior of label smoothing adds something: two products with a vector."""
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 2, "d_model": 32, "ffn_dim": 48}
    config = ModelConfig.model_validate({**sizes, "num_heads": 2, "activation": "swiglu"})
    model = build_transformer(config, src_vocab_size=64, tgt_vocab_size=64, max_positions=16, pad_id=0)
    both = TeacherForcing(model, TranslationLoss(64, 0, 0.1), torch.bfloat16).train()
    pairs = PairList([([5] * 15, [6] * 15)] * 8)
    rows = [[[4 * part + i] for i in range(4)] for part in range(2)]
    batches = [collate(pairs, part, row_length=16, pad_id=0, bos_id=2, eos_id=3) for part in rows]
    step, threads = StepBatches(tuple(batches), Position()), torch.get_num_threads()
    workers, optimizer = (
        None if number is None else Workers(number, threads=number),
        build_optimizer(OptimConfig(), model),
    )

    def take_step(number: int, batches: StepBatches) -> StepResult:
        return train_step(
            both,
            optimizer,
            batches,
            step=number,
            lr=1e-3,
            clip_norm=1.0,
            seed=1,
            device=torch.device("cpu"),
            workers=workers,
        )

    trial: Any = SimpleNamespace(
        machine=SimpleNamespace(device=torch.device("cpu")),
        parts=SimpleNamespace(loader=SimpleNamespace(steps=lambda position: repeat(step))),
        take_step=take_step,
    )
    events, lengths, step_seconds = Steps(trial).profiled(2, on_all_threads())
    torch.set_num_threads(threads)
    calls = calls_of(events, is_cuda=False)
    shares = shares_of(calls, step_seconds=step_seconds, num_threads=number or 1, is_cuda=False)
    assert lengths == step.lengths + step.lengths
    assert sum(each.span_seconds for each in calls if each.name == STEP) <= 2 * step_seconds
    done = sum(each.operations for each in shares.kinds.values())
    operations = training_operations(**sizes, tgt_vocab_size=64, is_gated=True).over(step.lengths)
    assert operations < done < 1.01 * operations
    assert {Phase.FORWARD, Phase.BACKWARD, Phase.GRADIENTS, Phase.UPDATE} <= set(shares.phases)
    assert (WAITING in shares.phases) == (number is not None)
    every_kind = set(Kind) - {Kind.LOOKUPS, Kind.OTHER}
    assert every_kind <= {kind for kind, each in shares.kinds.items() if each.seconds > 0}
