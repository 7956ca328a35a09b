"""The packed model against the model it was made of."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mt_trainer.config.model import ModelConfig
from mt_trainer.model.build import build_transformer
from mt_trainer.model.packed import DecodingModel, Int8Linear, has_bf16, has_int8, packed, unpacked
from mt_trainer.model.transformer import Transformer

SRC = torch.tensor([[5, 6, 7, 3], [8, 3, 0, 0]])


def small_model(**variant: Any) -> Transformer:
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=2, num_decoder_layers=2, d_model=32, ffn_dim=64, num_heads=4, **variant)
    return build_transformer(config, src_vocab_size=19, tgt_vocab_size=19, max_positions=16, pad_id=0).eval()


@torch.inference_mode()
def logits(model: DecodingModel) -> Tensor:
    """[2, 3, 19], teacher-forced."""
    segments = (SRC != 0).long()
    memory = model.transformer.encode(SRC, segments)
    inputs = torch.tensor([[2, 9, 10], [2, 11, 12]])
    return model.project(model.transformer.decode(inputs, torch.ones_like(inputs), memory, segments))


@pytest.mark.parametrize("variant", [{}, {"activation": "swiglu", "positions": "rotary", "share_embeddings": "none"}])
def test_what_comes_out_is_that_of_the_model(variant: dict[str, Any]) -> None:
    model = small_model(**variant)
    expected = logits(unpacked(model))
    torch.testing.assert_close(logits(packed(model, "fp32")), expected, atol=1e-5, rtol=1e-5)
    size = expected.norm()
    # bfloat16 has 8 bits, the integers 7 and a sign; errors of single products partly cancel in their sum.
    if has_bf16(torch.device("cpu")):
        assert 0 < (logits(packed(model, "bf16")) - expected).norm() < 2e-2 * size
    assert 0 < (logits(packed(model, "int8")) - expected).norm() < 4e-2 * size


def test_the_model_itself_is_left_as_it_is() -> None:
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ready = packed(model, "int8")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert any(isinstance(module, nn.Linear) for module in model.modules())
    assert not any(isinstance(module, nn.Linear) for module in ready.transformer.modules())
    # What is not multiplied is shared, not copied.
    assert ready.transformer.tgt_embedding.weight is model.tgt_embedding.weight
    assert not ready.transformer.training


def test_int8_by_hand() -> None:
    # Rows are scaled by their largest entry over 127: (127, -64, 0) / 127 and (2, 1, 0.5) * 63.5 rounded: 127, 64, 32.
    # x has the range [-1, 1]; of what its own rounding does, at most a step of 2 / 127 for each of three entries.
    linear = Int8Linear(torch.tensor([[1.0, -64 / 127, 0.0], [2.0, 1.0, 0.5]]), torch.tensor([0.0, 10.0]))
    result = linear(torch.tensor([[1.0, -1.0, 0.0]]))
    expected = torch.tensor([[1 + 64 / 127, 10 + (127 - 64) / 63.5]])
    torch.testing.assert_close(result, expected, atol=3 * 2 / 127, rtol=0)
    assert Int8Linear(torch.zeros(2, 3), None)(torch.ones(1, 3)).tolist() == [[0, 0]]


def test_int8_is_for_a_cpu() -> None:
    assert has_int8(torch.device("cpu"))
    assert not has_int8(torch.device("cuda"))


@pytest.mark.parametrize("is_supported", [True, False])
def test_bf16_is_for_a_cpu_that_has_it_and_for_a_gpu(is_supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: is_supported)
    assert has_bf16(torch.device("cpu")) == is_supported
    assert has_bf16(torch.device("cuda"))


def test_bf16_where_torch_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert not has_bf16(torch.device("cpu"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)  # then nothing is packed
    assert has_bf16(torch.device("cpu"))


def test_a_cpu_without_bf16_says_so() -> None:
    """In a process of its own: oneDNN is told once which instructions it may use."""
    script = """
import torch
from mt_trainer.model.packed import PackedLinear, has_bf16
try:
    PackedLinear(torch.zeros(2, 2), None, torch.bfloat16)
    works = True
except RuntimeError:
    works = False
assert works == has_bf16(torch.device("cpu")), works
"""
    for instructions in ("AVX2", "DEFAULT"):
        environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
