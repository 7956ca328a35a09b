"""MANIFEST.json: what a checkpoint consists of and belongs to. It is written last, and vouches for itself.

{
 "format": 1,
 "files": {"model.safetensors": {"bytes": 6326272, "sha256": "..."}, ...},
 "log": {"bytes": 5120, "sha256": "..."},       the part of metrics.jsonl that was written before
 "config": "...",                               the last line of config.yaml (see sealed_config.py)
 "corpus": "...", "tokenizer": "...",           content hashes
 "environment": {"torch": "2.13.0", "threads": 2, ...},
 "sha256": "..."                                of all lines above
}

There is one way to write such a file, byte for byte. What differs from it in any bit is not taken.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mt_trainer.artefacts import require_file
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import Fingerprint

MANIFEST = "MANIFEST.json"

FORMAT = 1
"""Changes whenever a version before could not read what this one writes."""

LARGEST_BYTES = 1 << 20
"""A manifest has a few kilobytes; of a larger file nothing is read."""

ORIGIN_KEYS = ("log", "config", "corpus", "tokenizer", "environment")


@dataclass(frozen=True)
class Origin:
    """What a checkpoint belongs to.

    Attributes:
        log: of metrics.jsonl, as far as it was written then.
        config: the hash in the last line of config.yaml.
        corpus: content hash of the encoded training text.
        tokenizer: content hash.
        environment: what the bits of a run depend on: versions, device, threads.
    """

    log: Fingerprint
    config: str
    corpus: str
    tokenizer: str
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The fingerprints of the files beside it, by their names, and what they belong to."""

    files: Mapping[str, Fingerprint]
    origin: Origin

    def to_bytes(self) -> bytes:
        """The content of the file."""
        files = {name: self.files[name]._asdict() for name in sorted(self.files)}
        origin = {**asdict(self.origin), "log": self.origin.log._asdict()}
        return _sealed({"format": FORMAT, "files": files, **{key: origin[key] for key in ORIGIN_KEYS}})


def read_manifest(folder: Path, *, names: frozenset[str]) -> Manifest:
    """The manifest in a folder, every bit of it verified, but not the files that it lists.

    Args:
        names: the files that it must list, no more and no fewer.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what was written.
        CheckpointError: MT107, when a newer version has written it.
    """
    path = folder / MANIFEST
    if require_file(path) > LARGEST_BYTES:
        raise ValueError(f"{MANIFEST} is far too large")
    content = path.read_bytes()
    try:
        values = json.loads(content)
        values.pop("sha256")
        if _sealed(values) != content:
            raise ValueError("a bit of it has changed")
        version = values.pop("format")
        if version != FORMAT:
            raise _newer(folder, version)
        files = {name: _fingerprint(entry) for name, entry in values.pop("files").items()}
        if files.keys() != names:
            raise ValueError(f"it lists {', '.join(sorted(files))}")
        origin = Origin(**{**values, "log": _fingerprint(values["log"])})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} is not what was written ({error})") from error
    return Manifest(files, origin)


def _sealed(values: Mapping[str, Any]) -> bytes:
    """The values as they stand in the file, with the hash over them at the end."""
    digest = hashlib.sha256(json.dumps(values, indent=1).encode()).hexdigest()
    return (json.dumps({**values, "sha256": digest}, indent=1) + "\n").encode()


def _fingerprint(entry: Mapping[str, Any]) -> Fingerprint:
    found = Fingerprint(**entry)
    if type(found.bytes) is not int or found.bytes < 0 or not re.fullmatch("[0-9a-f]{64}", found.sha256):
        raise ValueError(f"{found} is no fingerprint")
    return found


def _newer(folder: Path, version: object) -> CheckpointError:
    message = f"the checkpoint has format {version!r}, but this version of mt_trainer reads format {FORMAT}"
    help_ = "update mt_trainer: pip install --upgrade mt_trainer"
    return CheckpointError(Problem("MT107", message, where=str(folder), help=help_))
