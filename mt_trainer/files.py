"""Files that are whole or absent, whatever happens while they are written.

What is written here is on the disk before anything refers to it: a file's bytes before it gets its name, a folder's
entries before the folder gets its own.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

READ_BYTES = 1 << 20
"""Read at once when a file is hashed."""

Bytes = bytes | bytearray | memoryview


class Fingerprint(NamedTuple):
    """What a file, or the beginning of one, is recognised by."""

    bytes: int
    sha256: str


EMPTY = Fingerprint(0, hashlib.sha256().hexdigest())
"""Of no bytes at all."""


def fingerprint(path: Path, *, length: int | None = None) -> Fingerprint:
    """Of a whole file, or of its first `length` bytes (fewer, if it is shorter).

    Raises:
        OSError: it cannot be read.
    """
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(READ_BYTES if length is None else min(READ_BYTES, length - num_bytes)):
            digest.update(part)
            num_bytes += len(part)
    return Fingerprint(num_bytes, digest.hexdigest())


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: Bytes) -> None:
    """Write all of it, however little the system takes at once.

    Raises:
        OSError: the disk does not take it; a part may have been written.
    """
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_new(path: Path, parts: Iterable[Bytes]) -> Fingerprint:
    """Write a file that is not there yet, and wait until it is on the disk. Its permissions follow the umask.

    Returns:
        The fingerprint of what was meant to be written, so that what became of it can be held against it.

    Raises:
        OSError: the disk does not take it; a part may be left.
    """
    digest, num_bytes = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for part in parts:
            digest.update(part)
            num_bytes += memoryview(part).nbytes
            write_all(descriptor, part)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return Fingerprint(num_bytes, digest.hexdigest())


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file and rename: a reader, or a crash, finds the old content or the new, never a part.

    Raises:
        OSError: when the disk does not take it; then the file is as it was.
    """
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        write_new(unfinished, [content])
        os.rename(unfinished, path)
        sync(path.parent)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def clear_unfinished(folder: Path) -> None:
    """Remove what `write_whole` has left in a folder when it was killed. Nobody may be writing there.

    Raises:
        OSError: something cannot be removed.
    """
    for path in folder.glob("*.unfinished"):
        if path.is_dir() and not path.is_symlink():  # whether a folder can be made was tried
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def claimed_folder(path: Path) -> Iterator[None]:
    """Make a folder, with those above it; while the block lasts `clear_abandoned` leaves it alone.

    The claim is a lock that the system lifts when the process ends, however it ends. What becomes of the folder is up
    to the block.

    Raises:
        OSError: it cannot be made.
    """
    claim = None
    while claim is None:
        path.mkdir(parents=True)
        claim = _claim(path)
    try:
        yield
    finally:
        os.close(claim)


def _claim(folder: Path) -> int | None:
    """The descriptor that holds the lock; None if another process has cleared the folder away in between."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # a file system without locks: then nothing is ever cleared away
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(folder), os.fstat(descriptor)):
            return descriptor
    os.close(descriptor)
    return None


def clear_abandoned(folder: Path, pattern: str) -> None:
    """Remove the folders in `folder` that fit a pattern and whose makers, processes that were killed, hold no claim."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # gone by now, or claimed
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(descriptor)


def room(path: Path, needed: int | None) -> str:
    """What a message about a failed write says of the disk: `needs 1,234 bytes, 56 are free`.

    Args:
        path: of what was written; it need not exist.
        needed: bytes; None where that is not known.
    """
    there = next(part for part in (path.absolute(), *path.absolute().parents) if part.is_dir())
    free = f"{shutil.disk_usage(there).free:,}"
    return f"{free} bytes are free" if needed is None else f"needs {needed:,} bytes, {free} are free"
