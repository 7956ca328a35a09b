"""Which kind of work a call is, by its name and by what it runs inside; and the operations of a matrix product."""

import math
from enum import StrEnum

from mt_trainer.model.dropout import MASKS
from mt_trainer.training.phases import Phase
from mt_trainer.training.profiling.calls import Call


class Kind(StrEnum):
    """Kinds of work."""

    PRODUCTS = "matrix products"
    ATTENTION = "attention: its products"
    NORMS = "softmax, normalisation"
    DROPOUT = "dropout masks"
    OUTPUT = "output layer, objective"
    ELEMENTWISE = "other elementwise"
    COPIES = "casts, copies, fills"
    LOOKUPS = "embedding, gather, scatter"
    UPDATE = "gradient sums, optimizer"
    OTHER = "other operations"


NAMES: dict[Kind, frozenset[str]] = {
    Kind.PRODUCTS: frozenset("mm addmm mv addmv".split()),
    Kind.ATTENTION: frozenset("bmm baddbmm".split()),
    Kind.DROPOUT: frozenset("random bernoulli native_dropout native_dropout_backward".split()),
    Kind.COPIES: frozenset("copy _to_copy to clone contiguous cat stack fill zero zeros".split()),
    Kind.NORMS: frozenset(
        "_softmax _softmax_backward_data native_layer_norm native_layer_norm_backward "
        "_fused_rms_norm _fused_rms_norm_backward".split()
    ),
    Kind.LOOKUPS: frozenset(
        "embedding embedding_dense_backward index _index_put_impl index_put index_add index_select gather scatter "
        "scatter_add nonzero".split()
    ),
    Kind.ELEMENTWISE: frozenset(
        "add sub mul div neg reciprocal abs clamp relu threshold_backward gelu gelu_backward silu silu_backward "
        "sigmoid exp log pow sqrt rsqrt where masked_fill addcmul ge gt le lt eq ne bitwise_and bitwise_or bitwise_not "
        "logical_and logical_or logical_not tril triu sum mean any all isfinite cumsum".split()
    ),
}
"""Operators without `aten::` and without the `_` of those that work in place."""

KERNELS = {
    "gemm": Kind.PRODUCTS,
    "nvjet": Kind.PRODUCTS,
    "flash": Kind.ATTENTION,
    "fmha": Kind.ATTENTION,
    "softmax": Kind.NORMS,
    "layer_norm": Kind.NORMS,
    "layernorm": Kind.NORMS,
    "dropout": Kind.DROPOUT,
    "memcpy": Kind.COPIES,
    "memset": Kind.COPIES,
    "copy": Kind.COPIES,
    "embedding": Kind.LOOKUPS,
    "index": Kind.LOOKUPS,
    "scatter": Kind.LOOKUPS,
    "multi_tensor": Kind.UPDATE,
    "elementwise": Kind.ELEMENTWISE,
    "triton": Kind.ELEMENTWISE,
    "cpp_fused": Kind.ELEMENTWISE,
    "compiled": Kind.ELEMENTWISE,
}
"""Parts of the names of kernels that no operator was found for: those of a graph, or of a compiler."""

UPDATES = frozenset({Phase.GRADIENTS, Phase.UPDATE, Phase.AVERAGE})
OUTPUT_LAYER = "_Linear"
"""How the names of the autograd functions of `objectives/projection` begin."""


def kind_of(call: Call) -> Kind:
    """Of an operator. What runs inside dropout masks, the update or the output layer belongs to them."""
    operator = call.name.removeprefix("aten::").rstrip("_")
    if MASKS in (*call.inside, call.name):
        return Kind.DROPOUT
    if operator in NAMES[Kind.PRODUCTS]:
        return Kind.PRODUCTS
    if not UPDATES.isdisjoint(call.inside) or call.name.startswith("Optimizer."):
        return Kind.UPDATE
    if operator in NAMES[Kind.COPIES]:
        return Kind.COPIES
    if any(name.startswith(OUTPUT_LAYER) for name in (*call.inside, call.name)):
        return Kind.OUTPUT
    if "scaled_dot_product" in operator or "flash_attention" in operator or "efficient_attention" in operator:
        return Kind.ATTENTION
    for kind, names in NAMES.items():
        if operator in names:
            return kind
    return Kind.OTHER if call.name.startswith("aten::") else _kind_of_kernel(call.name.lower())


def _kind_of_kernel(name: str) -> Kind:
    return next((kind for part, kind in KERNELS.items() if part in name), Kind.OTHER)


def operations_of(call: Call) -> int:
    """Floating-point operations of a matrix product, 2 n k m for [n, k] x [k, m]; 0 of any other kind of work.

    Of an attention that is one operator, they are those of two products forward and of five backward, where one of
    forward is taken again.
    """
    operator, shapes = call.name.removeprefix("aten::").rstrip("_"), call.shapes
    if kind_of(call) not in (Kind.PRODUCTS, Kind.ATTENTION):
        return 0
    if operator.startswith("_scaled_dot_product") and len(shapes) > 2:
        is_backward = operator.endswith("_backward")
        query, key = shapes[1:3] if is_backward else shapes[:2]  # [B, H, T, K], [B, H, S, K]
        return 2 * math.prod(query) * key[-2] * (5 if is_backward else 2)
    if operator in ("addmm", "addmv", "baddbmm"):
        shapes = shapes[1:]
    if operator not in NAMES[Kind.PRODUCTS] | NAMES[Kind.ATTENTION] or len(shapes) < 2:
        return 0
    left, right = shapes[:2]
    return 2 * math.prod(left) * (right[-1] if len(right) > 1 else 1)
