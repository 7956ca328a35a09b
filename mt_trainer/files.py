"""Files that are whole or absent, whatever happens while they are written."""

import os
import uuid
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file and rename: a reader, or a crash, finds the old content or the new, never a part.

    Raises:
        OSError: when the disk does not take it; then the file is as it was.
    """
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        unfinished.write_bytes(content)
        sync(unfinished)
        unfinished.replace(path)
        sync(path.parent)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
