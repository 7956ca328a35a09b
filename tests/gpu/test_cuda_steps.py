"""Steps on a GPU: nothing waits for it, and each option of a step computes what the plain step computes.

Written after torch's documentation, on a machine without a GPU.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
import torch
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import Loader, PairList, Position, StepBatches, collate
from mt_trainer.model import build_transformer
from mt_trainer.model.layer_pass import LayerPass, compiled, recomputed, straight
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.diverging.recovery import Route
from mt_trainer.training.records import Window
from mt_trainer.training.step import train_step

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

CUDA = torch.device("cuda")
V = 19
PAIRS = PairList([([4 + i % 15] * (2 + i % 5), [4 + 3 * i % 15] * (1 + i % 7)) for i in range(12)])
BATCHES = StepBatches(
    tuple(
        collate(PAIRS, [[3 * i, 3 * i + 1, 3 * i + 2]], row_length=32, pad_id=0, bos_id=2, eos_id=3) for i in range(4)
    ),
    Position(),
)


def build(
    layer_pass: LayerPass = straight, dtype: torch.dtype = torch.bfloat16, **dropout: float
) -> tuple[TeacherForcing, torch.optim.AdamW]:
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=2, num_decoder_layers=2, d_model=32, ffn_dim=64, num_heads=4, **dropout)
    model = build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=32, pad_id=0)
    model.layer_pass = layer_pass
    both = TeacherForcing(model, TranslationLoss(V, 0, 0.1), dtype).to(CUDA).train()
    return both, build_optimizer(OptimConfig(), both.model)


def differentiated(layer_pass: LayerPass, **dropout: float) -> dict[str, Tensor]:
    """Loss and gradients of a step in float32, as the optimizer finds them."""
    both, optimizer = build(layer_pass, torch.float32, **dropout)
    found: dict[str, Tensor] = {}
    optimizer.register_step_pre_hook(
        lambda *_: found.update({name: p.grad.clone() for name, p in both.named_parameters() if p.grad is not None})
    )
    result = train_step(both, optimizer, BATCHES, step=1, lr=0.0, clip_norm=None, seed=5, device=CUDA, workers=None)
    return found | {"loss": result.sums.loss}


@contextmanager
def waiting_refused() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this mode calls itself a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("layer_pass", [straight, recomputed(straight)], ids=["kept", "computed again"])
def test_nothing_in_a_step_waits_for_the_gpu(layer_pass: LayerPass) -> None:
    both, optimizer = build(layer_pass, dropout=0.1)
    window = Window()
    for step in (1, 2):
        # the first step moves what the objective holds fixed to the GPU
        with waiting_refused() if step == 2 else warnings.catch_warnings():
            result = train_step(
                both, optimizer, BATCHES, step=step, lr=1e-2, clip_norm=1.0, seed=5, device=CUDA, workers=None
            )
            window.add(result)
    assert window.read()["num_steps"] == 2.0


def test_layers_gone_through_again_draw_the_same_masks() -> None:
    kept = differentiated(straight, dropout=0.2, attention_dropout=0.1)
    again = differentiated(recomputed(straight), dropout=0.2, attention_dropout=0.1)
    assert_close(again, kept)


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.filterwarnings("ignore")  # torch hides its own where they are shown, not raised
def test_compiled_layers_give_the_loss_and_the_gradients() -> None:
    assert_close(differentiated(compiled(), dropout=0.0), differentiated(straight, dropout=0.0))


@pytest.mark.filterwarnings("ignore")
def test_compiled_layers_gone_through_again_draw_the_same_masks() -> None:
    masks = {"dropout": 0.2, "attention_dropout": 0.1}
    assert_close(differentiated(recomputed(compiled()), **masks), differentiated(compiled(), **masks))


def test_steps_that_were_copied_ahead_are_those_of_the_loader() -> None:
    loader = Loader(
        PAIRS, row_length=16, rows_per_step=4, accumulation=2, seed=1, sampler=None, pad_id=0, bos_id=2, eos_id=3
    )
    route = Route(loader, Position(), device=CUDA)
    for number, expected in enumerate(islice(loader.steps(Position()), 12)):
        found = next(route)
        torch.empty(1 << 20, device=CUDA).fill_(number)  # what is freed too early is overwritten
        assert (found.after, found.num_tokens, found.indexes) == (expected.after, expected.num_tokens, expected.indexes)
        for ours, theirs in zip(found.micro_batches, expected.micro_batches, strict=True):
            assert ours.rows == theirs.rows
            for name, value in vars(theirs).items():
                if isinstance(value, Tensor):
                    copied = getattr(ours, name)
                    assert copied.device.type == "cuda"
                    assert torch.equal(copied.cpu(), value), name
    first = next(loader.steps(Position()))
    route.go_back(Position())
    assert next(route).after == first.after


def test_a_step_of_batches_that_were_copied_ahead_waits_for_nothing() -> None:
    loader = Loader(
        PAIRS, row_length=16, rows_per_step=4, accumulation=2, seed=1, sampler=None, pad_id=0, bos_id=2, eos_id=3
    )
    route, (both, optimizer) = Route(loader, Position(), device=CUDA), build(dropout=0.1)
    for step in range(1, 5):
        with waiting_refused() if step > 1 else warnings.catch_warnings():
            train_step(
                both, optimizer, next(route), step=step, lr=1e-2, clip_norm=1.0, seed=5, device=CUDA, workers=None
            )
