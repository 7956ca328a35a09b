"""A model as it is translated with: on a CPU its matrices are laid out for the products once, not again in each.

What comes out is that of the model, by rounding in `fp32`, closely in `bf16` and `int8`: norms, attention and the sums
of residuals stay float32 in all of them. `benchmarks/decoding.py` compares them.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mt_trainer.model.transformer import Transformer

Precision = Literal["fp32", "bf16", "int8"]

HAS_VNNI = torch.cpu._is_vnni_supported()


class PackedLinear(nn.Module):
    """x W^T + b in float32 or bfloat16; W is packed by oneDNN."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype))
        self.bias = None if bias is None else bias.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """float32 [..., I] -> float32 [..., O]."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, "none", [], "")
        return product.float()


class Int8Linear(nn.Module):
    """x W^T + b with 8-bit integers: W scaled by its rows, x by the range that it has at the time.

    That is the range over the whole batch: in rare cases a translation depends on the sentences it shares one with.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scales = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to replace the type, not the product
            zeros = torch.zeros(len(scales), dtype=torch.long)
            integers = torch.quantize_per_channel(weight, scales.double(), zeros, axis=0, dtype=torch.qint8)
        engine = torch.backends.quantized.engine
        torch.backends.quantized.engine = "onednn"  # whose products stay fast as tall as a vocabulary
        try:
            self.weight = torch.ops.quantized.linear_prepack(integers, bias)
        finally:
            torch.backends.quantized.engine = engine

    def forward(self, x: Tensor) -> Tensor:
        """float32 [..., I] -> float32 [..., O]."""
        # Without VNNI a sum of two products has 16 bits, which 7 bits of x cannot exceed.
        product: Tensor = torch.ops.quantized.linear_dynamic(x, self.weight, reduce_range=not HAS_VNNI)
        return product


def has_int8(device: torch.device) -> bool:
    """Whether `Int8Linear` works there."""
    return device.type == "cpu" and "onednn" in torch.backends.quantized.supported_engines


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 works there: on a CPU with oneDNN, whether `PackedLinear` does."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return True
    is_supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return is_supported is not None and bool(is_supported())


@dataclass(frozen=True)
class DecodingModel:
    """What translating needs of a model.

    Attributes:
        transformer: to hidden states.
        project: hidden states [..., D] to logits, float32 [..., V].
    """

    transformer: Transformer
    project: Callable[[Tensor], Tensor]


def unpacked(model: Transformer) -> DecodingModel:
    """The model itself; on any device."""
    return DecodingModel(model, lambda hidden: F.linear(hidden, model.output_weight).float())


def packed(model: Transformer, precision: Precision) -> DecodingModel:
    """The model as it stands now, with every linear map and the output projection packed; on a CPU with oneDNN.

    Embeddings, norms and buffers are shared with the model.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)
    for name, linear in model.named_modules():
        if isinstance(linear, nn.Linear):
            copied.set_submodule(name, _packed_linear(linear.weight, linear.bias, precision))
    return DecodingModel(copied, _packed_linear(model.output_weight, None, precision))


def _packed_linear(weight: Tensor, bias: Tensor | None, precision: Precision) -> nn.Module:
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    match precision:
        case "fp32":
            return PackedLinear(weight, bias, torch.float32)
        case "bf16":
            return PackedLinear(weight, bias, torch.bfloat16)
        case "int8":
            return Int8Linear(weight, bias)
    assert_never(precision)
