"""Tensors to a safetensors file, one after the other: no second copy of a model in memory, and its hash on the way.

The format: 8 bytes with the length of the header, the header (JSON: type, shape and place of each tensor), the bytes of
the tensors without gaps. Reading is left to the library of the format, which checks all of it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mt_trainer.artefacts import require_header
from mt_trainer.files import Bytes

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def serialized(tensors: Mapping[str, Tensor]) -> Iterator[Bytes]:
    """The parts of a safetensors file: header first, then a tensor at a time.

    The widest types come first and the names in order, so that every tensor lies where its type can be read, and the
    same tensors give the same bytes.

    Raises:
        KeyError: a type that checkpoints do not hold.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().view(-1)
        yield flat.view(torch.uint8).numpy().data if len(flat) else b""


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU.

    Raises:
        ValueError: it is no safetensors file, or its header is beyond all reason.
        OSError: it cannot be read.
    """
    require_header(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{path.name} is no safetensors file: {error}") from error
