"""Micro-batches side by side give the bits of one after the other, whatever is drawn at random."""

import threading
from collections.abc import Iterator

import pytest
import torch

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.machine import Machine, cpu_generator, seed_everything, seed_thread
from mt_trainer.model.build import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.step import train_step
from mt_trainer.workers import Workers, build_workers

CPU = torch.device("cpu")
VOCAB_SIZE = 19
PAIRS = PairList([([4 + i % 15] * (2 + i % 5), [4 + 3 * i % 15] * (1 + i % 7)) for i in range(12)])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The bits depend on how many threads share an operation: here it is one on either way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batches(number: int) -> StepBatches:
    rows = [[[3 * i, 3 * i + 1, 3 * i + 2]] for i in range(4)]
    parts = [[row for group in rows[i::number] for row in group] for i in range(number)]
    return StepBatches(
        tuple(collate(PAIRS, part, row_length=32, pad_id=0, bos_id=2, eos_id=3) for part in parts), Position()
    )


def trained(number: int, workers: Workers | None, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights, loss and gradient norm after three steps with every kind of dropout."""
    torch.manual_seed(1)
    config = ModelConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=16,
        ffn_dim=16,
        num_heads=2,
        dropout=0.2,
        attention_dropout=0.1,
        activation_dropout=0.1,
    )
    model = build_transformer(config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=32, pad_id=0)
    both = TeacherForcing(model, TranslationLoss(VOCAB_SIZE, 0, 0.1), dtype).train()
    optimizer = build_optimizer(OptimConfig(), model)
    for step in (1, 2, 3):
        result = train_step(
            both, optimizer, batches(number), step=step, lr=1e-2, clip_norm=1.0, seed=5, device=CPU, workers=workers
        )
    return dict(model.named_parameters()) | {"loss": result.sums.loss, "norm": result.grad_norm}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("number", "threads"), [(2, 2), (4, 2), (4, 4)])
def test_side_by_side_gives_the_bits_of_one_after_the_other(number: int, threads: int, dtype: torch.dtype) -> None:
    alone = trained(number, None, dtype)
    together = trained(number, Workers(threads, threads=threads), dtype)
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        assert torch.equal(value, together[name]), name


def test_items_are_worked_on_at_the_same_time_and_come_back_in_order() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def meet(item: int) -> int:
        meeting.wait()
        return item * item

    assert Workers(2, threads=2).map(meet, [3, 4]) == [9, 16]


def test_a_fault_in_one_of_them_reaches_the_caller_when_all_have_ended() -> None:
    ended = []

    def fail(item: int) -> None:
        if item == 0:
            raise ValueError("the first one")
        ended.append(item)

    workers = Workers(2, threads=2)
    torch.set_num_threads(2)
    with workers.share():
        assert torch.get_num_threads() == 1
        with pytest.raises(ValueError, match="the first one"):
            workers.map(fail, [0, 1, 2])
    assert ended == [1, 2]
    assert torch.get_num_threads() == 2


def test_a_seeded_thread_draws_what_the_default_generator_would_draw() -> None:
    def draw(_: int) -> torch.Tensor:
        seed_thread(1, 2, 3)
        return torch.rand(5, generator=cpu_generator())

    (drawn,) = Workers(1, threads=1).map(draw, [0])
    seed_everything(1, 2, 3)
    assert torch.equal(drawn, torch.rand(5))
    assert cpu_generator() is torch.default_generator


@pytest.mark.parametrize(
    ("accumulation", "threads", "device", "number"),
    [
        (2, 2, "cpu", 2),
        (4, 2, "cpu", 2),
        (2, 8, "cpu", 2),
        (1, 2, "cpu", None),
        (4, 1, "cpu", None),
        (4, 8, "cuda", None),
    ],
)
def test_there_are_as_many_as_are_of_use(accumulation: int, threads: int, device: str, number: int | None) -> None:
    workers = build_workers(accumulation, Machine(torch.device(device), torch.float32, threads))
    assert (workers.number if workers else None) == number
