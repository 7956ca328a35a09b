"""How large the parts are that the projection is cut into, and that nothing larger is held."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE, LogitStatistics, Statistic
from mt_trainer.objectives.projection import chunked_projection, slab_products
from mt_trainer.objectives.projection.chunked_projection import Setup
from mt_trainer.objectives.projection.linear import linear_logit_statistics, linear_objective
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NOTHING: frozenset[Statistic] = frozenset()


@pytest.mark.parametrize(
    ("device", "needs", "dtype", "buffer_bytes", "vocab_size", "expected"),
    [
        (CPU, NOTHING, torch.float32, None, 32_000, 320),  # 40 MiB / 4 bytes / 32,000 = 327.7, in sixteens
        (CPU, NOTHING, torch.bfloat16, None, 32_000, 512),  # 32 MiB: 524.3
        (CPU, NOTHING, torch.float32, 2**20, 8_000, 32),  # 32.8
        (CPU, NOTHING, torch.float32, None, 1_000_000, 16),  # no fewer
        (GPU, NOTHING, torch.bfloat16, None, 32_000, 4_784),  # 2 GiB / (2 + 3 * 4) bytes / 32,000 = 4,793.5
    ],
)
def test_a_chunk_fills_the_buffer(
    device: torch.device,
    needs: frozenset[Statistic],
    dtype: torch.dtype,
    buffer_bytes: int | None,
    vocab_size: int,
    expected: int,
) -> None:
    setup = Setup(needs, chunk_rows=None, buffer_bytes=buffer_bytes, matmul_dtype=dtype)
    assert setup.rows_of_chunk(vocab_size, device) == expected


def test_given_rows_of_a_chunk_are_taken_as_they_are() -> None:
    setup = Setup(NOTHING, chunk_rows=3, buffer_bytes=1, matmul_dtype=torch.float32)
    assert setup.rows_of_chunk(32_000, CPU) == 3


class Allocations(TorchDispatchMode):
    """Notes the storage of every result."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_bytes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                storage = result.untyped_storage()
                self.num_bytes[storage.data_ptr()] = storage.nbytes()
        return results


@pytest.mark.parametrize("matmul_dtype", [torch.float32, torch.bfloat16])
def test_nothing_as_large_as_the_weight_is_held_but_its_gradient(
    monkeypatch: pytest.MonkeyPatch, matmul_dtype: torch.dtype
) -> None:
    num_tokens, width, vocab_size = 200, 64, 5000
    buffer_bytes = 16 * 4 * vocab_size  # 16 rows of logits, a quarter of the weight
    monkeypatch.setattr(chunked_projection, "CPU_BUFFER_BYTES", buffer_bytes)
    monkeypatch.setattr(chunked_projection, "CPU_BF16_BUFFER_BYTES", buffer_bytes // 2)
    monkeypatch.setattr(chunked_projection, "CPU_BLOCK_BYTES", buffer_bytes // 4)
    monkeypatch.setattr(slab_products, "CPU_SLAB_BYTES", buffer_bytes // 4)
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(num_tokens, width, generator=generator, requires_grad=True)
    weight = torch.randn(vocab_size, width, generator=generator, requires_grad=True)
    labels = torch.randint(vocab_size, (num_tokens,), generator=generator)
    inputs = TokenInputs(labels, labels.unsqueeze(1))
    constants = Constants(
        prior=torch.full((vocab_size,), 1 / vocab_size),
        values=torch.zeros(vocab_size),
        embedding=weight.detach(),
        embedding_scale=torch.ones(vocab_size),
        tail_below=1e-6,
    )

    def everything(statistics: LogitStatistics) -> Tensor:
        values = (statistics.values[name].reshape(len(statistics.nll), -1) for name in sorted(DIFFERENTIABLE))
        return torch.cat(list(values), dim=-1).sum(dim=-1)

    how: dict[str, Any] = {"constants": constants, "needs": frozenset(Statistic), "chunk_rows": None}
    gradient_bytes = weight.nbytes
    for form in ("in forward", "in backward"):
        with Allocations() as allocations:
            if form == "in forward":
                loss, _ = linear_objective(
                    hidden, weight, inputs, function=everything, mask=None, matmul_dtype=matmul_dtype, **how
                )
            else:
                loss = everything(
                    linear_logit_statistics(hidden, weight, inputs, matmul_dtype=matmul_dtype, **how)
                ).sum()
            torch.autograd.grad(loss, (hidden, weight))
        known = {factor.untyped_storage().data_ptr() for factor in (hidden, weight)}
        sizes = sorted(size for pointer, size in allocations.num_bytes.items() if pointer not in known)
        assert sizes[-1] == gradient_bytes
        assert sizes[-2] < gradient_bytes
