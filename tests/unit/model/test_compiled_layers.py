"""Compiled layers compute what the layers compute, and are compiled once for all layers of a kind."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.data.loader import PairList, collate
from mt_trainer.machine import seed_everything
from mt_trainer.model import build_transformer
from mt_trainer.model.layer_pass import LayerPass, compiled, recomputed, straight
from mt_trainer.objectives import TranslationLoss
from mt_trainer.teacher_forcing import TeacherForcing

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself; shown, these are hidden

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

V = 19
PAIRS = PairList([([4 + i % 15] * (2 + i % 5), [4 + 3 * i % 15] * (1 + i % 7)) for i in range(12)])
BATCHES = [
    collate(PAIRS, [[3 * i, 3 * i + 1, 3 * i + 2]], row_length=32, pad_id=0, bos_id=2, eos_id=3) for i in range(4)
]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def differentiated(layer_pass: LayerPass, dtype: torch.dtype = torch.float32, **settings: Any) -> dict[str, Tensor]:
    """Loss and gradients over some batches of one shape."""
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=2, num_decoder_layers=3, d_model=16, ffn_dim=16, num_heads=2, **settings)
    model = build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=32, pad_id=0)
    model.layer_pass = layer_pass
    both = TeacherForcing(model, TranslationLoss(V, 0, 0.1), dtype).train()
    total = torch.zeros(())
    for index, batch in enumerate(BATCHES):
        seed_everything(index)
        loss = both(batch, with_diagnostics=False).loss
        loss.backward()
        total += loss.detach()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"loss": total}


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-4) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=tolerance, atol=tolerance, msg=name)


ALL_DROPOUT = {"dropout": 0.2, "attention_dropout": 0.1, "activation_dropout": 0.1}


@pytest.mark.parametrize("is_recomputed", [False, True])
@pytest.mark.parametrize(
    "settings", [{"dropout": 0.0}, ALL_DROPOUT, {"positions": "rotary", "activation": "swiglu", "norm_first": False}]
)
def test_compiled_layers_give_the_loss_and_the_gradients(settings: dict[str, Any], is_recomputed: bool) -> None:
    through = compiled("aot_eager")
    ours = differentiated(recomputed(through) if is_recomputed else through, **settings)
    assert_close(ours, differentiated(straight, **settings))


def test_in_bfloat16_they_are_close() -> None:
    ours = differentiated(compiled("aot_eager"), torch.bfloat16, **ALL_DROPOUT)
    assert_close(ours, differentiated(straight, torch.bfloat16, **ALL_DROPOUT), tolerance=0.1)


def test_each_kind_of_layer_is_compiled_once() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    differentiated(torch.compile(straight, fullgraph=True, dynamic=False, backend=count), **ALL_DROPOUT)
    assert len(graphs) == 2


@needs_a_compiler
@pytest.mark.slow
def test_inductor_gives_the_loss_and_the_gradients() -> None:
    assert_close(differentiated(compiled(), dropout=0.0), differentiated(straight, dropout=0.0))


@needs_a_compiler
@pytest.mark.slow
def test_inductor_draws_a_mask_once_for_forward_and_backward() -> None:
    """In another order than the plain layers: but in the same one each time, also where a layer is gone through again.

    Were a mask drawn anew for backward, gradients would not be those of the loss.
    """
    ours = differentiated(compiled(), **ALL_DROPOUT)
    assert_close(differentiated(recomputed(compiled()), **ALL_DROPOUT), ours)
    assert abs(ours["loss"] - differentiated(straight, **ALL_DROPOUT)["loss"]) < 0.05 * ours["loss"]
