"""A content-addressed cache: folders named by a hash of what they were made from, complete once they exist."""

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from mt_trainer.errors import DataError, Problem
from mt_trainer.files import claimed_folder, clear_abandoned, room, sync


def cache_key(parts: Mapping[str, object]) -> str:
    """sha256 over `parts` (what JSON can hold), in hexadecimal, cut to 32 digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


@contextlib.contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """A temporary folder that becomes `destination` when the block ends well, and vanishes when it does not.

    Everything in it is on the disk before the renaming, so `destination` is never seen half-written. When another
    process was quicker, its folder stays. What a killed process has left of such folders is removed first; one that is
    being written stays.

    Raises:
        DataError: MT103 when the disk does not take it.
    """
    temporary = destination.with_name(f"{destination.name}.{uuid.uuid4().hex}.tmp")
    new_parents = [parent for parent in temporary.parents if not parent.exists()]
    try:
        clear_abandoned(destination.parent, "*.tmp")
        with claimed_folder(temporary):
            yield temporary
            for file in temporary.iterdir():
                sync(file)
            sync(temporary)
            if not destination.exists():
                # Renaming onto a folder that appeared just now fails; it holds the same content.
                with contextlib.suppress(OSError):
                    temporary.rename(destination)
            sync(destination)
            sync(destination.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in new_parents:  # innermost first; one that is in use by now stays
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            message = f"the cache cannot be written: {error.strerror or error} ({room(destination, None)})"
            where, advice = str(destination.parent), "`runtime.cache_folder` chooses another place"
            raise DataError(Problem("MT103", message, where=where, help=advice)) from error
        raise
    shutil.rmtree(temporary, ignore_errors=True)
