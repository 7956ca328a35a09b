"""Layers gone through again for backward: the same bits, and less that is kept until then."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import RDropConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.machine import cpu_generator, seed_everything
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.model.layer_pass import LayerPass, recomputed, straight
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.step import train_step
from mt_trainer.workers import Workers

CPU = torch.device("cpu")
VOCAB_SIZE = 19
PAIRS = PairList([([4 + i % 15] * (2 + i % 5), [4 + 3 * i % 15] * (1 + i % 7)) for i in range(12)])
BATCHES = StepBatches(
    tuple(
        collate(PAIRS, [[3 * i, 3 * i + 1, 3 * i + 2]], row_length=32, pad_id=0, bos_id=2, eos_id=3) for i in range(4)
    ),
    Position(),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The bits depend on how many threads share an operation: here it is one on either way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(layer_pass: LayerPass, **dropout: float) -> Transformer:
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=2, num_decoder_layers=3, d_model=16, ffn_dim=16, num_heads=2, **dropout)
    model = build_transformer(config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=32, pad_id=0)
    model.layer_pass = layer_pass
    return model.train()


def trained(layer_pass: LayerPass, workers: Workers | None, dtype: torch.dtype, objective: str) -> dict[str, Tensor]:
    """Weights, loss and gradient norm after two steps with every kind of dropout."""
    model = build(layer_pass, dropout=0.2, attention_dropout=0.1, activation_dropout=0.1)
    loss = TranslationLoss(VOCAB_SIZE, 0)
    if objective == "r_drop":
        loss = TranslationLoss(
            VOCAB_SIZE, 0, objective=build_objective(RDropConfig(name="r_drop"), vocab_size=VOCAB_SIZE, pad_id=0)
        )
    both = TeacherForcing(model, loss, dtype).train()
    optimizer = build_optimizer(OptimConfig(), model)
    for step in (1, 2):
        result = train_step(
            both, optimizer, BATCHES, step=step, lr=1e-2, clip_norm=1.0, seed=5, device=CPU, workers=workers
        )
    return dict(model.named_parameters()) | {"loss": result.sums.loss, "norm": result.grad_norm}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("threads", [1, 2], ids=["one by one", "side by side"])
@pytest.mark.parametrize("objective", ["label_smoothing", "r_drop"])
def test_layers_gone_through_again_give_the_same_bits(objective: str, threads: int, dtype: torch.dtype) -> None:
    workers = Workers(threads, threads=threads) if threads > 1 else None
    kept = trained(straight, workers, dtype, objective)
    again = trained(recomputed(straight), workers, dtype, objective)
    assert kept.keys() == again.keys()
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name


def saved_bytes(layer_pass: LayerPass, **dropout: float) -> int:
    """What a forward pass keeps for backward beside the weights, each piece of memory once."""
    model = build(layer_pass, **dropout)
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor
        return tensor

    batch = BATCHES.micro_batches[0]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments)
    hidden.sum().backward()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("dropout", [{"dropout": 0.0}, {"dropout": 0.1, "attention_dropout": 0.1}])
def test_less_is_kept_for_backward(dropout: dict[str, float]) -> None:
    """Of each of five layers its input, 32 x 16 numbers, with masks and positions, instead of all that it computes."""
    kept = saved_bytes(recomputed(straight), **dropout)
    assert kept >= 5 * 32 * 16 * 4
    assert 5 * kept < saved_bytes(straight, **dropout)


def test_what_is_drawn_after_backward_does_not_depend_on_it() -> None:
    batch, draws = BATCHES.micro_batches[0], []
    for layer_pass in (straight, recomputed(straight)):
        model = build(layer_pass, dropout=0.2)
        seed_everything(7)
        model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments).sum().backward()
        draws.append(torch.rand(3, generator=cpu_generator()))
    assert torch.equal(*draws)


def test_a_model_in_evaluation_mode_goes_straight() -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("only in training")

    batch = BATCHES.micro_batches[0]
    model = build(refuse).eval()
    model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments)
