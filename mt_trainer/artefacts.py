"""Files that somebody else may have written: ordinary files only, bounded in size and depth. Nothing of them is run."""

import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST_JSON_BYTES = 8 * 2**20
"""Of the JSON files of a run or a cache; they hold counters, hashes and scores, some kilobytes."""

LARGEST_HEADER_BYTES = 16 * 2**20
"""Of a file of tensors: a hundred bytes for each of them. Parsed, a header takes twenty times its size, and the parser
ends the process where that is not to be had."""


def require_file(path: Path) -> int:
    """The size in bytes of what must be an ordinary file: no link, device, pipe or folder.

    Reading a device or a pipe might never end, and a link leads out of the folder that was asked for.

    Raises:
        OSError: it is not there.
        ValueError: it is something else.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is {'a link' if stat.S_ISLNK(status.st_mode) else 'not a file'}")
    return status.st_size


def read_at_most(path: Path, limit: int) -> bytes:
    """The content of a file, also of a device or a pipe, as long as it has no more than `limit` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or its path is none.
    """
    parts, size = [], 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise ValueError(f"{path.name} has more than {limit:,} bytes")
    return b"".join(parts)


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, too large, nested too deeply, or not JSON.
    """
    size = require_file(path)
    if size > LARGEST_JSON_BYTES:
        raise ValueError(f"{path.name} has {size:,} bytes, more than {LARGEST_JSON_BYTES // 2**20} MiB")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None


def require_header(path: Path) -> None:
    """Check the size that a safetensors file gives for its header, in its first eight bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: the size is beyond all reason.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER_BYTES:
        raise ValueError(f"its header is to have {size:,} bytes, more than {LARGEST_HEADER_BYTES // 2**20} MiB")
