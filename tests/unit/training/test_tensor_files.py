"""Tensors to safetensors files: what the format's own library reads is what was written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mt_trainer.files import write_new
from mt_trainer.training.checkpoints.tensor_files import DTYPES, load_tensors, serialized


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "table": torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype),
        "number": torch.tensor(1).to(dtype),
        "nothing": torch.zeros(0, 3).to(dtype),
        "view": torch.arange(6).to(dtype).view(2, 3).T,
    }
    write_new(tmp_path / "a", serialized(tensors))
    for read in (load_file(tmp_path / "a"), load_tensors(tmp_path / "a")):
        assert read.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert (read[name].dtype, read[name].shape) == (dtype, tensor.shape)
            assert torch.equal(read[name], tensor)


def test_types_side_by_side_and_none_at_all(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([True]), "b": torch.tensor([1.5], dtype=torch.float64), "c": torch.ones(3)}
    write_new(tmp_path / "mixed", serialized(tensors))
    write_new(tmp_path / "empty", serialized({}))
    assert all(torch.equal(load_tensors(tmp_path / "mixed")[name], tensor) for name, tensor in tensors.items())
    assert load_tensors(tmp_path / "empty") == {}


def test_the_same_tensors_give_the_same_bytes_in_whatever_order() -> None:
    one, two = torch.ones(2), torch.zeros(3)
    assert b"".join(serialized({"a": one, "b": two})) == b"".join(serialized({"b": two, "a": one}))


def test_parameters_are_written_without_their_gradients(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    (parameter * 2).sum().backward()
    write_new(tmp_path / "a", serialized({"weight": parameter}))
    assert not load_tensors(tmp_path / "a")["weight"].requires_grad


def test_what_is_no_such_file_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes((100).to_bytes(8, "little") + b"\xff" * 100)
    with pytest.raises(ValueError, match="a is no safetensors file"):
        load_tensors(tmp_path / "a")


def test_a_type_that_is_not_held_is_named() -> None:
    with pytest.raises(KeyError, match="complex"):
        list(serialized({"a": torch.zeros(1, dtype=torch.complex64)}))
