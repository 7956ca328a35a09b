import pytest
import torch

from mt_trainer.objectives.projection import slab_products
from mt_trainer.objectives.projection.slab_products import add_combined, combine, parts, project, slabs


@pytest.fixture(autouse=True)
def _slabs_of_sixteen_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slab_products, "CPU_SLAB_BYTES", 1)


def test_parts_cover_a_range_and_nothing_is_one_empty_part() -> None:
    assert list(parts(7, 3)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(parts(3, 3)) == [slice(0, 3)]
    assert list(parts(0, 3)) == [slice(0, 0)]


def test_only_a_matrix_that_has_to_be_cast_is_cut() -> None:
    matrix = torch.zeros(40, 2)
    assert list(slabs(matrix, torch.float32)) == [slice(0, 40)]
    assert list(slabs(matrix, torch.bfloat16)) == [slice(0, 16), slice(16, 32), slice(32, 40)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_of_whole_numbers_are_exact_in_any_precision(dtype: torch.dtype) -> None:
    # sums of at most 40 products of numbers up to 2 have at most 8 binary digits, as bfloat16 has
    generator = torch.Generator().manual_seed(1)
    rows, factors, matrix = (
        torch.randint(-2, 3, shape, generator=generator).float() for shape in ((3, 5), (3, 40), (40, 5))
    )
    logits = torch.empty(3, 40, dtype=dtype)
    project(rows.to(dtype), matrix, out=logits)
    assert torch.equal(logits.float(), rows @ matrix.t())

    combined = combine(factors.to(dtype), matrix, torch.float32)
    assert torch.equal(combined, factors @ matrix)
    assert combined.dtype == torch.float32

    total = torch.ones(40, 5)
    add_combined(total, factors.to(dtype), rows.to(dtype))
    assert torch.equal(total, 1 + factors.t() @ rows)
